"""From a draft to a ``model.Job``: the defaults that depend on the job, and checks across its keys.

Every check goes on after a problem, so that one reading shows them all; a key whose value was
refused already is left out of the checks that need it.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

from hostagent.errors import Problem
from hostagent.model import Backoff, Form, Job, Lane, Missed, Overlap, RunOn, Sandbox, Schedule
from hostagent.schedule import occurrences
from hostagent.spec.files import Document
from hostagent.spec.resolve import Draft, Origin
from hostagent.spec.schedules import build_schedule, forms_of
from hostagent.spec.schema import BackoffTable
from hostagent.spec.spans import format_span
from hostagent.spec.values import did_you_mean, shown

Report = Callable[[tuple[Document, Problem]], None]
"""Where problems go."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POINTER = 8
MAX_EXEC = 2 * 1024 * 1024 - 128 * 1024
"""Bytes of arguments and variables with their pointers: execve(2)'s 2 MiB, less some room."""
MAX_JITTER = timedelta(minutes=2)
MAX_TIMEOUT = DAY
MAX_WINDOW = 31 * DAY
ENUMS = {"run_on": RunOn, "missed": Missed, "overlap": Overlap, "lane": Lane, "sandbox": Sandbox}
PLAIN = (
    "description",
    "user",
    "group",
    "working_directory",
    "umask",
    "start_deadline",
    "catch_up_max",
    "retries",
    "retry_elsewhere",
    "quarantine_after",
    "alarm_after",
    "heartbeat",
    "grace",
    "stop_timeout",
    "memory_max",
    "memory_high",
    "cpu_quota",
    "cpu_weight",
    "io_weight",
    "tasks_max",
    "nice",
    "pool",
    "weight",
    "interruptible",
    "ping_url",
    "renamed_from",
)
TUPLES = (
    "environment_file",
    "success_exit_status",
    "hosts",
    "labels",
    "prefer",
    "for_each",
    "after",
    "on_failure",
    "mute",
    "on_success",
)


def build(
    draft: Draft, report: Report, *, check_host: bool
) -> tuple[Job | None, dict[str, Origin]]:
    """The job, and the origin of what follows from its period; None when a problem is in the way.

    Problems go to ``report``. ``check_host``: the job's user and group must exist here.
    """
    _check_keys(draft, report)
    if check_host:
        _check_accounts(draft, report)
    schedule = build_schedule(draft, report)
    if schedule is None or draft.broken or "command" not in draft.values:
        return None, {}
    derived: dict[str, Origin] = {}
    job = _job(draft, schedule, derived)
    _check_times(draft, job, report)
    return job, derived


def check_complete(draft: Draft) -> Iterator[tuple[Document, Problem]]:
    """What a job cannot be without."""
    if not draft.has("command"):
        hint = 'write command = "/path/to/program"'
        yield draft.place.problem("has no command", hint, key=True)
    if not forms_of(draft):
        hint = "write one of calendar, cron, every, at, on_boot"
        yield draft.place.problem("has no schedule", hint, key=True)


def _job(draft: Draft, schedule: Schedule, derived: dict[str, Origin]) -> Job:
    values = draft.values
    period = occurrences.period(schedule)
    from_period = _derived(values, schedule, period, derived)
    systemd: Mapping[str, Mapping[str, tuple[str, ...]]] = values.get("systemd", {})
    taken: dict[str, Any] = {key: values[key] for key in PLAIN if key in values}
    taken |= {key: tuple(values[key]) for key in TUPLES if key in values}
    taken |= {key: enum(values[key]) for key, enum in ENUMS.items() if key in values}
    if "backoff" in values:
        taken["backoff"] = _backoff(values["backoff"])
    return Job(
        name=draft.name,
        command=tuple(values["command"]),
        environment=tuple(values.get("environment", {}).items()),
        credentials=tuple(values.get("credentials", {}).items()),
        passthrough=tuple(
            (section, directive, lines)
            for section in ("unit", "service", "timer")
            for directive, lines in systemd.get(section, {}).items()
        ),
        **taken,
        **from_period,
    )


def _backoff(table: BackoffTable) -> Backoff:
    """The waits; ``most`` is by default one hour, or the first wait where that is longer."""
    built_in = Backoff()
    first = table.first or built_in.first
    return Backoff(
        first=first,
        factor=table.factor or built_in.factor,
        most=table.most or max(first, built_in.most),
        steps=tuple(table.steps or ()),
    )


