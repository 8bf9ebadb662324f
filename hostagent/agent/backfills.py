"""Backfills: what a person wants to be run of a past range, one after the other, on this host.

The order stands in this host's own ledger, what came of it in the rows of its runs: an agent that
is started anew goes on where the last one was. What is left is worked out once and kept.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

from hostagent.agent.book import Book, Entry
from hostagent.agent.world import World
from hostagent.errors import RefusedError
from hostagent.model import Form
from hostagent.policy.backfill import MOST, todo
from hostagent.policy.words import when
from hostagent.schedule.blackout import covering
from hostagent.schedule.occurrences import between
from hostagent.store.port import Backfill, RunFilter

_JUST = timedelta(microseconds=1)


class Backfills:
    """Callers hold the entry's lock, but for looking."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._left: dict[tuple[str, str], tuple[Backfill, list[datetime]]] = {}

    async def left(self, entry: Entry, order: Backfill) -> list[datetime]:
        """What is still to be run, oldest first.

        Raises:
            RefusedError: the range names too many.
        """
        name = (entry.job.name, entry.scope)
        known = self._left.get(name)
        if known is None or known[0] != order:
            known = self._left[name] = (order, await self.find(entry, order))
        return known[1]

    async def find(self, entry: Entry, order: Backfill) -> list[datetime]:
        """What an order names that has no success yet, by the ledger; see ``left``."""
        schedule = entry.job.schedule
        found = between(schedule, order.first - _JUST, order.last)
        due = list(islice(found, MOST + 1))
        if len(due) > MOST:
            raise RefusedError(
                f"{entry.job.name} has more than {MOST} occurrences from {when(order.first)} to "
                f"{when(order.last)}; the last of these falls due {when(due[-1])}",
                "ask for less at a time",
            )
        if schedule.blackout:
            due = [at for at in due if covering(schedule.blackout, schedule.zone, at) is None]
        store = self._world.store_of(entry)
        where = RunFilter(job=entry.job.name, scope=entry.scope, since=order.first)
        rows = await store.call(store.it.runs, where)
        return todo(due, rows, order.only, order.since)

    def began(self, entry: Entry, at: datetime) -> None:
        """The occurrence ``at`` has its run now."""
        _, left = self._left[entry.job.name, entry.scope]
        left.remove(at)

    def look_again(self, entry: Entry) -> None:
        """The ledger says more of it than it did: a run of another kind has ended."""
        self._left.pop((entry.job.name, entry.scope), None)

    async def end(self, book: Book, entry: Entry) -> bool:
        """The order is done, or given up; False when there was none."""
        own, name = self._world.own, (entry.job.name, entry.scope)
        was_there = await own.call(own.it.end_backfill, *name)
        self._left.pop(name, None)
        book.end_backfill(*name)
        return was_there


def why_not(entry: Entry, order: Backfill) -> str | None:
    """Why a job has no past to be run, or None. ``order.last`` is not above the mark."""
    job = entry.job
    if job.schedule.form is Form.ON_BOOT:
        return f"{job.name} runs at each boot: its schedule names no instants"
    if not entry.registered or entry.high_water is None:
        return f"{job.name} is not registered; run: hostagent apply"
    if order.last < order.first:
        return (
            f"nothing of {job.name} that fell due from {when(order.first)} on has its outcome yet; "
            f"see: hostagent backlog list"
        )
    return None
