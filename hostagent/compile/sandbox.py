"""The sandbox profiles: which directives they stand for, and why each is there.

``default`` is meant to be harmless for nearly every job: it takes away what a job does not need
unless it administers the machine itself. ``strict`` takes away all but the job's own files under
what it is told (``[job.NAME.systemd.service]`` gives back: ``ReadWritePaths=``,
``StateDirectory=``, ``CapabilityBoundingSet=``, …; a later line wins or adds). ``+`` takes the
admission client out of all of it.
"""

from __future__ import annotations

from hostagent.model import Sandbox

_DEFAULT = (
    ("NoNewPrivileges", "yes"),  # no setuid program raises the job's rights
    ("PrivateTmp", "yes"),  # its own /tmp and /var/tmp, gone when it ends
    ("ProtectSystem", "full"),  # /usr, /boot and /etc are read-only
    ("ProtectKernelTunables", "yes"),  # /proc/sys and /sys are read-only
    ("ProtectKernelModules", "yes"),  # loads no kernel module
    ("ProtectKernelLogs", "yes"),  # reads no kernel log
    ("ProtectControlGroups", "yes"),  # leaves its limits as they are
    ("ProtectClock", "yes"),  # sets no clock: every schedule hangs on it
    ("ProtectHostname", "yes"),  # keeps the host's name
    ("RestrictSUIDSGID", "yes"),  # makes no file setuid
    ("RestrictRealtime", "yes"),  # takes no real-time priority over everything else
    ("LockPersonality", "yes"),  # no other execution domain
    ("SystemCallArchitectures", "native"),  # no way round a filter by another ABI
)

_STRICT = (
    ("ProtectSystem", "strict"),  # everything is read-only
    ("ReadOnlyPaths", "/run"),  # it, too: what mounts /proc anew leaves it writable
    ("ReadWritePaths", "-%t/hostagent/reports"),  # but where HOSTAGENT_REPORT points
    ("ProtectHome", "yes"),  # /home, /root and /run/user are empty
    ("PrivateDevices", "yes"),  # no disks, no memory devices
    ("ProtectProc", "invisible"),  # sees no other user's processes
    ("CapabilityBoundingSet", ""),  # root without its powers
    ("RestrictNamespaces", "yes"),  # makes no namespaces
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),  # no packet or netlink sockets
    ("MemoryDenyWriteExecute", "yes"),  # no code made at run time (a JIT needs "no")
    ("SystemCallFilter", "@system-service"),  # what a service may call,
    ("SystemCallErrorNumber", "EPERM"),  # and an error, not a kill, for the rest
)

_NEEDS_PRIVILEGE = frozenset(
    {
        "CapabilityBoundingSet",
        "PrivateDevices",
        "PrivateTmp",
        "ProtectClock",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
    }
)
"""Mounts, namespaces and capabilities: a user's manager has them only where the kernel gives
unprivileged user namespaces, and a unit that asks in vain fails (226/NAMESPACE)."""


def directives(sandbox: Sandbox) -> tuple[tuple[str, str], ...]:
    """The profile's [Service] directives in order, each once."""
    if sandbox is Sandbox.OFF:
        return ()
    profile = dict(_DEFAULT)
    if sandbox is Sandbox.STRICT:
        profile |= dict(_STRICT)
    return tuple(profile.items())


def works_for_users(directive: str) -> bool:
    """Whether every user's manager can do it, without unprivileged user namespaces."""
    return directive not in _NEEDS_PRIVILEGE
