"""What people see of an agent: its state, and what the gate holds. To ask changes nothing."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import cast

from hostagent import __version__
from hostagent.agent.book import order_of
from hostagent.agent.daemon import Daemon
from hostagent.agent.glance import Glance
from hostagent.agent.interface import (
    Activity,
    Backfilling,
    Backlog,
    Held,
    Sample,
    Standing,
    Status,
    StormFact,
    Untold,
)
from hostagent.codec import rfc3339
from hostagent.errors import HostagentError
from hostagent.policy import samples
from hostagent.policy.alarms import sentence
from hostagent.policy.backlog import NEVER, Waiting
from hostagent.policy.forecast import Expected


class Answers:
    """Looks at a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._world = daemon.world
        self._glance = Glance(daemon.world, lambda: daemon.book, daemon.backlog)

    async def status(self) -> Status:
        """What this agent sees."""
        book = self._daemon.book
        next_at, next_job = book.next_due()
        held, marks = self._daemon.backlog.told(book), self._daemon.hung.marks()
        upstreams = self._daemon.starts.upstreams
        waits = {e.title: await upstreams.told(e) for e in book if e.awaits is not None}
        return Status(
            version=__version__,
            host=self._world.host,
            generation=book.manifest.generation if book.manifest else 0,
            jobs=len(book),
            running=[e.active.run_id for e in book if e.active is not None],
            hung=[mark.run_id for mark in marks],
            hung_since=[rfc3339(mark.since) for mark in marks],
            hung_because=[mark.reason for mark in marks],
            held=[waiting.name for waiting, _ in held],
            held_because=[why for _, why in held],
            waits=list(waits),
            waits_because=list(waits.values()),
            settles=self._daemon.backlog.settles(book) or "",
            pace=self._daemon.backlog.pace(),
            paused=[order_of(one) for one in book.pauses(self._world.clock.now())],
            next_job=next_job,
            next_at=rfc3339(next_at) if next_at else "",
            barred=self._daemon.starts.barred() or "",
            store_reached=not self._world.is_cut_off,
            lease_s=self._lease_s(),
            alarms=[
                Standing(
                    job=one.job,
                    scope=one.scope,
                    alarm=one.kind,
                    since=rfc3339(one.since),
                    reason=one.reason,
                    sentence=sentence(one),
                )
                for one in await self._daemon.alarms.standing()
            ],
            untold=[
                Untold(name=one.name, times=one.times, at=rfc3339(one.at), why=one.why)
                for one in self._world.misses.standing([one.name for one in book.notifiers()])
            ],
        )

    async def going(self) -> Activity:
        """What runs here, and what it uses."""
        return await self._glance.now()

    async def backlog(self) -> Backlog:
        """What the gate holds."""
        book, backlog = self._daemon.book, self._daemon.backlog
        found = await backlog.forecast(book)
        now, now_s = self._world.clock.now(), self._world.clock.boottime_s()
        level, most, used = backlog.level(book)
        return Backlog(
            settles=backlog.settles(book) or "",
            level=level,
            most=most,
            used=used,
            pace=backlog.pace(),
            held=[
                _held(one, why, found.get(one.name), now, now_s) for one, why in backlog.told(book)
            ],
            catching_up=[e.active.run_id for e in book if e.active is not None and e.catching_up],
            backfills=await self._backfills(),
            storm=[
                StormFact(is_so=fact.is_so, sentence=fact.sentence) for fact in backlog.storm(book)
            ],
        )

    async def _backfills(self) -> list[Backfilling]:
        found = []
        for entry in self._daemon.book:
            if order := self._daemon.book.backfill_of(entry):
                left = None
                with contextlib.suppress(HostagentError):  # its store is away
                    left = len(await self._daemon.backfills.left(entry, order))
                found.append(
                    Backfilling(
                        name=entry.title,
                        first=rfc3339(order.first),
                        last=rfc3339(order.last),
                        left=left,
                        by=order.by,
                    )
                )
        return found

    def _lease_s(self) -> float | None:
        deadline_s = self._world.cluster.deadline_s
        return None if deadline_s is None else deadline_s - self._world.clock.boottime_s()

    async def samples(self) -> list[Sample]:
        """How the backlogs of the last hour went."""
        found = samples.last_hour(self._daemon.backlog.samples, self._world.clock.now())
        return [cast("Sample", asdict(one) | {"at": rfc3339(one.at)}) for one in found]


def _held(one: Waiting, why: str, found: Expected | None, now: datetime, now_s: float) -> Held:
    """``now`` by both clocks."""
    return Held(
        name=one.name,
        due=rfc3339(one.due) if one.due else "",
        covers=one.covers,
        since=rfc3339(now - timedelta(seconds=round(now_s - one.since_s))),
        lost=rfc3339(one.deadline) if one.deadline < NEVER else "",
        expected=rfc3339(now + timedelta(seconds=round(found.in_s))) if found else "",
        bound=found.bound if found else "",
        reason=why,
    )
