"""The alarms that stand in one ledger: changed there by compare-and-set, and told by who changed.

``policy.alarms`` says what becomes of each. Who makes one moves the instant of the next try first,
so a teller that is lost is replaced by whoever looks then: the ledger is the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from typing import Any

from hostagent.agent.book import Book
from hostagent.agent.messages import ALARM, alarm_fields
from hostagent.agent.offload import Offloaded
from hostagent.agent.tell.telling import Telling
from hostagent.agent.tell.verdicts import Name
from hostagent.agent.world import World
from hostagent.errors import StoreUnavailable
from hostagent.model import Alarm
from hostagent.policy import alarms as policy
from hostagent.policy.trouble import Verdict
from hostagent.store.port import Store


class Outbox:
    """One agent's, of ``ledger``. ``look`` is called where an alarm is to be looked at again.

    ``standing`` is what the last reading showed. Methods raise what the ledger raises.
    """

    def __init__(
        self,
        world: World,
        ledger: Offloaded[Store],
        book: Callable[[], Book],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        look: Callable[[Name], None],
    ) -> None:
        self.standing: dict[Name, Alarm] = {}
        self._world = world
        self._ledger = ledger
        self._book = book
        self._spawn = spawn
        self._look = look
        self._telling = Telling(world)

    def now(self) -> datetime:
        """By the clock that is behind, this host's or the store's.

        Else one that is set an hour ahead would make every job silent at once.
        """
        now = self._world.clock.now()
        return min(now, self._world.cluster.by_store(now))

    async def stored(self) -> list[Alarm]:
        """What the ledger holds."""
        return await self._ledger.call(self._ledger.it.alarms)

    async def read(self, only: Name | None = None) -> None:
        """See what stands there now, of all or of one."""
        named = {(one.job, one.scope): one for one in await self.stored()}
        self.standing = {name: one for name, one in named.items() if only in {None, name}}

    def due_at(self) -> datetime | None:
        """When somebody is to be told again; None: nobody."""
        return min((one.due_at for one in self.standing.values() if one.due_at), default=None)

    def is_news(self, name: Name, verdict: Verdict, to: tuple[str, ...]) -> bool:
        """Whether the verdict changes what stands."""
        standing = self.standing.get(name)
        return policy.step(standing, name, verdict, to, self.now()) != standing

    async def judge(self, name: Name, verdict: Verdict, to: tuple[str, ...]) -> None:
        """Begin, change or end the alarm of ``name``; ``to`` are told."""
        before = self.standing.get(name)
        after = policy.step(before, name, verdict, to, self.now())
        if after != before:
            await self.change(name, after, verdict.relief)

    async def change(self, name: Name, after: Alarm | None, relief: str) -> None:
        """If nobody else has: say it, and tell those who are to be told."""
        before = self.standing.get(name)
        if not await self._change(before, after):
            self._look(name)  # another host was faster: it tells
            return
        self._keep(name, after)
        if after is not None:
            self._record(after)
            self._tell(after)
        elif before is not None and before.over_at is None:
            self._record(replace(before, over_at=self.now(), reason=relief))

    async def try_again(self) -> None:
        """Who could not be reached, or whose teller was lost."""
        now = self.now()
        for name, alarm in list(self.standing.items()):
            if alarm.due_at is None or alarm.due_at > now:
                continue
            taken = policy.taken(alarm, now)
            if await self._change(alarm, taken):
                self._keep(name, taken)
                self._tell(taken)
            else:
                self._look(name)

    async def _change(self, before: Alarm | None, after: Alarm | None) -> bool:
        return await self._ledger.call(self._ledger.it.change_alarm, before, after)

    def _keep(self, name: Name, alarm: Alarm | None) -> None:
        if alarm is None:
            self.standing.pop(name, None)
        else:
            self.standing[name] = alarm

    def _record(self, alarm: Alarm) -> None:
        self._world.record(policy.sentence(alarm), alarm_fields(alarm, ALARM))

    def _tell(self, alarm: Alarm) -> None:
        if alarm.untold:
            self._spawn(self._tell_all(alarm))

    async def _tell_all(self, alarm: Alarm) -> None:
        """And note how far people know it. While it takes, nobody else tells it."""
        name = alarm.job, alarm.scope
        manifest = self._book().manifest
        work = asyncio.ensure_future(self._telling.tell(alarm, manifest, self.now()))
        try:
            while not (await asyncio.wait({work}, timeout=policy.HOLD.total_seconds() / 3))[0]:
                with contextlib.suppress(StoreUnavailable):
                    held = policy.held(alarm, self.now())
                    if await self._change(alarm, held):
                        alarm = held
                        self._keep(name, held)
            told = work.result()
            after = policy.tried(alarm, told.reached, self.now(), told.quiet)
        finally:
            work.cancel()
        if await self._change(alarm, after):
            self._keep(name, after)
        self._look(name)
