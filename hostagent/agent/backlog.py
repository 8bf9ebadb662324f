"""The backlog: which missed runs the gate holds, and what the gate has to know about the host.

``policy.gate`` decides; here its facts are gathered, and what it remembers is kept. Nothing is read
and nothing wakes while no missed run waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hostagent.agent.book import Book, Entry
from hostagent.agent.past import Past
from hostagent.agent.world import World
from hostagent.errors import HostagentError
from hostagent.model import End, Kind, Lane, Outcome, Run
from hostagent.policy import gate, peak, slots, storm
from hostagent.policy.backlog import NEVER, Facts, Going, Signals, State, Waiting, Wake
from hostagent.policy.due import FRESH_FOR
from hostagent.policy.forecast import LOOKED_AHEAD, Expected, forecast
from hostagent.policy.gate import Admit, Hold
from hostagent.policy.outcome import GATE_STOPPED
from hostagent.policy.pace import Pace
from hostagent.policy.peak import Peak
from hostagent.policy.samples import Sample, kept
from hostagent.policy.slots import Slots
from hostagent.policy.words import when

POLL_S = 1.0
"""How often the gate is asked again while it holds something."""

FRESH_S = 0.5
"""How long signals that were read are as good as new: many ask at once."""

Name = tuple[str, str]


class Backlog:
    """What waits, by (job, scope). The gate's state is replaced, never changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._state = State()
        self._wake = world.wake
        self._signals = Signals()
        self._read_s = float("-inf")
        self._past = Past(world)
        self.samples: tuple[Sample, ...] = ()
        self._current: dict[Name, int | None] = {}
        self.held: dict[Name, Waiting] = {}
        self._released: dict[Name, bool] = {}
        self._pace: Pace | None = None

    def woke(self, why: str) -> None:
        """Something was missed, or may have been: settle anew."""
        self._wake = Wake(self._world.clock.boottime_s(), why)
        self._world.keep_wake(self._wake)

    @property
    def woke_at_s(self) -> float:
        """When the host was last back, of CLOCK_BOOTTIME; minus infinity: it has settled."""
        return self._wake.at_s

    def settles(self, book: Book) -> str | None:
        """Why nothing is released yet after the last wake, or None."""
        return gate.settles(self._facts(book))

    async def ask(
        self,
        entry: Entry,
        at: datetime,
        book: Book,
        covers: int = 1,
        attempt: int = 1,
        *,
        is_fresh: bool = False,
        is_backfill: bool = False,
    ) -> Admit | Hold:
        """Whether the run of the occurrence ``at`` may start now; a backfill is the last of all.

        With an ``Admit`` the entry counts as going, before anything is awaited again: others ask
        meanwhile.
        """
        if self._fresh_signals().memory is not None and not is_fresh and _needs_peak(entry):
            await self._past.read(entry)
        waiting = replace(self._waiting(entry, at, covers, attempt), is_fresh=is_fresh)
        if is_backfill:
            waiting = replace(waiting, lane=Lane.BULK, deadline=NEVER)
        facts = self._facts(book)
        ordered = self._ordered(waiting, book)
        answer = gate.decide(facts, ordered)
        if isinstance(answer, Hold):
            self.held[_name(entry)] = waiting
            return answer
        entry.catching_up, entry.takes_place = not is_fresh, True
        if not is_fresh:
            self._sample(facts, released=1)
        if ordered.is_paced:
            self._state = gate.paced(self._state, facts.now_s)
        return answer

    def asks_fresh(self, entry: Entry, book: Book) -> bool:
        """Whether fresh runs of it ask, too: for a place of their pool, or for memory."""
        return entry.job.pool in book.places or entry.job.lane in self._world.limits.hold_fresh

    def kept_from(self, entry: Entry) -> datetime | None:
        """The first occurrence that was fresh when it began to wait (for a place, for memory)."""
        held = self.held.get(_name(entry))
        return held.due if held and held.is_fresh else None

    def holds(self, entry: Entry) -> bool:
        """Whether the gate holds it."""
        return _name(entry) in self.held

    def forget(self, entry: Entry) -> None:
        """It waits no more: it started, was settled, or is held by something else."""
        self.held.pop(_name(entry), None)
        self._released.pop(_name(entry), None)

    def keep(self, book: Book) -> None:
        """A new book: what is not in it waits no more."""
        self.held = {name: held for name, held in self.held.items() if book.exactly(*name)}

    def is_needed(self, book: Book) -> bool:
        """Whether there is anything to hold, or to stop: the last run never is."""
        return bool(self.held) or sum(entry.catching_up for entry in book) > 1

    async def read(self, book: Book) -> None:
        """Read what the host and the units that run use now; the level may grow.

        What PID 1 does not tell now is taken for unknown. No store is asked.
        """
        if self._fresh_signals().memory is not None:
            running = [entry for entry in book if entry.active is not None]
            self._current = {_name(entry): await self._memory_of(entry) for entry in running}
        facts = self._facts(book)
        self._state = gate.advance(facts)
        self._sample(facts)

    def _sample(self, facts: Facts, released: int = 0) -> None:
        """Note how it goes. Nobody wakes up for that."""
        signals, memory = facts.signals, facts.signals.memory
        new = Sample(
            self._world.clock.now(),
            signals.cpu_pressure,
            signals.memory_pressure,
            signals.memory_full,
            100 * (memory.total - memory.available) / memory.total if memory else None,
            facts.level,
            facts.used,
            len(facts.missed),
            released,
        )
        self.samples = kept(self.samples, new)

    async def observe(self, book: Book) -> None:
        """Know the peaks of the jobs that run; what a store does not tell now is unknown."""
        if self._signals.memory is None:
            return
        await self._past.read_all([e for e in book if e.active is not None and _needs_peak(e)])

    async def forecast(self, book: Book) -> dict[str, Expected]:
        """When what is held will probably start, by its name; of the first in order alone."""
        ahead = {one.name for one in gate.in_order(self._facts(book).waiting)[:LOOKED_AHEAD]}
        await self._past.read_all([e for e in book if e.active is not None or e.title in ahead])
        told = {entry.title: self._past.of(entry).lasts_s for entry in book}
        lasts_s = {name: seconds for name, seconds in told.items() if seconds is not None}
        return await asyncio.to_thread(forecast, self._facts(book), lasts_s)

    def gives_way(self, book: Book) -> tuple[Entry, str] | None:
        """Who is to be stopped now, and why. Asked once for each: it is noted as stopped."""
        answer = gate.stop(self._facts(book))
        if answer is None:
            return None
        self._state = gate.stopped(self._state, self._world.clock.boottime_s())
        return next((entry, answer.reason) for entry in book if entry.title == answer.name)

    def next(self, book: Book, tried: Container[Name] = ()) -> Name | None:
        """Who is to be looked at: whose deadline has passed, else who may start now."""
        now = self._world.clock.now()
        for name, held in self.held.items():
            if held.deadline < now and name not in tried:
                return name
        first = gate.first(self._facts(book)) if self.held else None
        names = (name for name, held in self.held.items() if first and held.name == first.name)
        return next(names, None)

    def told(self, book: Book) -> list[tuple[Waiting, str]]:
        """What is held, in the order in which it will be let go, each with the gate's sentence.

        That has the figures of now.
        """
        facts = self._facts(book)
        return [(one, _why(gate.decide(facts, one))) for one in gate.in_order(facts.waiting)]

    def level(self, book: Book) -> tuple[float, float, float]:
        """The gate's level, the most that it can be, and what of it is used."""
        facts = self._facts(book)
        return facts.level, facts.most, facts.used

    def slots(self, book: Book) -> tuple[list[Slots], list[Slots]]:
        """Who takes how much of the host: by lane, and by pool."""
        facts = self._facts(book)
        return slots.of_lanes(facts), slots.of_pools(facts)

    def entries(self, book: Book, job: str) -> list[Entry]:
        """The entries of a job (empty: of all) that were missed and are held, as in the book."""
        return [one for one in self._waiting_of(book, job) if not self.held[_name(one)].is_fresh]

    def fresh(self, book: Book, job: str) -> list[str]:
        """What of ``job`` (empty: of all) waits though it was not missed."""
        return [one.title for one in self._waiting_of(book, job) if self.held[_name(one)].is_fresh]

    def _waiting_of(self, book: Book, job: str) -> list[Entry]:
        return [one for one in book if self.holds(one) and job in {one.job.name, ""}]

    def owing(self, book: Book, job: str) -> list[Entry]:
        """Those of ``job`` (empty: of all) that are held, or wait for others, or another try."""
        return [
            one
            for one in book
            if job in {one.job.name, ""} and (self.holds(one) or one.retry or one.awaits)
        ]

    def release(self, entries: Sequence[Entry], pace: Pace | None) -> None:
        """A person lets them go: whatever else holds them, but memory and their pool, does no more.

        With a ``pace`` they go one by one; it is that of all that was released at one before.
        """
        self._pace = pace or self._pace
        self._released |= {_name(entry): pace is not None for entry in entries}

    def pace(self) -> str:
        """How fast a person lets go how many; empty: nobody does."""
        paced = [
            name for name, is_paced in self._released.items() if is_paced and name in self.held
        ]
        return f"{self._pace} by hand, {len(paced)} to go" if paced else ""

    def end_settling(self) -> None:
        """A person says that the host has settled: the gate goes on by its own rules."""
        self._released.clear()
        self._wake = replace(self._wake, at_s=float("-inf"))
        self._world.keep_wake(self._wake)

    def storm(self, book: Book) -> tuple[storm.Fact, ...]:
        """Whether the storm is over."""
        now = self._world.clock.now()
        late = sorted(
            entry.title
            for entry in book
            if entry.next_due and entry.next_due + entry.job.schedule.jitter + FRESH_FOR < now
        )
        catching_up = sum(entry.catching_up for entry in book)
        world = self._world
        facts = storm.Facts(
            sum(not one.is_fresh for one in self.held.values()),
            catching_up,
            tuple(late),
            len(book),
            world.cores,
            self._fresh_signals(),
            world.limits,
        )
        return storm.check(facts)

    def ended(self, entry: Entry, run: Run, end: End) -> None:
        """A catch-up run of ``entry`` has ended. What gave way, or was lost, is no failure."""
        now_s = self._world.clock.boottime_s()
        self._past.forget(entry)
        self._current.pop(_name(entry), None)
        if end.result == GATE_STOPPED:
            return
        if end.result == "host-lost":
            self._state = gate.lost(self._state, now_s)
            return
        has_failed = end.outcome is Outcome.FAILED
        was = replace(self._going(entry), lane=_lane(entry, run))
        self._state = gate.ended(self._state, was, now_s, has_failed=has_failed)

    def _facts(self, book: Book) -> Facts:
        world, now_s = self._world, self._world.clock.boottime_s()
        return Facts(
            limits=world.limits,
            now_s=now_s,
            wake=self._wake,
            cores=world.cores,
            signals=self._signals,
            waiting=self._all_ordered(book),
            going=tuple(
                self._going(entry)
                for entry in book
                if entry.active is not None or entry.catching_up or entry.takes_place
            ),
            state=gate.resumed(self._state, now_s),
            pools=book.places,
            pace=self._pace,
        )

    def _all_ordered(self, book: Book) -> tuple[Waiting, ...]:
        if not self._released and not book.has_holds:
            return tuple(self.held.values())
        return tuple(self._ordered(held, book) for held in self.held.values())

    def _ordered(self, waiting: Waiting, book: Book) -> Waiting:
        """With what people have ordered about it by now."""
        job, _, scope = waiting.name.partition("@")
        pause = book.hold_of(job, self._world.clock.now())
        is_paced = self._released.get((job, scope))
        if pause is None and is_paced is None:
            return waiting
        hold = None
        if pause is not None:
            since = when(pause.since.replace(microsecond=0))
            let_go = f"let it go: hostagent backlog release {job}"
            hold = f"{pause.by} holds it since {since}: {pause.reason}; {let_go}"
        return replace(
            waiting, hold=hold, is_released=is_paced is not None, is_paced=bool(is_paced)
        )

    def _waiting(self, entry: Entry, at: datetime, covers: int, attempt: int) -> Waiting:
        job, now_s = entry.job, self._world.clock.boottime_s()
        before = self.held.get(_name(entry))
        window = max(job.catch_up_window, job.schedule.jitter + FRESH_FOR)
        return Waiting(
            name=entry.title,
            lane=job.lane,
            pool=job.pool,
            weight=job.weight,
            deadline=at + min(window, job.start_deadline or window),
            since_s=before.since_s if before else now_s,
            peak=self._peak(entry),
            due=at,
            covers=covers,
            attempt=attempt,
        )

    def _going(self, entry: Entry) -> Going:
        job, run, expected = entry.job, entry.active, self._peak(entry)
        since = (run.started_at or run.claimed_at) if run else None
        age = self._world.clock.now() - since if since else timedelta(0)
        current = self._current.get(_name(entry))
        return Going(
            name=entry.title,
            lane=_lane(entry, run),
            pool=job.pool,
            weight=job.weight,
            is_catch_up=entry.catching_up,
            growth=peak.growth(expected, current, age) if expected else 0,
            age=age,
            memory=current,
            may_stop=job.interruptible and run is not None and run.invocation_id is not None,
            is_ending=entry.is_ending,
        )

    def _peak(self, entry: Entry) -> Peak | None:
        memory = self._signals.memory
        if memory is None:
            return None
        seen = self._past.of(entry)
        return peak.expected(
            entry.job.memory_max, seen.peak, memory.total, was_too_low=seen.was_too_low
        )

    async def _memory_of(self, entry: Entry) -> int | None:
        systemd = self._world.systemd
        with contextlib.suppress(HostagentError):
            return await systemd.call(systemd.it.memory, entry.unit.service)
        return None

    def _fresh_signals(self) -> Signals:
        now_s = self._world.clock.boottime_s()
        if now_s - self._read_s > FRESH_S:
            self._signals, self._read_s = self._world.signals(), now_s
        return self._signals


def _needs_peak(entry: Entry) -> bool:
    """Whether what its last runs used says what it is expected to need."""
    return entry.job.memory_max is None


def _why(answer: Admit | Hold) -> str:
    return answer.reason if isinstance(answer, Hold) else "held until now: it starts at once"


def _lane(entry: Entry, run: Run | None) -> Lane:
    """In which its run counts: all backfills in one, so that theirs is what their failures hold."""
    return Lane.BULK if run is not None and run.kind is Kind.BACKFILL else entry.job.lane


def _name(entry: Entry) -> Name:
    return entry.job.name, entry.scope
