"""Who may do what over the socket: judged by what the kernel says of the caller, nothing else."""

from __future__ import annotations

import grp
import os
import pwd

from hostagent.host.peer import Peer, unit_of

GROUP = "hostagent"


def may_change(peer: Peer) -> bool:
    """Root, the agent's own user, and the members of the group hostagent may change things."""
    if peer.uid in {0, os.getuid()}:
        return True
    try:
        group = grp.getgrnam(GROUP)
        name = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return False
    return peer.gid == group.gr_gid or name in group.gr_mem


def may_ask_admission(peer: Peer, unit: str, *, user: bool) -> bool:
    """Only the process that PID 1 (or the user's manager) runs inside the very unit it names."""
    return peer.uid == os.getuid() and unit_of(peer.pid, user=user) == unit
