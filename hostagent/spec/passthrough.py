"""``[job.NAME.systemd.service]``, ``.timer``, ``.unit``: directives passed to systemd as written.

What the project's promises stand on is refused with its reason, and so is what a key of ours
says: two voices for one setting would leave the reader to guess which one wins.
"""

from __future__ import annotations

import re
from typing import Any

from hostagent.spec.values import WrongValueError, characters, shown

SECTIONS = ("service", "timer", "unit")
MAX_VALUE = 512 * 1024

_DIRECTIVE = re.compile(r"[A-Z][A-Za-z0-9]*|X-[A-Za-z0-9-]+")
_REPEATED = "a failed run is tried again by the agent, which counts attempts"
_ADMITTED = "a start is admitted by the agent alone"
_DUE = "only the job's own schedule may start it"

_REFUSED: dict[str, tuple[tuple[str, str], ...]] = {
    "service": (
        (r"Exec\w*", "the agent must see the job's own process start and end"),
        (r"Type|RemainAfterExit", "the end of the process is the end of the run"),
        (r"Restart\w*", _REPEATED),
        (r"EnvironmentFile", "the run's own environment comes from such a file"),
        (r"StartLimit\w*", "starts that were turned away would count towards the limit"),
        (r"KillMode|SendSIGKILL", "a stopped run must leave no process behind"),
        (r"Slice", "the slice is the job's lane"),
        (r"BusName|PIDFile|GuessMainPID|Sockets|NonBlocking|NotifyAccess", "the type is fixed"),
        (r"Condition\w*|Assert\w*", _ADMITTED),
    ),
    "timer": (
        (r"On(Active|Boot|Startup|UnitActive|UnitInactive)Sec", _DUE),
        (r"OnClockChange|OnTimezoneChange", _DUE),
        (r"Unit", "the timer starts its own job"),
        (r"Persistent|RemainAfterElapse|DeferReactivation", "missed occurrences are the agent's"),
        (r"FixedRandomDelay", "the delay must be the same on every host"),
    ),
    "unit": (
        (r"Condition\w*|Assert\w*", _ADMITTED),
        (r"PartOf|BindsTo|StopPropagatedFrom|PropagatesStopTo", "the fence stops the job"),
        (r"StartLimit\w*", "starts that were turned away would count towards the limit"),
        (r"RefuseManualSt\w*", "the agent itself starts and stops the job"),
        (r"OnFailure|OnSuccess", "a run may end on another host, or be tried again"),
        (r"StopWhenUnneeded|JobRunningTimeoutSec|JobTimeout\w*", "systemd must not stop the job"),
    ),
}

_OWN: dict[str, dict[str, str]] = {
    "service": {
        "ExecStart": "command",
        "User": "user",
        "Group": "group",
        "WorkingDirectory": "working_directory",
        "Environment": "environment",
        "EnvironmentFile": "environment_file",
        "LoadCredential": "credentials",
        "SuccessExitStatus": "success_exit_status",
        "UMask": "umask",
        "TimeoutStartSec": "timeout",
        "TimeoutSec": "timeout",
        "RuntimeMaxSec": "timeout",
        "TimeoutStopSec": "stop_timeout",
        "TimeoutAbortSec": "stop_timeout",
        "WatchdogSec": "heartbeat",
        "MemoryMax": "memory_max",
        "MemoryHigh": "memory_high",
        "CPUQuota": "cpu_quota",
        "CPUWeight": "cpu_weight",
        "IOWeight": "io_weight",
        "TasksMax": "tasks_max",
        "Nice": "nice",
        "Slice": "lane",
        "Restart": "retries",
        "RestartSec": "backoff",
    },
    "timer": {
        "OnCalendar": "calendar",
        "OnUnitActiveSec": "every",
        "OnUnitInactiveSec": "every",
        "OnActiveSec": "every",
        "OnBootSec": "on_boot",
        "OnStartupSec": "on_boot",
        "Persistent": "missed",
        "RandomizedDelaySec": "jitter",
        "RandomizedOffsetSec": "jitter",
        "FixedRandomDelay": "jitter",
    },
    "unit": {
        "Description": "description",
        "OnFailure": "on_failure",
        "OnSuccess": "on_success",
        "ConditionHost": "hosts",
        "StartLimitBurst": "quarantine_after",
    },
}
_SHARES = frozenset({"MemoryMax", "MemoryHigh", "TasksMax"})
"""Directives of which a percentage may pass, since our keys count bytes and tasks."""


def values_of(section: str, directive: str, value: Any) -> tuple[str, ...]:
    """The lines that ``directive = value`` becomes.

    Raises:
        WrongValueError: the directive is refused, or systemd could not carry the value.
    """
    if not _DIRECTIVE.fullmatch(directive):
        raise WrongValueError(f"{shown(directive)} is not the name of a directive")
    values = tuple(_text(item) for item in (value if isinstance(value, list) else [value]))
    if directive in _SHARES and all(re.fullmatch(r"[\d.]+%", v) for v in values):
        return values
    own = _OWN[section].get(directive)
    hint = f"write {own} in the job instead" if own else None
    for pattern, why in _REFUSED[section]:
        if re.fullmatch(pattern, directive):
            raise WrongValueError(f"{directive}= is not passed through: {why}", hint)
    if own:
        raise WrongValueError(f"{directive}= has a key of its own", hint)
    return values


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise WrongValueError("must be a string, a number, a boolean, or an array of them")
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
        raise WrongValueError(
            "holds a newline or control character; one value is one line of the unit",
            "write an array for several lines",
        )
    if value.rstrip().endswith("\\"):
        raise WrongValueError("ends in a backslash, which systemd reads as a continued line")
    characters(value)
    if len(value.encode()) > MAX_VALUE:
        raise WrongValueError(f"is {len(value.encode())} bytes long; at most {MAX_VALUE} pass")
    return value
