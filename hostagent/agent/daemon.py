"""The daemon: follows PID 1's signals and the clock, and keeps the book.

Level-triggered: an event only says which entry to look at; what is done follows from the store,
PID 1 and the schedule as they are then, and may be done again without harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from hostagent.agent.book import Book, Entry
from hostagent.agent.endings import Endings
from hostagent.agent.starts import Starts, Verdict
from hostagent.agent.wakes import Wakes
from hostagent.agent.world import World
from hostagent.errors import HostagentError
from hostagent.host.clock import Fired, WallTimer
from hostagent.model import Kind, Manifest, Outcome, Run, content_json, run_id
from hostagent.policy.outcome import Ended
from hostagent.store.port import Registration
from hostagent.systemd.port import Systemd

log = logging.getLogger(__name__)

AGAIN = timedelta(seconds=5)
"""When to try again what PID 1 or the store refused."""

EVERY_DAY = timedelta(days=1)


class Daemon:
    """One agent's life.

    ``signals`` is a connection to PID 1 of the loop's own. ``read_manifest`` gives what is
    deployed, or None.
    """

    def __init__(
        self,
        world: World,
        signals: Systemd,
        timer: WallTimer,
        read_manifest: Callable[[], Manifest | None],
    ) -> None:
        self.world = world
        self._signals = signals
        self._timer = timer
        self._read_manifest = read_manifest
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed: set[str] = set()
        self._pruned_at: datetime | None = None
        self._reloading = asyncio.Lock()
        self.wakes = Wakes(timer)
        self.endings = Endings(world)
        self.book = Book(None, ())
        self.starts = Starts(world, self.book, self.wakes, self.endings)
        self.on_change: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Take up the manifest and whatever ran, or fell due, while no agent was up."""
        loop = asyncio.get_running_loop()
        hints = self._signals.watch("hostagent-", self._unit_changed)
        loop.add_reader(hints, self._signals.dispatch)
        loop.add_reader(self._timer.fileno(), self._timer_fired)
        await self.reload()

    async def stop(self) -> None:
        """End what this process does; runs and claims go on without it."""
        asyncio.get_running_loop().remove_reader(self._timer.fileno())
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reload(self) -> None:
        """Rebuild the book from manifest and store, then look at every entry."""
        async with self._reloading:
            manifest = await asyncio.to_thread(self._read_manifest)
            if manifest is not None:
                await self._register_unknown(manifest)
            await self._rebuild(manifest)
            for entry in self.book:
                await self.look(entry)
        self.on_change()

    async def _rebuild(self, manifest: Manifest | None) -> None:
        """Nothing is decided about any entry while its ground is exchanged."""
        store = self.world.store
        async with contextlib.AsyncExitStack() as stack:
            for entry in self.book:
                await stack.enter_async_context(entry.lock)
            cursors = await store.call(store.it.cursors)
            pauses = await store.call(store.it.pauses)
            self.wakes.clear()
            self.book = Book(manifest, cursors, self.book)
            self.book.pauses = pauses
            self.starts = Starts(self.world, self.book, self.wakes, self.endings)

    async def look(self, entry: Entry) -> None:
        """See whether the entry's run has ended, and decide about what it owes.

        What PID 1 or the store refuses now is tried again in some seconds.
        """
        try:
            async with entry.lock:
                await self._look(entry)
        except HostagentError as error:
            log.error("%s: %s", entry.unit.service, error.message)  # noqa: TRY400 -- for people
            self.look_later(entry)

    def look_later(self, entry: Entry) -> None:
        """Something was refused: look again soon, whatever the schedule says."""
        self.wakes.set(entry, self.world.clock.now() + AGAIN)

    async def _look(self, entry: Entry) -> None:
        if entry.active is not None:
            ended = await self.endings.look(entry)
            if ended is not None:
                await self.conclude(entry, entry.active, ended)
        if entry.active is None and entry.queued:
            await self._take_queued(entry, entry.queued[0])
        await self.starts.evaluate(entry)

    async def _take_queued(self, entry: Entry, at: datetime) -> None:
        answer = await self.starts.manual(entry, "queued behind another run", at)
        entry.queued.remove(at)
        if isinstance(answer, Verdict):
            named = run_id(entry.job.name, entry.scope, Kind.MANUAL, at)
            log.warning("%s is given up: %s", named, answer.reason)
            self.endings.tell(named, Outcome.ABANDONED)

    async def conclude(self, entry: Entry, run: Run, ended: Ended) -> None:
        """A run has ended: settle what it overlapped, record it, and let held ones go."""
        if ended.ended_at is not None and entry.active is run:
            await self.starts.settle_overlapped(entry, ended.ended_at)
        caught_up = entry.catching_up
        await self.endings.finish(entry, ended)
        if caught_up:
            self.spawn(self.starts.release())
        self.on_change()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` beside everything else; an error is logged and never ends the daemon."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except HostagentError as error:
            log.error("%s", error.message)  # noqa: TRY400 -- for people: no traceback
        except Exception:
            log.exception("this is a bug in hostagent; the agent goes on")

    async def _register_unknown(self, manifest: Manifest) -> None:
        """Jobs that apply deployed where no store was at hand (an image): due from now on."""
        store = self.world.store
        known = {record.job for record in await store.call(store.it.specs)}
        new = [
            Registration(
                job.name,
                job.schedule.hash,
                content_json(job.schedule),
                job.scopes(manifest.host),
                job.renamed_from,
            )
            for job in manifest.jobs
            if job.name not in known
        ]
        if new:
            now = self.world.clock.now()
            await store.call(store.it.register, new, [], now, remove_others=False)

    def _unit_changed(self, unit: str) -> None:
        """A hint from PID 1. Hints about one unit come in bursts: one look serves them all."""
        entry = self.book.of_service(unit)
        if entry is None or unit in self._changed:
            return
        if entry.active is None and not entry.lock.locked():
            return  # no run, and none that is being claimed just now
        self._changed.add(unit)
        self.spawn(self._look_once(unit, entry))

    async def _look_once(self, unit: str, entry: Entry) -> None:
        self._changed.discard(unit)
        await self.look(entry)

    def _timer_fired(self) -> None:
        self.spawn(self._clock(self._timer.read()))

    async def _clock(self, fired: Fired) -> None:
        """Look at what is due; after a clock step, at everything."""
        due = list(self.book) if fired is Fired.CLOCK_CHANGED else []
        due += self.wakes.due(self.world.clock.now())
        for entry in due:
            await self.look(entry)
        await self._prune()
        self.on_change()

    async def _prune(self) -> None:
        """Once a day, when something wakes us anyway, drop what the ledger need not keep."""
        now, store = self.world.clock.now(), self.world.store
        if self._pruned_at is None or abs(now - self._pruned_at) > EVERY_DAY:
            self._pruned_at = now
            await store.call(store.it.prune, now - self.world.retention)
