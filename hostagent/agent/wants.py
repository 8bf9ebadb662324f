"""What is asked of a ledger for each kind of start."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hostagent.agent.book import Entry
from hostagent.model import Kind, Run
from hostagent.policy.due import Start
from hostagent.policy.words import when
from hostagent.store.port import Backfill, Want


def scheduled(entry: Entry, action: Start, reason: str, now: datetime) -> Want:
    """An occurrence, and the missed ones that it stands for."""
    want = _first(entry, Kind.SCHEDULED, action.at, reason, now)
    covers_from = action.covers_from if action.covers > 1 or action.missed else None
    return replace(want, covers_from=covers_from, covers=action.covers)


def next_attempt(entry: Entry, last: Run, reason: str, now: datetime) -> Want:
    """The same occurrence, once more."""
    want = _first(entry, last.kind, last.scheduled_for, reason, now)
    return replace(want, attempt=last.attempt + 1, covers_from=last.covers_from, covers=last.covers)


def of_backfill(
    entry: Entry, order: Backfill, left: int, at: datetime, reason: str, now: datetime
) -> Want:
    """One of what a person wants to be run of the past, of ``left``."""
    span = f"{when(order.first)} to {when(order.last)}"
    told = f"backfill by {order.by}, {left} left of {span}{reason}"
    return _first(entry, Kind.BACKFILL, at, told, now)


def manual(entry: Entry, as_of: datetime | None, reason: str, now: datetime) -> Want:
    """A run by hand, for now or for another time; it waits for no other job."""
    if entry.job.after:
        reason += f", whatever {', '.join(entry.job.after)} did (after)"
    return _first(entry, Kind.MANUAL, as_of or now.replace(microsecond=0), reason, now)


def _first(entry: Entry, kind: Kind, at: datetime, reason: str, now: datetime) -> Want:
    return Want(entry.job.name, entry.scope, entry.schedule_hash, kind, at, reason, now)
