"""From the schedule and the high-water mark to what a job owes; and when to look again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from hostagent.agent.book import Entry
from hostagent.model import Form, Overlap, Schedule
from hostagent.policy.due import FRESH_FOR, Expired, Owed
from hostagent.policy.upstream import SEEN_TO
from hostagent.schedule.blackout import stretches
from hostagent.schedule.occurrences import latest, next_after, row
from hostagent.schedule.zones import MICROSECOND

GRACE = timedelta(seconds=5)
"""How long PID 1 has, after an occurrence's jitter, before the agent starts the job itself."""


def owed(
    entry: Entry, until: datetime, booted_at: datetime
) -> tuple[Expired | None, tuple[Owed, ...]]:
    """What fell due above the high-water mark: beyond the catch-up window, and inside it.

    What is inside is divided where a blackout range begins or ends, and counted, not listed.
    """
    schedule, high_water = entry.job.schedule, entry.high_water
    if high_water is None:
        return None, ()
    if schedule.form is Form.ON_BOOT:
        return None, (Owed((booted_at,)),) if high_water < booted_at <= until else ()
    window = max(entry.job.catch_up_window, schedule.jitter + FRESH_FOR)
    if entry.job.after:
        window += SEEN_TO
    start, expired = high_water, None
    if until - window > high_water:
        start = until - window
        if span := latest(schedule, high_water, start):
            expired = Expired(span.first, span.last, span.count)
    return expired, tuple(_divided(schedule, row(schedule, start, until)))


def _divided(schedule: Schedule, times: Sequence[datetime]) -> Iterator[Owed]:
    """In parts, of which a blackout covers all or nothing."""
    if not schedule.blackout or not times:
        yield from [Owed(times)] if times else []
        return
    begin = 0
    bounds = times[0] - MICROSECOND, times[-1]
    for last, text in stretches(schedule.blackout, schedule.zone, *bounds):
        end = bisect_right(times, last)
        if begin < end:
            yield Owed(times[begin:end], text)
        begin = end


def patience(entry: Entry) -> timedelta:
    """How long after an occurrence fell due the second clock looks whether it has started.

    PID 1 does not start what runs, so nobody else says when a run is to be replaced.
    """
    replaces = entry.active is not None and entry.job.overlap is Overlap.REPLACE
    return entry.job.schedule.jitter + (timedelta(0) if replaces else GRACE)


def next_due(entry: Entry, now: datetime, patience: timedelta) -> datetime | None:
    """The first occurrence that the second clock still has to look after; None: there is none."""
    schedule = entry.job.schedule
    if not entry.registered or entry.high_water is None or schedule.form is Form.ON_BOOT:
        return None
    return next_after(schedule, max(entry.high_water, now - patience))
