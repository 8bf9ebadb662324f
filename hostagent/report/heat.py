"""Which minutes are crowded: how many jobs start together, before and after their jitter.

Pure, from the calendars alone, as ``upcoming``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from hostagent.model import Job
from hostagent.schedule.jitter import delay
from hostagent.schedule.occurrences import between

HOURS = range(24)


@dataclass(frozen=True, slots=True)
class Hour:
    """How many occurrences fall due in an hour, and the most starts in one minute of it."""

    due: int = 0
    scheduled: int = 0
    jittered: int = 0


Heat = Mapping[tuple[date, int], Hour]
"""By local day and hour; an hour in which nothing starts is not there."""


def heat(jobs: Iterable[Job], host: str, after: datetime, until: datetime) -> Heat:
    """The bounds hold for ``scheduled_for``; what jitter moves past the last hour is there, too."""
    scheduled: Counter[int] = Counter()
    jittered: Counter[int] = Counter()
    for job in jobs:
        for scope in job.scopes(host):
            late_s = delay(job.name, scope, job.schedule.jitter).total_seconds()
            for at in between(job.schedule, after, until):
                seconds = at.timestamp()
                scheduled[int(seconds // 60)] += 1
                jittered[int((seconds + late_s) // 60)] += 1
    found: dict[tuple[date, int], Hour] = {}
    for minute in sorted({*scheduled, *jittered}):
        local = (datetime.fromtimestamp(0, UTC) + timedelta(minutes=minute)).astimezone()
        key = (local.date(), local.hour)
        before = found.get(key, Hour())
        found[key] = Hour(
            before.due + scheduled[minute],
            max(before.scheduled, scheduled[minute]),
            max(before.jittered, jittered[minute]),
        )
    return found


def rows(found: Heat, *, with_jitter: bool) -> list[tuple[date, tuple[int, ...]]]:
    """A row of 24 hours for each day: the most starts in one minute."""
    empty = Hour()
    return [
        (
            day,
            tuple(
                hour.jittered if with_jitter else hour.scheduled
                for hour in (found.get((day, number), empty) for number in HOURS)
            ),
        )
        for day in sorted({day for day, _ in found})
    ]
