"""What goes on on this host, for people who watch it: its runs, what they use, who takes slots."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import cast

from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book, Entry
from hostagent.agent.interface import Activity, Slots, Using
from hostagent.agent.world import World
from hostagent.codec import rfc3339
from hostagent.errors import SystemdError
from hostagent.model import Run, Usage
from hostagent.policy import slots

FRESH_S = 0.5
"""How long a reading is as good as new: anyone may ask, and PID 1 has better to do."""


class Glance:
    """Looks when asked, and not before. ``book`` gives the book of now."""

    def __init__(self, world: World, book: Callable[[], Book], backlog: Backlog) -> None:
        self._world, self._book, self._backlog = world, book, backlog
        self._reading = asyncio.Lock()
        self._last: Activity | None = None
        self._read_s = float("-inf")

    async def now(self) -> Activity:
        """The runs of this host, the oldest first, and the slots that they take."""
        async with self._reading:
            now_s = self._world.clock.boottime_s()
            if self._last is None or now_s - self._read_s > FRESH_S:
                self._last, self._read_s = await self._read(), now_s
            return self._last

    async def _read(self) -> Activity:
        book = self._book()
        active = [(entry, entry.active) for entry in book if entry.active is not None]
        active.sort(key=lambda one: one[1].started_at or one[1].scheduled_for)
        lanes, pools = self._backlog.slots(book)
        return Activity(
            runs=[await self._using(entry, run) for entry, run in active],
            read_at=rfc3339(self._world.clock.now()),
            lanes=_told(lanes),
            pools=_told(pools),
        )

    async def _using(self, entry: Entry, run: Run) -> Using:
        """What PID 1 does not tell now is taken for unknown."""
        systemd, usage, memory = self._world.systemd, Usage(), None
        with contextlib.suppress(SystemdError):
            usage = await systemd.call(systemd.it.usage, entry.unit.service)
            memory = await systemd.call(systemd.it.memory, entry.unit.service)
        return Using(
            run_id=run.run_id,
            unit=entry.unit.service,
            started=rfc3339(run.started_at) if run.started_at else "",
            cpu_s=usage.cpu_s,
            memory=memory,
            lane=str(entry.job.lane),
            pool=entry.job.pool or "",
            catches_up=entry.catching_up,
        )


def _told(found: Iterable[slots.Slots]) -> list[Slots]:
    return [cast("Slots", asdict(one)) for one in found]
