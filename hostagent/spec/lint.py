"""Warnings: what is allowed, and yet is probably not meant, or will hurt some night.

Each has a code that stays (``--strict`` makes them errors; docs/reference/lint.md lists them).
Jobs that share a schedule share its evaluation, so that large fleets stay quick.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from hostagent.codec import rfc3339
from hostagent.errors import Problem
from hostagent.model import Form, Job, RunOn, Schedule, Spec
from hostagent.schedule import occurrences
from hostagent.spec.resolve import Place
from hostagent.spec.spans import format_span

CODES = {
    "HA101": "a clock change skips or repeats the hour",
    "HA102": "the timeout is no shorter than the period",
    "HA103": "the jitter is no shorter than the period",
    "HA104": "many jobs start at one instant",
    "HA105": "the program is not an absolute path, or cannot be executed here",
    "HA106": "a variable looks like a secret",
    "HA107": "the interval needs a timer that elapses every few seconds",
    "HA108": "the instant is past",
    "HA109": "the command holds what systemd would expand and hostagent does not",
    "HA110": "a key has no effect beside another",
    "HA111": "runs of several kinds share a ping_url",
    "HA112": "a message cannot be told from here: what would tell it is missing",
}
PULSE = 20
"""More jobs than this at one instant are a pulse."""
SPREAD = timedelta(minutes=10)
"""A job whose jitter is at least so long takes no part in a pulse."""

MOST_PULSES = 5
"""After so many warnings about pulses the rest goes without saying."""

_DAY, _HOUR, _MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
_SECRET_NAME = re.compile(
    r"(?:^|_)(?:PASS|PASSWD|PASSWORD|PASSPHRASE|SECRET|TOKEN|PRIVATE_KEY|API_?KEY|ACCESS_KEY|"
    r"SECRET_KEY|CREDENTIALS?|PGPASSWORD|MYSQL_PWD)(?:_|$)|PASSWORD$|SECRET$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}|\bxox[abp]-\w|"
    r"[a-z][a-z0-9+]*://[^/\s:@]+:[^/\s@]+@"
)
_EXPANDED = re.compile(r"\$\{?[A-Za-z_]|\$\$|%[a-zA-Z%]")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"})

Places = Mapping[str, Mapping[str, Place]]
"""For each job the place of each of its written keys; ``""`` is the job's header."""


def lint(spec: Spec, places: Places, now: datetime, *, check_host: bool) -> list[Problem]:
    """The warnings about a spec, unordered. ``check_host``: programs must be executable here."""
    found: list[Problem] = []
    for job in spec.jobs:
        at = places[job.name]
        found += (
            *_clock_changes(job, at, now),
            *_times(job, at),
            *_interval(job, at),
            *_past(job, at, now),
            *_program(job, at, check_host=check_host),
            *_secrets(job, at),
            *_expansion(job, at),
            *_no_effect(job, at),
        )
    found += (*_pulse(spec.jobs, places, now), *_shared_pings(spec.jobs, places))
    return list(dict.fromkeys(found))


def _warn(
    at: Mapping[str, Place],
    key: str,
    code: str,
    message: str,
    hint: str | None = None,
    *sub: str | int,
) -> Problem:
    """A warning at the key; at the job's header where nobody wrote it."""
    written = key in at
    _, problem = at[key if written else ""].problem(message, hint, *sub, key=not written)
    return replace(problem, code=code)


def _clock_changes(job: Job, at: Mapping[str, Place], now: datetime) -> Iterator[Problem]:
    schedule = job.schedule
    if not schedule.calendar or schedule.zone == "UTC":
        return
    change = _hit_by_change(schedule.calendar, schedule.zone, now.date().toordinal())
    if change:
        yield _warn(
            at,
            schedule.form,
            "HA101",
            f"the clocks of {schedule.zone} {change}",
            'choose another hour, or timezone = "UTC"',
        )


