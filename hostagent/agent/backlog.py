"""The backlog: which missed runs the gate holds, and what the gate has to know about the host.

``policy.gate`` decides; here its facts are gathered, and what it remembers is kept. Nothing is read
and nothing wakes while no missed run waits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostagent.agent.book import Book, Entry
from hostagent.agent.world import World
from hostagent.errors import HostagentError
from hostagent.model import End, Kind, Lane, Outcome, Run
from hostagent.policy import gate, peak, storm
from hostagent.policy.backlog import NEVER, Facts, Going, Signals, State, Waiting, Wake
from hostagent.policy.due import FRESH_FOR
from hostagent.policy.gate import Admit, Hold
from hostagent.policy.outcome import GATE_STOPPED
from hostagent.policy.peak import Peak
from hostagent.policy.words import when
from hostagent.store.port import RunFilter

POLL_S = 1.0
"""How often the gate is asked again while it holds something."""

FRESH_S = 0.5
"""How long signals that were read are as good as new: many ask at once."""

RUNS_LOOKED_AT = 10
"""How many of a job's last runs tell the peak of its memory."""

Name = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a job's last runs tell: their highest peak, in bytes, and whether it was too low."""

    peak: int | None = None
    was_too_low: bool = False


class Backlog:
    """What waits, by (job, scope). The gate's state is replaced, never changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._state = State()
        self._wake = world.wake
        self._signals = Signals()
        self._read_s = float("-inf")
        self._observed: dict[Name, Observed] = {}
        self._current: dict[Name, int | None] = {}
        self.held: dict[Name, Waiting] = {}
        self._released: set[Name] = set()

    def woke(self, why: str) -> None:
        """Something was missed, or may have been: settle anew."""
        self._wake = Wake(self._world.clock.boottime_s(), why)
        self._world.keep_wake(self._wake)

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
        if not is_fresh and self._fresh_signals().memory is not None:
            await self._observe(entry)
        waiting = replace(self._waiting(entry, at, covers, attempt), is_fresh=is_fresh)
        if is_backfill:
            waiting = replace(waiting, lane=Lane.BULK, deadline=NEVER)
        facts = self._facts(book)
        answer = gate.decide(facts, self._ordered(waiting, book))
        if isinstance(answer, Hold):
            self.held[_name(entry)] = waiting
        else:
            entry.catching_up, entry.takes_place = not is_fresh, True
        return answer

    def kept_from(self, entry: Entry) -> datetime | None:
        """The first occurrence that was fresh when it began to wait for a place of its pool."""
        held = self.held.get(_name(entry))
        return held.due if held and held.is_fresh else None

    def holds(self, entry: Entry) -> bool:
        """Whether the gate holds it."""
        return _name(entry) in self.held

    def forget(self, entry: Entry) -> None:
        """It waits no more: it started, was settled, or is held by something else."""
        self.held.pop(_name(entry), None)
        self._released.discard(_name(entry))

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
        self._state = gate.advance(self._facts(book))

    async def observe(self, book: Book) -> None:
        """Know the peaks of the jobs that run; what a store does not tell now is unknown."""
        if self._signals.memory is None:
            return
        for entry in [entry for entry in book if entry.active is not None]:
            with contextlib.suppress(HostagentError):
                await self._observe(entry)

    def gives_way(self, book: Book) -> tuple[Entry, str] | None:
        """Who is to be stopped now, and why. Asked once for each: it is noted as stopped."""
        answer = gate.stop(self._facts(book))
        if answer is None:
            return None
        self._state = gate.stopped(self._state, self._world.clock.boottime_s())
        return next((entry, answer.reason) for entry in book if _text(entry) == answer.name)

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

    def entries(self, book: Book, job: str) -> list[Entry]:
        """The entries of a job (empty: of all) that are held, in the order of the book."""
        return [one for one in book if self.holds(one) and job in {one.job.name, ""}]

    def release(self, entry: Entry) -> None:
        """A person lets it go: whatever else holds it, but memory, does no more."""
        self._released.add(_name(entry))

    def end_settling(self) -> None:
        """A person says that the host has settled."""
        self._wake = replace(self._wake, at_s=float("-inf"))
        self._world.keep_wake(self._wake)

    def storm(self, book: Book) -> tuple[storm.Fact, ...]:
        """Whether the storm is over."""
        now = self._world.clock.now()
        late = sorted(
            _text(entry)
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
        self._observed.pop(_name(entry), None)
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
        )

    def _all_ordered(self, book: Book) -> tuple[Waiting, ...]:
        if not self._released and not book.has_holds:
            return tuple(self.held.values())
        return tuple(self._ordered(held, book) for held in self.held.values())

    def _ordered(self, waiting: Waiting, book: Book) -> Waiting:
        """With what people have ordered about it by now."""
        job, _, scope = waiting.name.partition("@")
        pause = book.hold_of(job, self._world.clock.now())
        is_released = (job, scope) in self._released
        if pause is None and not is_released:
            return waiting
        hold = f"{pause.by} holds it since {when(pause.since)}: {pause.reason}" if pause else None
        return replace(waiting, hold=hold, is_released=is_released)

    def _waiting(self, entry: Entry, at: datetime, covers: int, attempt: int) -> Waiting:
        job, now_s = entry.job, self._world.clock.boottime_s()
        before = self.held.get(_name(entry))
        window = max(job.catch_up_window, job.schedule.jitter + FRESH_FOR)
        return Waiting(
            name=_text(entry),
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
            name=_text(entry),
            lane=_lane(entry, run),
            pool=job.pool,
            weight=job.weight,
            is_catch_up=entry.catching_up,
            growth=peak.growth(expected, current, age) if expected else 0,
            age=age,
            memory=current,
            may_stop=job.interruptible and run is not None and run.invocation_id is not None,
            is_ending=entry.gave_way is not None or entry.stopped is not None,
        )

    def _peak(self, entry: Entry) -> Peak | None:
        memory = self._signals.memory
        if memory is None:
            return None
        seen = self._observed.get(_name(entry), Observed())
        return peak.expected(
            entry.job.memory_max, seen.peak, memory.total, was_too_low=seen.was_too_low
        )

    async def _memory_of(self, entry: Entry) -> int | None:
        systemd = self._world.systemd
        with contextlib.suppress(HostagentError):
            return await systemd.call(systemd.it.memory, entry.unit.service)
        return None

    async def _observe(self, entry: Entry) -> None:
        """Know the peak of the job's last runs, if that is what counts."""
        name = _name(entry)
        if entry.job.memory_max is not None or name in self._observed:
            return
        store = self._world.store_of(entry)
        where = RunFilter(job=entry.job.name, scope=entry.scope, limit=RUNS_LOOKED_AT)
        rows = await store.call(store.it.runs, where)
        ended = [run for run in rows if run.attempt and run.ended_at]
        peaks = [run.usage.memory_peak for run in ended if run.usage.memory_peak is not None]
        last = max(ended, key=lambda run: run.token, default=None)
        self._observed[name] = Observed(
            max(peaks, default=None), last is not None and last.result == GATE_STOPPED
        )

    def _fresh_signals(self) -> Signals:
        now_s = self._world.clock.boottime_s()
        if now_s - self._read_s > FRESH_S:
            self._signals, self._read_s = self._world.signals(), now_s
        return self._signals


def _why(answer: Admit | Hold) -> str:
    return answer.reason if isinstance(answer, Hold) else "held until now: it starts at once"


def _lane(entry: Entry, run: Run | None) -> Lane:
    """In which its run counts: all backfills in one, so that theirs is what their failures hold."""
    return Lane.BULK if run is not None and run.kind is Kind.BACKFILL else entry.job.lane


def _name(entry: Entry) -> Name:
    return entry.job.name, entry.scope


def _text(entry: Entry) -> str:
    return f"{entry.job.name}@{entry.scope}" if entry.scope else entry.job.name
