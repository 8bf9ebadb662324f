"""Which runs stand still: their units' counters are read now and then, and people are told.

``policy.hung`` decides. Nothing here stops a run; only a job's own ``heartbeat`` does, and PID 1
watches that, so a job that has one is not looked at. A run that ends before the first look costs
nothing, and while nothing runs nobody wakes up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostagent.agent.book import Book, Entry
from hostagent.agent.messages import HUNG, MOVES_ON, fields_of
from hostagent.agent.world import World
from hostagent.errors import SystemdError
from hostagent.model import Run
from hostagent.policy import hung
from hostagent.policy.hung import Reading, Watch
from hostagent.policy.words import span_text


@dataclass(frozen=True, slots=True)
class Mark:
    """A run that is shown as ``hung?``: since when it was not seen to move, and the sentence."""

    run_id: str
    since: datetime
    reason: str


class Hung:
    """What is known of the runs that go on, by InvocationID.

    ``book`` gives the book of now; ``on_due`` is called when it is time to ``look``.
    """

    def __init__(self, world: World, book: Callable[[], Book], on_due: Callable[[], None]) -> None:
        self._world, self._book, self._on_due = world, book, on_due
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[str, Watch] = {}
        self._marks: dict[str, Mark] = {}
        self._movers: set[str] = set()

    def watch(self, entry: Entry) -> None:
        """Something was decided about ``entry``: look at its run, if it has one, before long."""
        if self._timer is None and _invocation(entry) is not None:
            after_s = hung.every(self._world.hung_after).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(after_s, self._due)

    def rest(self) -> None:
        """A run has ended: if it was the last one, nobody has to wake up."""
        if self._timer is not None and not any(map(_invocation, self._book())):
            self.stop()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def marks(self) -> list[Mark]:
        """The runs that stand still, as they did when they were looked at last."""
        if not self._marks:
            return []
        found = (self._marks.get(_invocation(entry) or "") for entry in self._book())
        return [mark for mark in found if mark is not None]

    def sign(self, entry: Entry) -> tuple[Mark | None, bool]:
        """The mark of its run, and whether that was ever seen to move."""
        invocation_id = _invocation(entry) or ""
        return self._marks.get(invocation_id), invocation_id in self._movers

    def _due(self) -> None:
        self._timer = None
        self._on_due()

    async def look(self) -> list[Entry]:
        """Read what each run has used by now, and tell the journal what changed.

        Returns of which there is another ``sign`` than before.
        """
        going = {one: entry for entry in self._book() if (one := _invocation(entry)) is not None}
        self._watched = {one: seen for one, seen in self._watched.items() if one in going}
        self._marks = {one: mark for one, mark in self._marks.items() if one in going}
        self._movers &= going.keys()
        before = {one: self._knows(one) for one in going}
        for one, entry in going.items():
            with contextlib.suppress(SystemdError):  # nothing is known now: the next look tells
                await self._look(one, entry)
        for entry in self._book():
            self.watch(entry)
        return [entry for one, entry in going.items() if self._knows(one) != before[one]]

    def _knows(self, invocation_id: str) -> tuple[bool, bool]:
        return invocation_id in self._marks, invocation_id in self._movers

    async def _look(self, invocation_id: str, entry: Entry) -> None:
        world, before = self._world, self._watched.get(invocation_id)
        at, now = world.clock.now(), await self._reading(entry)
        has_printed = False
        if before is not None and hung.is_unsure(before, now, world.hung_after):
            since = at - timedelta(seconds=now.at_s - before.last.at_s)
            has_printed = bool(
                await asyncio.to_thread(
                    world.journal_tail, invocation_id, entry.unit.service, since
                )
            )
        watch = hung.follow(before, now, world.hung_after, has_printed=has_printed)
        self._watched[invocation_id] = watch
        if before is not None and watch.since is watch.last:
            self._movers.add(invocation_id)
        if entry.active is not None and _invocation(entry) == invocation_id:  # it has not ended
            self._tell(entry, entry.active, invocation_id, watch)

    async def _reading(self, entry: Entry) -> Reading:
        systemd, now_s = self._world.systemd, self._world.clock.monotonic_s()
        usage = await systemd.call(systemd.it.usage, entry.unit.service)
        counted = [count for count in (usage.io_read, usage.io_written) if count is not None]
        return Reading(now_s, usage.cpu_s, sum(counted) if counted else None)

    def _tell(self, entry: Entry, run: Run, invocation_id: str, watch: Watch) -> None:
        still, mark = hung.decide(watch, self._world.hung_after), self._marks.get(invocation_id)
        now, fields = self._world.clock.now(), fields_of(run, entry.unit.service)
        if still is not None and mark is not None:
            self._marks[invocation_id] = replace(mark, reason=still.reason)
        elif still is not None:
            self._marks[invocation_id] = Mark(run.run_id, now - still.span, still.reason)
            text = f"{run.run_id} {still.reason}: it may hang, or wait for something"
            self._world.record(text, fields | {"MESSAGE_ID": HUNG, "PRIORITY": "4"})
        elif mark is not None:
            del self._marks[invocation_id]
            text = f"{run.run_id} moves on, after {span_text(now - mark.since)} without a sign"
            self._world.record(text, fields | {"MESSAGE_ID": MOVES_ON, "PRIORITY": "5"})


def _invocation(entry: Entry) -> str | None:
    """Of the run that is looked at; None: there is none."""
    if entry.active is None or entry.job.heartbeat is not None:
        return None
    return entry.active.invocation_id