@lru_cache(maxsize=4096)
def _hit_by_change(calendar: tuple[str, ...], zone: str, today: int) -> str | None:
    """What the clock changes of the coming year do to the calendar, in words.

    A schedule that runs every hour or more often is left alone: it neither misses nor doubles.
    """
    wall = Schedule(Form.CALENDAR, "", calendar=calendar)
    period = occurrences.period(wall)
    if period is not None and period <= _HOUR:
        return None
    for start, stop, forward in _changes(zone, today):
        tick = timedelta(microseconds=1)
        hit = next(occurrences.between(wall, start - tick, stop - tick), None)
        if hit:
            what = "skip" if forward else "repeat"
            then = "it does not run then" if forward else "it runs the first time only"
            return f"{what} {hit:%H:%M} on {hit:%Y-%m-%d}: {then}"
    return None


@lru_cache(maxsize=1024)
def _changes(zone: str, today: int) -> tuple[tuple[datetime, datetime, bool], ...]:
    """The wall times (as if UTC) that the year from ``today`` skips (True) or repeats (False)."""
    rules, found = ZoneInfo(zone), []
    start = datetime.fromordinal(today).replace(tzinfo=UTC)
    for day in range(366):
        low = start + day * _DAY
        before, after = _offset(rules, low), _offset(rules, low + _DAY)
        if before == after:
            continue
        high = low + _DAY
        while high - low > timedelta(seconds=1):
            middle = (low + (high - low) / 2).replace(microsecond=0)
            low, high = (middle, high) if _offset(rules, middle) == before else (low, middle)
        edges = sorted((high + before, high + after))
        found.append((edges[0], edges[1], after > before))
    return tuple(found)