def _derived(
    values: Mapping[str, Any],
    schedule: Schedule,
    period: timedelta | None,
    origins: dict[str, Origin],
) -> dict[str, Any]:
    """The schedule with its jitter, the window and the timeout, which follow from the period."""
    named = f"the period, {format_span(period)}" if period else "an occurrence of its own"

    def default(key: str, value: timedelta, rule: str) -> timedelta:
        if key in values:
            written: timedelta = values[key]
            return written
        origins[key] = Origin("", 0, f"default: {rule} ({named})")
        return value

    spread = schedule.form is Form.EVERY and "anchor" not in values
    if spread or period is None:
        rule = "none, since the anchor is spread" if spread else "none, it happens once"
        jitter = default("jitter", timedelta(0), rule)
    else:
        jitter = default("jitter", min(_whole(period / 20), MAX_JITTER), "5 %, at most 2min")
    window = min(max(period, HOUR), MAX_WINDOW) if period else MAX_WINDOW
    timeout = min(_whole(period * 0.9), MAX_TIMEOUT) if period else MAX_TIMEOUT
    return {
        "schedule": replace(schedule, jitter=jitter),
        "catch_up_window": default("catch_up_window", window, "one period, 1h to 31d"),
        "timeout": default("timeout", timeout, "0.9 of the period, at most 24h"),
    }


def _whole(span: timedelta) -> timedelta:
    """Whole seconds where there is more than one, for the eyes."""
    return timedelta(seconds=int(span.total_seconds())) if span >= timedelta(seconds=1) else span


def _check_keys(draft: Draft, report: Report) -> None:
    """Keys that contradict each other."""
    v, at = draft.values, draft.at
    each = v.get("run_on") == "each"
    if v.get("on_boot") and not each and "run_on" not in draft.broken:
        report(at("on_boot").problem("every host boots for itself", 'add run_on = "each"'))
    if each and v.get("for_each"):
        report(
            at("for_each").problem(
                'a job with run_on = "each" has its hosts for scopes and can have no others',
                "take run_on out, or make one job for each scope",
            )
        )
    strings = [*v.get("command", ()), *map("=".join, v.get("environment", {}).items())]
    size = sum(len(text.encode()) + 1 + POINTER for text in strings)
    if size > MAX_EXEC:
        message = f"command and environment take {size} bytes; the kernel has {MAX_EXEC} for them"
        report(at("command").problem(message, "put the data into a file and pass its path"))
    if "memory_high" in v and v["memory_high"] > v.get("memory_max", v["memory_high"]):
        report(at("memory_high").problem("is more than memory_max, so it never slows anything"))
    if (backoff := v.get("backoff")) is not None:
        first, most = backoff.first or Backoff().first, backoff.most
        if backoff.steps and (backoff.first or backoff.factor or backoff.most):
            report(
                at("backoff").problem("steps stands alone: first, factor, most say it otherwise")
            )
        elif most and first > most:
            message = f"the first wait ({format_span(first)}) is longer than most"
            report(at("backoff").problem(f"{message} ({format_span(most)})"))
    systemd = v.get("systemd", {})
    for directive, key in (("MemoryMax", "memory_max"), ("MemoryHigh", "memory_high")):
        if directive in systemd.get("service", {}) and key in v:
            place = at(f"systemd.service.{directive}")
            report(place.problem(f"{key} says it already", "take one of them out", key=True))


def _check_times(draft: Draft, job: Job, report: Report) -> None:
    """Durations that contradict each other once the defaults are known."""
    heartbeat, at = job.heartbeat, draft.at
    if heartbeat and heartbeat >= job.timeout:
        report(
            at("heartbeat").problem(
                f"{format_span(heartbeat)} is no shorter than the timeout,"
                f" {format_span(job.timeout)}: a hung run would be stopped before it is noticed"
            )
        )


def _check_accounts(draft: Draft, report: Report) -> None:
    for key, find, known in (("user", _has_user, _users), ("group", _has_group, _groups)):
        name = draft.values.get(key)
        if name is not None and not find(name):
            guess = did_you_mean(name, known())
            report(draft.at(key).problem(f"this host has no {key} {shown(name)}{guess}"))


@lru_cache(maxsize=4096)
def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return name.isdecimal()
    return True


@lru_cache(maxsize=4096)
def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return name.isdecimal()
    return True


def _users() -> list[str]:
    return [entry.pw_name for entry in pwd.getpwall()]


def _groups() -> list[str]:
    return [entry.gr_name for entry in grp.getgrall()]
