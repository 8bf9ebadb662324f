"""From the schedule and the high-water mark to what a job owes; and when to look again."""

from __future__ import annotations

from datetime import datetime, timedelta

from hostagent.agent.book import Entry
from hostagent.model import Form, Overlap
from hostagent.policy.due import FRESH_FOR, Expired, Owed
from hostagent.schedule.blackout import covering
from hostagent.schedule.occurrences import between, latest, next_after

GRACE = timedelta(seconds=5)
"""How long PID 1 has, after an occurrence's jitter, before the agent starts the job itself."""


def owed(
    entry: Entry, until: datetime, booted_at: datetime
) -> tuple[Expired | None, tuple[Owed, ...]]:
    """What fell due above the high-water mark: beyond the catch-up window, and inside it."""
    schedule, high_water = entry.job.schedule, entry.high_water
    if high_water is None:
        return None, ()
    if schedule.form is Form.ON_BOOT:
        return None, (Owed(booted_at),) if high_water < booted_at <= until else ()
    window = max(entry.job.catch_up_window, schedule.jitter + FRESH_FOR)
    start, expired = high_water, None
    if until - window > high_water:
        start = until - window
        if span := latest(schedule, high_water, start):
            expired = Expired(span.first, span.last, span.count)
    return expired, tuple(
        Owed(at, covering(schedule.blackout, schedule.zone, at) if schedule.blackout else None)
        for at in between(schedule, start, until)
    )


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