def _offset(rules: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(rules).utcoffset() or timedelta(0)


def _times(job: Job, at: Mapping[str, Place]) -> Iterator[Problem]:
    schedule = job.schedule
    period = occurrences.period(schedule)
    if period is None:
        return
    named = f"the period, {format_span(period)}"
    if job.timeout >= period:
        message = f"{format_span(job.timeout)} is no shorter than {named}"
        yield _warn(at, "timeout", "HA102", f"{message}: a slow run meets the next occurrence")
    if schedule.jitter >= period:
        message = f"{format_span(schedule.jitter)} is no shorter than {named}"
        yield _warn(at, "jitter", "HA103", f"{message}: starts no longer follow the schedule")


def _interval(job: Job, at: Mapping[str, Place]) -> Iterator[Problem]:
    every = job.schedule.every
    if every is None or every < _MINUTE:
        return
    common = math.gcd(int(every.total_seconds()), 86400)
    if common < 60:
        yield _warn(
            at,
            "every",
            "HA107",
            f"shares only {common}s with the day: its timer elapses every {common}s"
            " to be turned away",
            "choose whole minutes",
        )


def _past(job: Job, at: Mapping[str, Place], now: datetime) -> Iterator[Problem]:
    schedule = job.schedule
    if schedule.at and schedule.at <= now:
        yield _warn(at, "at", "HA108", f"{rfc3339(schedule.at)} is past: it does not run again")
    elif schedule.not_after and schedule.not_after <= now:
        message = f"{rfc3339(schedule.not_after)} is past: nothing is due any more"
        yield _warn(at, "not_after", "HA108", message)


def _program(job: Job, at: Mapping[str, Place], *, check_host: bool) -> Iterator[Problem]:
    program = job.command[0]
    if not program.startswith("/"):
        message = f'"{program}" is not an absolute path: what runs depends on where it is found'
        yield _warn(at, "command", "HA105", message, f"command -v {program} prints its path")
    elif check_host and not (Path(program).is_file() and os.access(program, os.X_OK)):
        what = "cannot be executed" if Path(program).exists() else "does not exist"
        way = "make it executable" if Path(program).exists() else "install it"
        hint = f"it would fail at each occurrence: write the right path, or {way}"
        yield _warn(at, "command", "HA105", f'"{program}" {what} on this host', hint)


def _secrets(job: Job, at: Mapping[str, Place]) -> Iterator[Problem]:
    hint = "put it into a file that only root reads, and name that in credentials"
    for name, value in job.environment:
        by_name = _SECRET_NAME.search(name) and not name.endswith(("_FILE", "_PATH", "_DIR"))
        if _SECRET_VALUE.search(value) or (by_name and value and not value.startswith("/")):
            message = f"{name} looks like a secret; any user of the host can read it"
            yield _warn(at, f"environment.{name}", "HA106", message, hint)
    if any(_SECRET_VALUE.search(argument) for argument in job.command):
        message = "an argument looks like a secret; any user of the host can read it"
        yield _warn(at, "command", "HA106", message, hint)


def _expansion(job: Job, at: Mapping[str, Place]) -> Iterator[Problem]:
    """A command written as one text, copied from a unit perhaps, whose $ and % stay as they are."""
    place = at["command"]
    if not isinstance(place.raw(), str) or Path(job.command[0]).name in _SHELLS:
        return
    found = next(filter(None, map(_EXPANDED.search, job.command[1:])), None)
    if found:
        hint = "write an array if that is meant; else run it through a shell: sh -c '…'"
        message = f'"{found[0]}" is passed on as it stands, not expanded'
        yield _warn(at, "command", "HA109", message, hint)


def _no_effect(job: Job, at: Mapping[str, Place]) -> Iterator[Problem]:
    own = at[""].layer
    silent = (
        ("prefer", bool(job.prefer) and job.run_on is RunOn.EACH, 'run_on = "each" asks them all'),
        ("retry_elsewhere", job.retry_elsewhere and job.run_on is RunOn.EACH, 'of run_on = "each"'),
        ("retry_elsewhere", job.retry_elsewhere and not job.retries, "retries is 0"),
        ("backoff", not job.retries, "retries is 0"),
        ("timezone", job.schedule.form in {Form.EVERY, Form.ON_BOOT}, "of its kind of schedule"),
    )
    for key, is_silent, why in silent:
        # What defaults and profiles say is for other jobs too.
        if is_silent and key in at and at[key].layer is own and not _dates(job, key):
            yield _warn(at, key, "HA110", f"{key} has no effect here: {why}")


def _shared_pings(jobs: Sequence[Job], places: Places) -> Iterator[Problem]:
    """To the service all that is told to one address is one job."""
    first: dict[str, Job] = {}
    for job in jobs:
        if job.ping_url is None:
            continue
        other = first.setdefault(job.ping_url, job)
        if other is not job:
            shared = f"the job {other.name} has the same"
        elif len(job.for_each) > 1:
            shared = f"the job runs for {len(job.for_each)} scopes"
        else:
            continue
        message = f"{shared}: there a success of one hides the failure of another"
        yield _warn(
            places[job.name], "ping_url", "HA111", message, "give each an address of its own"
        )


def _dates(job: Job, key: str) -> bool:
    """Whether the zone may be there for dates without an offset, or for blackout ranges."""
    schedule = job.schedule
    return key == "timezone" and bool(
        schedule.not_before or schedule.not_after or schedule.blackout or schedule.anchor
    )


def _pulse(jobs: Sequence[Job], places: Places, now: datetime) -> Iterator[Problem]:
    """Instants of the coming day at which more than ``PULSE`` jobs fall due, undelayed."""
    groups: dict[Schedule, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.schedule.jitter < SPREAD and job.schedule.form is not Form.ON_BOOT:
            schedule = replace(job.schedule, text="", jitter=timedelta(0))
            groups[schedule] += [job] * max(len(job.for_each), 1)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    start = midnight - timedelta(microseconds=1)
    instants: dict[datetime, list[Job]] = defaultdict(list)
    if sum(map(len, groups.values())) <= PULSE:
        return
    for schedule, members in groups.items():
        for instant in itertools.islice(occurrences.between(schedule, start, start + _DAY), 48):
            instants[instant] += members
    told: list[set[str]] = []
    for instant, members in sorted(instants.items(), key=lambda i: (-len(i[1]), i[0])):
        names = {job.name for job in members}
        if len(members) <= PULSE or len(told) == MOST_PULSES:
            return
        if any(names <= others for others in told):
            continue
        told.append(names)
        first = members[0]
        yield _warn(
            places[first.name],
            first.schedule.form,
            "HA104",
            f"{len(members)} jobs start at {rfc3339(instant)}, this one among them",
            "spread them over the hour, or give them a jitter of 10min or more",
        )
