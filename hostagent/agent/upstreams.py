"""What the ledgers say of the jobs that an entry comes after; ``policy.upstream`` judges it.

As little is read as decides: of what may start, the newest (``missed = "all"``: the oldest) first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hostagent.agent.book import Book, Entry
from hostagent.agent.world import World
from hostagent.errors import StoreUnavailable
from hostagent.model import Job, Missed, Outcome, Run, RunOn
from hostagent.policy import upstream
from hostagent.policy.due import Owed
from hostagent.policy.upstream import UNASKED, Free, Lacks, Period, Upstream
from hostagent.store.port import RunFilter, Store

LOOKED_AT = 10
"""So many periods back, at most, an occurrence is looked for that may start."""

ROWS = 20
"""So many of its last rows tell how a period stands."""

_JUST = timedelta(microseconds=1)


class Upstreams:
    """Of the entries of one book."""

    def __init__(self, world: World, book: Book) -> None:
        self._world = world
        self._book = book

    async def judged(self, entry: Entry, due: Sequence[Owed], now: datetime) -> tuple[Owed, ...]:
        """``due`` with what its upstreams say, divided where their periods begin."""
        if not entry.job.after:
            return tuple(due)
        is_each = entry.job.missed is Missed.ALL
        late_from = now - upstream.patience(entry.job)
        found: list[Owed] = []
        left, rest = 1 if is_each else LOOKED_AT, None
        for owed in _in_order(due, late_from, is_each=is_each):
            times = owed.times
            if owed.blackout is not None:
                found.append(owed)
                continue
            if times[-1] < late_from:  # one sentence for all of them
                verdict, _ = await self._verdict(entry, times[-1], now)
                found.append(replace(owed, upstream=verdict))
                continue
            while times and left:
                verdict, bounds = await self._verdict(entry, times[0 if is_each else -1], now)
                part, times = _divided(times, bounds, is_each=is_each)
                found.append(replace(owed, times=part, upstream=verdict))
                left, rest = left - 1, UNASKED if is_each else verdict
                if isinstance(verdict, Free) and not is_each:
                    left, rest = 0, None  # that one stands for all before it
            if times:
                found.append(replace(owed, times=times, upstream=rest))
        return tuple(found if is_each else reversed(found))

    async def told(self, entry: Entry) -> str:
        """Why the entry waits for others, as it is now."""
        awaits = entry.awaits
        assert awaits is not None
        verdict, _ = await self._verdict(entry, awaits.at, self._world.clock.now())
        return verdict.reason

    def are_elsewhere(self, entry: Entry) -> bool:
        """Whether they may run on other hosts, whose ends nobody tells us."""
        runs_on = {self._book.jobs[name].run_on for name in entry.job.after}
        return self._world.shared is not None and RunOn.ONE in runs_on

    async def _verdict(
        self, entry: Entry, at: datetime, now: datetime
    ) -> tuple[Free | Lacks, Period]:
        """About the occurrence ``at`` of the entry, and all others in the same periods."""
        found = [
            await self._read(job, scope, at)
            for job in (self._book.jobs[name] for name in entry.job.after)
            for scope in upstream.scopes(entry.scope, job)
        ]
        begins = [one.period.begins for one in found if one.period.begins is not None]
        ends = [one.period.ends for one in found if one.period.ends is not None]
        bounds = Period(max(begins, default=None), min(ends, default=None))
        return upstream.judge(found, now), bounds

    async def _read(self, job: Job, scope: str, at: datetime) -> Upstream:
        store = self._world.ledger(is_leased=job.run_on is RunOn.ONE)
        bounds = upstream.period(job.schedule, at)
        try:
            return await store.call(read, store.it, job.name, scope, bounds)
        except StoreUnavailable:
            return Upstream(job.name, scope, bounds, None)


def read(store: Store, job: str, scope: str, bounds: Period) -> Upstream:
    """What a ledger says of a (job, scope) in one of its periods."""
    begins, until = bounds.begins, bounds.ends and bounds.ends - _JUST
    if begins is None:
        return Upstream(job, scope, bounds, ())
    inside = RunFilter(job=job, scope=scope, since=begins, until=until, limit=ROWS)
    standing_for = RunFilter(job=job, scope=scope, covering=begins, limit=ROWS)
    for where in (inside, standing_for):
        if done := store.runs(replace(where, outcomes=(Outcome.SUCCEEDED,))):
            return Upstream(job, scope, bounds, tuple(done))
    rows: list[Run] = [*store.runs(inside), *store.runs(standing_for)]
    (cursor,) = store.cursors([(job, scope)]) or (None,)
    if cursor is None:
        return Upstream(job, scope, bounds, tuple(rows))
    return Upstream(job, scope, bounds, tuple(rows), cursor.retry, cursor.retry_at)


def _in_order(due: Sequence[Owed], late_from: datetime, *, is_each: bool) -> Iterator[Owed]:
    """Oldest first, or newest first; those apart that are too late."""
    for owed in due if is_each else reversed(due):
        cut = bisect_left(owed.times, late_from)
        parts = owed.times[:cut], owed.times[cut:]
        for times in parts if is_each else reversed(parts):
            if times:
                yield replace(owed, times=times)


def _divided(
    times: Sequence[datetime], bounds: Period, *, is_each: bool
) -> tuple[Sequence[datetime], Sequence[datetime]]:
    """Those inside the bounds, which hold the oldest (else the newest) of them; and the rest."""
    if is_each:
        cut = bisect_left(times, bounds.ends) if bounds.ends else len(times)
        return times[:cut], times[cut:]
    cut = bisect_left(times, bounds.begins) if bounds.begins else 0
    return times[cut:], times[:cut]
