"""What a backfill still has to run: the occurrences of a past range that have no success.

Whether one has, the ledger's rows say; a run of the backfill itself counts for this order however
it ended, so each occurrence is run once. Nothing here depends on what an agent remembers.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from hostagent.model import Kind, Only, Outcome, Run

MOST = 10_000
"""Occurrences that one order may name."""

_BESIDE = timedelta(microseconds=999)
"""How far a run that a person asked for may lie behind the instant that is meant: where a run of
its kind had that already, it got the next free microsecond."""


def todo(
    due: Sequence[datetime], rows: Iterable[Run], only: Only, since: datetime
) -> list[datetime]:
    """Of the instants ``due`` (ascending) those that are still to be run, ascending.

    ``rows`` are all of the job and scope from the first of them on. ``since``: when the order was
    given.
    """
    is_over, was_tried = [False] * len(due), [False] * len(due)
    for row in rows:
        first = row.covers_from or row.scheduled_for
        if row.kind is not Kind.SCHEDULED:
            first -= _BESIDE
        for index in range(bisect_left(due, first), bisect_right(due, row.scheduled_for)):
            was_tried[index] |= row.attempt > 0
            is_over[index] |= row.outcome is Outcome.SUCCEEDED or _is_of(row, since)
            is_over[index] |= row.outcome is None  # it goes on
    wanted = {Only.ANY: (False, True), Only.MISSING: (False,), Only.FAILED: (True,)}[only]
    return [
        at
        for at, over, tried in zip(due, is_over, was_tried, strict=True)
        if not over and tried in wanted
    ]


def _is_of(row: Run, since: datetime) -> bool:
    """A run of this very order."""
    return row.kind is Kind.BACKFILL and row.claimed_at is not None and row.claimed_at >= since
