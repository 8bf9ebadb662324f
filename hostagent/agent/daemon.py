"""The daemon: follows PID 1's signals and the clock, and keeps the book.

Level-triggered: an event only says which entry to look at; what is done follows from the store,
PID 1 and the schedule as they are then, and may be done again without harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hostagent.agent import stops
from hostagent.agent.aftermath import Aftermath, ended_run
from hostagent.agent.backfills import Backfills
from hostagent.agent.backlog import POLL_S, Backlog
from hostagent.agent.book import Book, Entry, View
from hostagent.agent.endings import Endings
from hostagent.agent.hung import Hung
from hostagent.agent.leases import Leases
from hostagent.agent.offload import Offloaded
from hostagent.agent.starts import Starts, Verdict
from hostagent.agent.tell.alarms import Alarms
from hostagent.agent.tell.news import News
from hostagent.agent.wakes import Wakes
from hostagent.agent.weights import Weights
from hostagent.agent.world import World
from hostagent.errors import HostagentError, StoreUnavailable
from hostagent.host.clock import Fired, WallTimer
from hostagent.model import Kind, Manifest, Outcome, Run, run_id
from hostagent.policy.outcome import Ended
from hostagent.store.port import Registration, Store, registrations
from hostagent.systemd.port import Systemd

log = logging.getLogger(__name__)

AGAIN = timedelta(seconds=5)
"""When to try again what PID 1 or the store refused."""

SEE_OFF_EVERY_S = 0.2

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
        self._has_read = False
        self._hints: int | None = None
        self._reloading = asyncio.Lock()
        self._is_unread = False
        self.wakes = Wakes(timer)
        aftermath = Aftermath(world)
        self._news = News(world, lambda: self.book.manifest, self.spawn)
        self.endings = Endings(world, aftermath, self._news)
        self._leases = Leases(world, aftermath)
        self.book = Book(None, world.host)
        self.backlog = Backlog(world)
        self.backfills = Backfills(world)
        self._weights = Weights(world)
        self.starts = self._starts()
        self._releasing = asyncio.Lock()
        self._is_asking = False
        self.hung = Hung(world, lambda: self.book, lambda: self.spawn(self._look_at_runs()))
        self.alarms = Alarms(world, lambda: self.book, self.spawn, self.hung, self.backlog)
        self.on_change: Callable[[], None] = lambda: None
        self.on_step: Callable[[], Awaitable[None]] | None = None

    def _starts(self) -> Starts:
        return Starts(
            self.world,
            self.book,
            self.wakes,
            self.endings,
            self.backlog,
            self.backfills,
            self._weights,
            self._news,
        )

    async def start(self, ready: Callable[[], None] = lambda: None) -> None:
        """Take up the manifest and whatever ran, or fell due, while no agent was up.

        ``ready`` is called once all is read and before anything is decided: the host's boot
        waits for the agent, but not for what days off have left owed (decision 0410).
        """
        loop = asyncio.get_running_loop()
        self._hints = self._signals.watch("hostagent-", self._unit_changed, self.alarms.drift.hint)
        loop.add_reader(self._hints, self._signals.dispatch)
        loop.add_reader(self._timer.fileno(), self._timer_fired)
        await self.reload(ready)
        self.spawn(self.alarms.run())
        self.spawn(self.alarms.drift.run())

    async def stop(self) -> None:
        """End what this process does; runs and claims go on without it."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._timer.fileno())
        self.hung.stop()
        self.alarms.going.stop()
        if self._hints is not None:
            loop.remove_reader(self._hints)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reload(self, ready: Callable[[], None] = lambda: None) -> None:
        """Rebuild the book from manifest and ledgers, say ``ready``, then look at every entry.

        What refuses now is raised, and tried again in some seconds: nobody else would.
        """
        try:
            await self._reload(ready)
        except HostagentError:
            self.spawn(self._reload_later())
            raise

    async def _reload_later(self) -> None:
        await asyncio.sleep(AGAIN.total_seconds())
        await self.reload()

    async def _reload(self, ready: Callable[[], None]) -> None:
        async with self._reloading:
            manifest = await asyncio.to_thread(self._read_manifest)
            if manifest is not None:
                self.world.cluster.labels = manifest.labels
                await self._register_unknown(manifest)
            await self._rebuild(manifest)
            ready()
            await self._weights.read(self.book)
            await self.look_all(self.book)
        self.alarms.look_at_all()
        self.alarms.drift.hint()
        self.on_change()

    async def _rebuild(self, manifest: Manifest | None) -> None:
        """Nothing is decided about any entry while its ground is exchanged.

        The shared store is asked first: while it hangs, the host's own jobs go on.
        """
        async with contextlib.AsyncExitStack() as stack:
            for entry in self.book.leased():
                await stack.enter_async_context(entry.lock)
            shared = await self._read_shared()
            self._is_unread = shared is None
            for entry in self.book.own_jobs():
                await stack.enter_async_context(entry.lock)
            own = await self._own_view()
            self.wakes.clear()
            is_shared = self.world.shared is not None
            self.book = Book(manifest, self.world.host, own, shared, self.book, is_shared=is_shared)
            self.starts = self._starts()
            self.backlog.keep(self.book)
            self._has_read = self._has_read or shared is not None
            await self._remember_stops()

    async def _remember_stops(self) -> None:
        """A person may have had a run stopped by the agent before us, and it goes on still."""
        active = [entry.active for entry in self.book if entry.active is not None]
        since = min((run.claimed_at for run in active if run.claimed_at), default=None)
        if since is not None:
            own = self.world.own
            stops.remember(self.book, await own.call(own.it.audit_log, since))

    async def _view(self, store: Offloaded[Store]) -> View:
        return View(
            await store.call(store.it.cursors),
            await store.call(store.it.pauses),
            await store.call(store.it.quarantines),
        )

    async def _own_view(self) -> View:
        own = self.world.own
        return replace(await self._view(own), backfills=await own.call(own.it.backfills))

    async def _read_shared(self) -> View | None:
        """What the shared store says; None where it is not reached."""
        if self.world.shared is None:
            return View()
        with contextlib.suppress(StoreUnavailable):
            return await self._view(self.world.shared)
        return None

    async def look_all(self, entries: Iterable[Entry]) -> None:
        """Look at each, at once: none waits for a store that is another's."""
        await asyncio.gather(*map(self.look, entries))

    async def look(self, entry: Entry) -> None:
        """See whether the entry's run has ended, and decide about what it owes.

        What PID 1 or the store refuses now is tried again in some seconds.
        """
        try:
            async with entry.lock:
                await self._look(entry)
        except HostagentError as error:
            is_known = entry.is_leased and self.world.is_cut_off  # and was said once
            level = logging.DEBUG if is_known else logging.ERROR
            log.log(level, "%s: %s", entry.unit.service, error.message)
            self.look_later(entry)
        self.ask_gate_again(entry)
        self.watch(entry)

    def watch(self, entry: Entry) -> None:
        """Something was decided about ``entry``: its run, if it has one, is looked at later."""
        self.hung.watch(entry)
        self.alarms.going.watch(entry)

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
        end = await self.endings.finish(entry, run, ended)
        await self._weights.follow(self.book, entry)
        self.hung.rest()
        self.alarms.going.rest()
        if run.kind is not Kind.BACKFILL:
            self.backfills.look_again(entry)
        if caught_up:
            self.backlog.ended(entry, run, end)
        if self.backlog.held:
            self.spawn(self.release())
        for other in self.book:
            if run.job in other.job.after and (other.awaits or other.lock.locked()):
                self.spawn(self.look(other))
        if entry.is_leased or self.world.shared is None:  # else once it was copied
            self.alarms.ended(ended_run(run, end))
        self.on_change()

    # What the gate holds

    def ask_gate_again(self, entry: Entry) -> None:
        """Every second while something is held or may be stopped; else nothing wakes up.

        ``entry`` was decided about.
        """
        if self._is_asking or not (self.backlog.held or entry.catching_up):
            return
        if self.backlog.is_needed(self.book):
            self._is_asking = True
            self.spawn(self._ask_gate())

    async def _ask_gate(self) -> None:
        """Who gives way is stopped even while a store keeps what is let go waiting."""
        try:
            while self.backlog.is_needed(self.book):
                await asyncio.sleep(POLL_S)
                await self.backlog.read(self.book)
                await self._make_room()
                if not self._releasing.locked():
                    self.spawn(self.release())
                self.alarms.look_at_host()
                self.on_change()
        finally:
            self._is_asking = False
            self.alarms.look_at_host()

    async def _make_room(self) -> None:
        """When memory runs out, one run of those that catch up gives way."""
        if (found := self.backlog.gives_way(self.book)) is None:
            return
        entry, reason = found
        try:
            async with entry.lock:
                await self.starts.give_way(entry, reason)
        except HostagentError as error:
            log.error("%s: %s", entry.unit.service, error.message)  # noqa: TRY400 -- for people

    async def release(self) -> None:
        """Start what the gate lets go, the first in order first."""
        async with self._releasing:
            await self.backlog.observe(self.book)
            tried: set[tuple[str, str]] = set()
            while (name := self.backlog.next(self.book, tried)) is not None and name not in tried:
                tried.add(name)
                if (entry := self.book.exactly(*name)) is not None:
                    await self.look(entry)

    # Whether runs move

    async def _look_at_runs(self) -> None:
        for entry in await self.hung.look():
            mark, _ = self.hung.sign(entry)
            self.alarms.look((entry.job.name, entry.scope), is_plain=mark is None)
        self.on_change()

    # What the beat of a shared store finds

    async def refresh(self, *, everything: bool = False) -> None:
        """Others changed something: read where all stand, and look at what moved (or at all)."""
        if self._is_unread:
            await self.reload()
            return
        if (view := await self._read_shared()) is None:
            return
        self.book.read_shared(view)
        moved = []
        for cursor in view.cursors:
            entry = self.book.exactly(cursor.job, cursor.scope)
            if entry is None or not entry.is_leased or entry.lock.locked():
                continue  # who holds it reads for itself
            if everything or not entry.stands_at(cursor):
                entry.stand(cursor, self.world.host)
                moved.append(entry)
        await self.look_all(moved)
        await self._look_at_waiting()

    async def read_shared(self) -> None:
        """A person changed something in the shared store."""
        if (view := await self._read_shared()) is not None:
            self.book.read_shared(view)
        await self._look_at_waiting()

    async def read_own(self) -> None:
        """A person changed something in this host's own ledger."""
        self.book.read_own(await self._own_view())
        await self._look_at_waiting()

    async def _look_at_waiting(self) -> None:
        """They may have waited for the end of a pause, or for others, and no clock wakes them."""
        waits = [e for e in self.book if e.retry or e.awaits or self.book.backfill_of(e)]
        await self.look_all(waits)

    async def look_elsewhere(self) -> None:
        """Nobody tells us when a run on another host ends."""
        await asyncio.gather(*(self.look(e) for e in self.book if e.waits_elsewhere))

    async def reconcile(self, held: Sequence[Run]) -> None:
        """A reply may have been lost: what the store says that we hold, and what we think."""
        session = self.world.cluster.session and self.world.cluster.session.id
        theirs = {(run.job, run.scope): run.token for run in held}
        ours = {
            (e.job.name, e.scope): e.active.token
            for e in self.book
            if e.active is not None and e.is_leased and e.active.session == session
        }
        for name in theirs.keys() | ours.keys():
            entry = self.book.exactly(*name)
            if entry is None or not entry.is_leased or entry.lock.locked():
                continue
            if theirs.get(name) == ours.get(name):
                continue
            log.warning("%s: settling what is claimed by reading it", entry.unit.service)
            async with entry.lock:
                await self._leases.settle(entry)
            await self.look(entry)

    def holds_leases(self) -> bool:
        """Whether a run goes on here that is the cluster's, or may: nobody has looked yet."""
        return not self._has_read or any(
            e.active is not None and self.world.cluster.leases(e) for e in self.book
        )

    async def lose_leases(self, reason: str) -> None:
        """This host may act on its claims no more."""
        await self._leases.lose(list(self.book), reason)

    async def see_off(self, within_s: float) -> None:
        """The machine goes down: write down how its runs end, as far as they do in time."""
        going = [e for e in self.book if e.active is not None and self.world.cluster.leases(e)]
        for entry in going:
            entry.lost = "host-stopped"
        for _ in range(int(within_s / SEE_OFF_EVERY_S)):
            going = [entry for entry in going if entry.active is not None]
            if not going:
                return
            await asyncio.sleep(SEE_OFF_EVERY_S)
            for entry in going:
                with contextlib.suppress(HostagentError):  # PID 1 starts nothing any more
                    async with entry.lock:
                        ended = await self.endings.look(entry)
                        if ended is not None and entry.active is not None:
                            await self.endings.finish(entry, entry.active, ended)

    async def take_over(self, run: Run, reason: str) -> None:
        """Another host was lost with this run on it."""
        entry = self.book.exactly(run.job, run.scope)
        if entry is None or not self.world.cluster.leases(entry):
            return  # those who have the job take it over; a host's own job waits for its host
        async with entry.lock:
            await self._leases.take_over(entry, run, reason)
            await self._leases.settle(entry)
        await self.look(entry)

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
        here = registrations(manifest)
        shared = self.world.shared
        if shared is None:
            await self._register(self.world.own, here)
            return
        await self._register(self.world.own, [one for one in here if one.host])
        with contextlib.suppress(StoreUnavailable):
            await self._register(shared, [one for one in here if not one.host])

    async def _register(self, store: Offloaded[Store], jobs: Sequence[Registration]) -> None:
        known = {(record.job, record.host) for record in await store.call(store.it.specs)}
        new = [one for one in jobs if (one.job, one.host) not in known]
        if new:
            # A mark in the future would stop a job on all hosts: not by the clock of this one.
            is_own = store is self.world.own
            now = self.world.clock.now() if is_own else await store.call(store.it.now)
            await store.call(
                store.it.register, new, [], now, remove_others=False, host=self.world.host
            )

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
        """Look at what is due; after a clock step (or a sleep), at everything."""
        if fired is Fired.CLOCK_CHANGED:
            self.backlog.woke("the clock was set, or the host slept")
            if self.on_step is not None:
                await self.on_step()
            self.alarms.look_at_all()
        due = list(self.book) if fired is Fired.CLOCK_CHANGED else []
        due += self.wakes.due(self.world.clock.now())
        await self.look_all(due)
        await self._prune()
        self.on_change()

    async def _prune(self) -> None:
        """Once a day, when something wakes us anyway, drop what the ledgers need not keep."""
        now, own, shared = self.world.clock.now(), self.world.own, self.world.shared
        if self._pruned_at is None or abs(now - self._pruned_at) > EVERY_DAY:
            self._pruned_at = now
            await own.call(own.it.prune, now - self.world.retention)
            if shared is not None:
                with contextlib.suppress(StoreUnavailable):  # other hosts do it, too
                    until = await shared.call(shared.it.now)
                    await shared.call(shared.it.prune, until - self.world.retention)
