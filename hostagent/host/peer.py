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
_INIT = "/init.scope"
_TREES = ("", "name=systemd")
"""v2, and v1's named one. PID 1 manages the one (or, hybrid, both) where it sits in init.scope."""
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
        manager, process = _cgroups(proc, 1), _cgroups(proc, pid)
    except OSError:
        return None
    for tree in _TREES:
        if manager.get(tree, "").endswith(_INIT):
            break
    else:
        return None
    root, path = manager[tree].removesuffix(_INIT), process.get(tree, "")
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


def _cgroups(proc: Path, pid: int) -> dict[str, str]:
    """The process's path in each tree, by the tree's name (empty for v2)."""
    lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    return {name: path for _, name, path in (line.split(":", 2) for line in lines)}
