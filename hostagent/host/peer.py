"""Who is at the other end of a unix socket, and in which unit it runs.

Admission is given by this, so a name must come from PID 1 and nobody else. Below a unit's own
cgroup its processes may be allowed to make cgroups of any name (root, ``Delegate=``, containers),
so the unit is the *first* component that is no slice, as PID 1 itself reads it
(``cg_path_get_unit`` in src/basic/cgroup-util.c), never the last ``*.service``.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}\.(service|scope|socket|mount|swap)")
_USER_MANAGER = re.compile(r"user@[0-9]+\.service")


@dataclass(frozen=True, slots=True)
class Peer:
    """A connected process, as the kernel recorded it at connect(2). ``pid`` 0: not of ours."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    """The process that connected (SO_PEERCRED); it may have ended, its pid be another's by now.

    So the uid is part of every decision: only a process of that uid can have come by the pid's
    connection.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", raw))


def unit_of(pid: int, *, user: bool = False, proc: Path = Path("/proc")) -> str | None:
    """The unit of PID 1's that the process is in; with ``user`` the unit of its user's manager.

    None: in no unit (a kernel thread, a foreign cgroup tree), or the process is gone.
    """
    try:
        path = _cgroup(proc, pid)
        root = _cgroup(proc, 1).removesuffix("/init.scope").rstrip("/")
    except OSError:
        return None
    if not path.startswith(f"{root}/"):
        return None
    names = iter(path.removeprefix(root).strip("/").split("/"))
    unit = _first_unit(names)
    if not user:
        return unit
    return _first_unit(names) if unit and _USER_MANAGER.fullmatch(unit) else None


def _first_unit(names: Iterator[str]) -> str | None:
    for name in names:
        if not name.endswith(".slice"):
            plain = name.removeprefix("_")  # PID 1's escape for names that a controller owns
            return plain if _UNIT.fullmatch(plain) else None
    return None


def _cgroup(proc: Path, pid: int) -> str:
    """The path in PID 1's tree: v1's ``name=systemd`` where there is one, else v2's."""
    paths = {}
    for line in (proc / str(pid) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths[controllers] = path
    return paths.get("name=systemd", paths.get("", ""))
