"""Handing an alarm to those who are to be told of it, each by a program beside the agent."""

from __future__ import annotations

import asyncio
import logging
import sys
import uuid
from dataclasses import dataclass
from datetime import datetime

from hostagent.agent.messages import NOT_TOLD, alarm_fields
from hostagent.agent.tell import deliver
from hostagent.agent.world import World
from hostagent.model import Alarm, Manifest, Notify
from hostagent.policy import alarms as policy

AT_ONCE = 16
"""How many deliveries go on at the same time; others wait for their turn."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """Who was reached, and who has quiet hours, until when."""

    reached: tuple[str, ...]
    quiet: dict[str, datetime]


class Telling:
    """One agent's. What goes wrong is said in the journal, and is nobody's failure."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._room = asyncio.Semaphore(AT_ONCE)
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def tell(self, alarm: Alarm, manifest: Manifest | None, now: datetime) -> Told:
        """Tell all who are to be told and have no quiet hours.

        Who is no longer anybody, by what is deployed, counts as reached.
        """
        known = {one.name: one for one in (manifest.notify if manifest else ())}
        found = [known[to] for to in alarm.untold if to in known]
        ends = {one.name: policy.quiet_until(one, now) for one in found}
        quiet = {name: at for name, at in ends.items() if at is not None}
        asked = [one for one in found if one.name not in quiet]
        answers = await asyncio.gather(*(self._tell_one(alarm, one) for one in asked))
        missed = {one.name for one, is_told in zip(asked, answers, strict=True) if not is_told}
        if missed and policy.is_last_try(alarm):
            log.error("%s: given up to tell %s", policy.sentence(alarm), ", ".join(sorted(missed)))
        reached = tuple(to for to in alarm.untold if to not in missed | quiet.keys())
        return Told(reached, quiet)

    async def _tell_one(self, alarm: Alarm, notify: Notify) -> bool:
        """To one, one after the other of a job's: what is over is told after what began."""
        turn = self._locks.setdefault((alarm.job, alarm.scope, notify.name), asyncio.Lock())
        async with turn, self._room:
            return await self._hand_over(alarm, notify)

    async def try_out(self, notify: Notify) -> str:
        """Send a message that says nothing is wrong; why it was not taken, empty if it was."""
        world = self._world
        return await self._send(policy.trial(world.host, world.clock.now()), notify)

    async def _hand_over(self, alarm: Alarm, notify: Notify) -> bool:
        if why := await self._send(alarm, notify):
            said = f"{notify.name} was not told that {policy.sentence(alarm)} ({why})"
            self._world.record(said, alarm_fields(alarm, NOT_TOLD) | {"PRIORITY": "4"})
        return not why

    async def _send(self, alarm: Alarm, notify: Notify) -> str:
        """Why it was not taken; empty: it was."""
        done = await self._world.beside(
            (sys.executable, "-m", "hostagent.agent.tell.deliver"),
            deliver.packed(notify, policy.message(alarm)),
            unit=f"hostagentd-tell-{uuid.uuid4().hex[:8]}.service",
            user=self._world.paths.user,
            does="telling of a job or a host",
        )
        why = (done.line or f"exit {done.status}") if done.status else ""
        self._world.misses.note(notify.name, self._world.clock.now(), why)
        return why
