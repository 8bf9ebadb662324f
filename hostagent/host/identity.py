"""Who this machine is."""

from __future__ import annotations

import socket
from pathlib import Path


def boot_id() -> str:
    """This boot's id, 32 hexadecimal digits: what ended with an earlier one cannot run any more."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")


def host_name() -> str:
    """The kernel's host name, as ``hostname`` prints it; no look-up, no domain added."""
    return socket.gethostname()


def machine_id(path: Path = Path("/etc/machine-id")) -> str | None:
    """machine-id(5), 32 hexadecimal digits; None on a machine that has none yet."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return text if len(text) == 32 else None
