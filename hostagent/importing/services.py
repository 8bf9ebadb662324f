"""The service behind a timer: what it runs, as whom, within which limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hostagent.importing import execline
from hostagent.importing.directives import Reading, is_true
from hostagent.importing.jobs import Table
from hostagent.importing.units import Unit, Value
from hostagent.spec.values import WrongValueError, shown

_COMMANDS = ("ExecStartPre", "ExecStart", "ExecStartPost")
_TEXTS = {
    "User": "user",
    "Group": "group",
    "UMask": "umask",
    "MemoryMax": "memory_max",
    "MemoryHigh": "memory_high",
    "CPUQuota": "cpu_quota",
}
_NUMBERS = {
    "Nice": "nice",
    "CPUWeight": "cpu_weight",
    "IOWeight": "io_weight",
    "TasksMax": "tasks_max",
}
_SPANS = {"TimeoutStopSec": "stop_timeout", "WatchdogSec": "heartbeat"}
_LIMITS = frozenset({"MemoryMax", "MemoryHigh", "TasksMax"})
_OWN = {
    *(*_COMMANDS, "ExecReload", "Type", "RemainAfterExit", "Restart"),
    *("Environment", "EnvironmentFile", "LoadCredential", "SuccessExitStatus", "WorkingDirectory"),
    *("TimeoutStartSec", "TimeoutSec", "RuntimeMaxSec", *_TEXTS, *_NUMBERS, *_SPANS),
}
_PROCESSES = frozenset({"oneshot", "simple", "exec", "idle"})
"""Types of services that are one process, as a job is."""


def command(unit: Unit, reading: Reading) -> str | list[str]:
    """What it runs.

    Raises:
        WrongValueError: nothing, or what no command of a job can say.
    """
    commands = []
    for directive in _COMMANDS:
        for value in unit.all("Service", directive):
            read = reading.command(value)
            commands.append(read)
            if read.lost:
                why = "the command runs with the rights of the job"
                reading.warn(value, f'the prefix "{read.lost}" is not carried over: {why}')
    if not unit.all("Service", "ExecStart"):
        reading.place = Value("", unit.path, 1)
        raise WrongValueError("the service has no ExecStart=")
    return execline.joined(commands)


def process(unit: Unit, reading: Reading) -> Table:
    """Who it is, where it runs and what it is given; raises WrongValueError."""
    table = _keys(unit, reading, _TEXTS, reading.text)
    if directory := unit.last("Service", "WorkingDirectory"):
        table["working_directory"] = reading.text(directory).removeprefix("-")
        if directory.text.startswith("-"):
            reading.warn(directory, "WorkingDirectory=: the directory must be there")
    environment: dict[str, str] = {}
    for value in unit.all("Service", "Environment"):
        for word in reading.words(value):
            name, _, content = word.partition("=")
            environment[name] = content
    credentials = {}
    for value in unit.all("Service", "LoadCredential"):
        name, _, source = reading.text(value).partition(":")
        credentials[name] = source or name
    statuses = [
        int(word) if word.isdecimal() else word
        for value in unit.all("Service", "SuccessExitStatus")
        for word in reading.words(value)
    ]
    given = {
        "environment_file": [reading.text(v) for v in unit.all("Service", "EnvironmentFile")],
        "success_exit_status": statuses,
        "environment": environment,
        "credentials": credentials,
    }
    return table | {key: value for key, value in given.items() if value}


def limits(unit: Unit, reading: Reading) -> Table:
    """Its weights and times; raises WrongValueError."""
    table = _keys(unit, reading, _NUMBERS, _number)
    table |= _keys(unit, reading, _SPANS, reading.span)
    both = unit.last("Service", "TimeoutSec")
    if both and both.text != "infinity":
        table.setdefault("stop_timeout", reading.span(both))
    is_oneshot = _type(unit) == "oneshot"
    end = unit.last("Service", "TimeoutStartSec" if is_oneshot else "RuntimeMaxSec")
    end = end or (both if is_oneshot else None)
    if end and end.text in {"infinity", "0"}:
        hint = "write a timeout where it may take longer than 0.9 of its period, or 24h"
        reading.warn(end, "that a run may take for ever is not carried over", hint)
    elif end:
        table["timeout"] = reading.span(end)
    return table


def others(unit: Unit, reading: Reading) -> None:
    """Pass on what has no key, and name what a job cannot be."""
    for directive, values in unit.of("Unit"):
        if directive != "Description":
            reading.pass_through("unit", directive, values)
    for directive, values in unit.of("Service"):
        if directive not in _OWN:
            reading.pass_through("service", directive, values)
    for directive, values in unit.of("Install"):
        reading.lost(directive, values, "only its schedule starts a job")
    kind = unit.last("Service", "Type")
    if kind and kind.text not in _PROCESSES:
        reading.lost("Type", [kind], "a job is one process, and ends with it")
    remains = unit.last("Service", "RemainAfterExit")
    if remains and is_true(remains):
        reading.lost("RemainAfterExit", [remains], "the end of the process is the end of the run")
    restart = unit.last("Service", "Restart")
    if restart and restart.text != "no":
        why = "a failed run is tried again by the agent"
        reading.lost("Restart", [restart], why, "write retries = 3, or how many")


def _keys(
    unit: Unit, reading: Reading, keys: Mapping[str, str], read: Callable[[Value], Any]
) -> Table:
    """The directives that a key of ours says in the same words."""
    table: Table = {}
    for directive, key in keys.items():
        value = unit.last("Service", directive)
        is_limit = directive in _LIMITS
        if value is None or (is_limit and value.text == "infinity"):
            continue
        if is_limit and value.text.endswith("%"):
            reading.pass_through("service", directive, [value])
            continue
        try:
            table[key] = read(value)
        except WrongValueError as error:
            reading.lost(directive, [value], error.message, error.hint)
    return table


def _number(value: Value) -> int:
    if not value.text.removeprefix("-").isdecimal():
        raise WrongValueError(f"{shown(value.text)} is no number")
    return int(value.text)


def _type(unit: Unit) -> str:
    kind = unit.last("Service", "Type")
    return kind.text if kind else "simple"
