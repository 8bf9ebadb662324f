"""One host of the fleet after an outage: real decisions, modelled starts and ends.

What falls due and what becomes of it is asked of the agent's own functions, for each occurrence
and each question anew: ``agent.owed``, ``policy.due``, ``policy.gate`` (with its breaker),
``policy.peak`` and ``policy.retry``. In place of the agent's loops, the ledger and PID 1 there is a
heap of events: a claim is always given, a run takes its time (longer while CPUs are short: by what
it gets when it begins), and a run that asks a downstream may fail.

Times called ``_s`` count from the boot. A job is *followed* until it is back on its calendar, or
for good; after that its fresh runs are a load on the CPUs and no more.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random

from bench.storm.host import PSI_WINDOW_S, fair
from bench.storm.tally import Tally, Trouble, Work
from hostagent.agent.book import Entry
from hostagent.agent.owed import owed
from hostagent.model import End, Kind, Missed, Outcome, Run, Unit
from hostagent.policy import due, gate, peak, retry
from hostagent.policy.backlog import DEFAULTS, START, Facts, Going, Memory, Signals, Waiting, Wake
from hostagent.schedule.occurrences import latest, next_after
from hostagent.schedule.zones import MICROSECOND

BOOT = datetime(2026, 11, 21, 12, tzinfo=UTC)
CORES, RAM, SERVICES = 2, 1 << 34, 0.2
"""Of each host; what its services want of its CPUs."""

CPU = 0.2
"""What a run wants of one CPU: it mostly waits for others."""

FAILS_AFTER_S = 2.0
LOOKS_EVERY_S = 10.0
"""While something is held the agent asks each second. Asked here when the answer can change: at
each end, at the end of the settling or of a pause, and each time that the level may grow."""

FRESH, CATCH_UP = 100.0, 20.0
"""Weights."""


@dataclass(slots=True, eq=False)
class Line:
    """A (job, scope) and what is known of it here."""

    work: Work
    entry: Entry
    rows: int = 0
    fails: bool = False
    is_back: bool = False
    is_followed: bool = True

    @property
    def is_alone(self) -> bool:
        """Its fresh runs wait for no missed ones."""
        return self.work.job.missed is not Missed.ALL


class Member:
    """One host. ``outage`` None: there was none. ``for_good``: no job is let out of sight."""

    def __init__(
        self,
        number: int,
        works: Sequence[Work],
        outage: timedelta | None,
        trouble: Trouble | None,
        *,
        for_good: bool = False,
    ) -> None:
        self.tally = Tally()
        self._trouble, self._for_good = trouble, for_good
        self._random, self._now_s, self._state = Random(number), 0.0, START
        self._events: list[tuple[float, int, str, Line | None]] = []
        self._order, self._token = count(), count(1)
        self._held: dict[str, Waiting] = {}
        self._looks_at_s = math.inf
        self._pressure, self._base = 0.0, SERVICES
        self._starts: list[tuple[float, str | None, bool]] = []
        self._running: dict[str, Line] = {}
        high_water = BOOT - (outage or timedelta(0))
        scope = f"host{number}"
        self._lines = {
            work.job.name: Line(
                work, Entry(work.job, Unit(work.job.name, scope, "", None), "", high_water)
            )
            for work in works
        }
        for line in self._lines.values():
            span = latest(line.work.job.schedule, high_water, BOOT)
            self.tally.owed += span.count if span else 0

    def play(self, until_s: float) -> Tally:
        """From the boot until nothing is followed any more, or until then."""
        for line in self._lines.values():
            self._await_next(line)
            self._look(line)
        while self._events and self._events[0][0] <= until_s:
            at_s, _, what, each = heapq.heappop(self._events)
            self._go_to(at_s)
            if each is None:
                self._look_at_gate()
            elif what == "end":
                self._end(each)
            elif each.is_followed:
                if what == "due":
                    self._await_next(each)
                self._look(each)
        self.tally.most_rows = max(line.rows for line in self._lines.values())
        self.tally.lines = len(self._lines)
        self.tally.lines_back = sum(line.is_back for line in self._lines.values())
        return self.tally

    @property
    def _now(self) -> datetime:
        return BOOT + timedelta(seconds=self._now_s)

    def _at(self, at_s: float, what: str, line: Line | None = None) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), what, line))

    def _await_next(self, line: Line) -> None:
        if at := next_after(line.work.job.schedule, self._now):
            self._at((at - BOOT).total_seconds(), "due", line)

    def _look(self, line: Line) -> None:
        """As ``Starts.evaluate``: all that is owed, then another attempt that has come due."""
        entry, now = line.entry, self._now
        expired, found = owed(entry, now, BOOT)
        facts = due.Facts(
            entry.job,
            now,
            found,
            expired,
            active=entry.active,
            freed_at=entry.freed_at,
            freed_from=entry.freed_from,
            retry=entry.retry,
            retry_at=entry.retry_at,
        )
        is_held, actions = False, due.decide(facts)
        self.tally.asked += 1
        for action in actions:
            if isinstance(action, due.Settle):
                self._settle(line, action)
            elif isinstance(action, due.Start):
                is_held = not self._start(line, action)
                if is_held:
                    break
        last, retry_at = entry.retry, entry.retry_at
        is_next = not actions or isinstance(actions[-1], due.Again)
        is_free = is_next and entry.active is None
        if is_free and last is not None and retry_at is not None and retry_at <= now:
            is_held = not self._start_again(line, last)
        if not is_held:
            self._held.pop(entry.job.name, None)

    def _settle(self, line: Line, action: due.Settle) -> None:
        self._write(line, action.first, action.last, action.count, calls=1)
        line.entry.high_water = action.last

    def _start(self, line: Line, action: due.Start) -> bool:
        """Whether the gate lets it go; a fresh run asks nobody."""
        if action.missed and not self._may_go(line, action.at, action.covers, 1):
            return False
        is_range = action.covers > 1 or action.missed
        first = action.covers_from if is_range else None
        run = self._claimed(line, action.at, 1, first, action.covers)
        self._write(line, action.covers_from, action.at, action.covers, calls=2)
        line.entry.high_water = action.at
        if not action.missed and line.is_alone and action.at > BOOT:
            self.tally.starts_s.append((self._now - action.at).total_seconds())
        self._begin(line, run, is_missed=action.missed)
        return True

    def _start_again(self, line: Line, last: Run) -> bool:
        is_missed = due.is_catch_up(line.entry.job, last)
        attempt = last.attempt + 1
        if is_missed and not self._may_go(line, last.scheduled_for, last.covers, attempt):
            return False
        run = self._claimed(line, last.scheduled_for, attempt, last.covers_from, last.covers)
        if last.scheduled_for <= BOOT:
            self._count(line, calls=2)
        self._begin(line, run, is_missed=is_missed)
        return True

    def _may_go(self, line: Line, at: datetime, covers: int, attempt: int) -> bool:
        """As ``Backlog.ask``."""
        job, before = line.entry.job, self._held.get(line.entry.job.name)
        waiting = Waiting(
            job.name,
            job.lane,
            job.pool,
            job.weight,
            at + max(job.catch_up_window, due.FRESH_FOR),
            before.since_s if before else self._now_s,
            peak.expected(job.memory_max, None, RAM),
            due=at,
            covers=covers,
            attempt=attempt,
        )
        self.tally.asked += 1
        if isinstance(gate.decide(self._facts(), waiting), gate.Admit):
            return True
        self._held[job.name] = waiting
        self._look_later()
        return False

    def _claimed(
        self, line: Line, at: datetime, attempt: int, first: datetime | None, covers: int
    ) -> Run:
        entry, now = line.entry, self._now
        return Run(
            entry.job.name,
            entry.scope,
            Kind.SCHEDULED,
            at,
            attempt,
            next(self._token),
            entry.scope,
            "",
            started_at=now,
            covers_from=first,
            covers=covers,
        )

    def _begin(self, line: Line, run: Run, *, is_missed: bool) -> None:
        entry, trouble, pool = line.entry, self._trouble, line.entry.job.pool
        entry.active, entry.catching_up = run, is_missed
        entry.retry = entry.retry_at = None  # begun, or overtaken and given up with the claim
        self._running[entry.job.name] = line
        self._starts.append((self._now_s, pool, run.attempt > 1))
        if is_missed:
            self.tally.released[pool, int(self._now_s // 60)] += 1
        is_in_trouble = (
            trouble is not None
            and pool == trouble.pool
            and trouble.from_s <= self._now_s < trouble.until_s
        )
        drawn = self._random.random()
        line.fails = trouble is not None and is_in_trouble and drawn < trouble.share
        work_s = min(line.work.work_s, FAILS_AFTER_S) if line.fails else line.work.work_s
        self._at(self._now_s + work_s * self._slowed(line), "end", line)

    def _end(self, line: Line) -> None:
        """As ``Daemon.conclude``: what it overlapped, what follows it, what it lets go."""
        entry, run, now = line.entry, line.entry.active, self._now
        assert run is not None
        expired, found = owed(entry, now, BOOT)
        for action in due.decide(due.Facts(entry.job, now, found, expired, active=run)):
            if isinstance(action, due.Settle):
                self._settle(line, action)
        self.tally.asked += 1
        if entry.catching_up:
            self._state = gate.ended(
                self._state, self._going(line), self._now_s, has_failed=line.fails
            )
        elif line.is_alone and run.attempt == 1 and run.scheduled_for > BOOT:
            self.tally.ends_s.append((now - run.scheduled_for).total_seconds())
        if line.fails:
            self.tally.failed += 1
            self._fail(line, run)
        if not (line.is_back or entry.catching_up or line.fails):
            line.is_back, self.tally.back_s = True, self._now_s
        entry.active, entry.catching_up = None, False
        entry.freed_from, entry.freed_at = run.started_at, now
        del self._running[entry.job.name]
        self._look(line)
        if line.is_back and not self._for_good and entry.active is None:
            line.is_followed = False
            self._base += CPU * line.work.share
        self._release()

    def _fail(self, line: Line, run: Run) -> None:
        entry, end = line.entry, End(Outcome.FAILED, "it was refused", "exit-code", 1)
        hour_ago = self._now_s - 3600
        mates = [
            tried
            for at_s, pool, tried in self._starts
            if at_s >= hour_ago and pool == entry.job.pool
        ]
        facts = retry.Facts(
            entry.job,
            run.run_id,
            run.kind,
            run.attempt,
            end,
            self._now,
            next_at=next_after(entry.job.schedule, self._now),
            pool=retry.PoolHour(entry.job.pool or "", len(mates), sum(mates)),
        )
        self.tally.asked += 1
        answer = retry.decide(facts)
        if isinstance(answer, retry.Retry):
            ended = replace(run, outcome=end.outcome, result=end.result, ended_at=self._now)
            entry.retry, entry.retry_at = ended, answer.at
            self._at((answer.at - BOOT).total_seconds(), "again", line)

    # The ledger

    def _write(
        self, line: Line, first: datetime, last: datetime, covers: int, *, calls: int
    ) -> None:
        """A row of the ledger. What fell due since the boot is no part of the backlog."""
        if first > BOOT:
            return
        if last > BOOT:
            span = latest(line.entry.job.schedule, first - MICROSECOND, BOOT)
            covers = span.count if span else 0
        self.tally.accounted += covers
        self._count(line, calls=calls)

    def _count(self, line: Line, *, calls: int) -> None:
        line.rows += 1
        self.tally.rows += 1
        self.tally.calls += calls

    # The gate

    def _look_later(self) -> None:
        """While something is held: when the answer can be another one."""
        if self._looks_at_s < math.inf:
            return
        settled_s = DEFAULTS.settle.total_seconds()
        pauses = [breaker.until_s for breaker in self._state.breakers.values()]
        times = [at_s for at_s in (settled_s, *pauses) if at_s > self._now_s]
        self._looks_at_s = min([self._now_s + LOOKS_EVERY_S, *times])
        self._at(self._looks_at_s, "gate")

    def _look_at_gate(self) -> None:
        self._looks_at_s = math.inf
        if self._held:
            self._state = gate.advance(self._facts())
            self._release()
        if self._held:
            self._look_later()

    def _release(self) -> None:
        """As ``Daemon.release``: the first in order that nothing holds, until there is none."""
        tried: set[str] = set()
        while self._held:
            self.tally.asked += 1
            first = gate.first(self._facts())
            if first is None or first.name in tried:
                return
            tried.add(first.name)
            self._look(self._lines[first.name])

    def _facts(self) -> Facts:
        memory = Memory(RAM, RAM // 2 - len(self._running) * (1 << 26))
        signals = Signals(cpu_pressure=100 * self._pressure, load=self._demand, memory=memory)
        return Facts(
            limits=DEFAULTS,
            now_s=self._now_s,
            wake=Wake(0.0),
            cores=CORES,
            signals=signals,
            waiting=tuple(self._held.values()),
            going=tuple(map(self._going, self._running.values())),
            state=gate.resumed(self._state, self._now_s),
        )

    def _going(self, line: Line) -> Going:
        job, run = line.entry.job, line.entry.active
        since = run.started_at if run else None
        age = self._now - since if since else timedelta(0)
        return Going(
            job.name, job.lane, job.pool, job.weight, line.entry.catching_up, 0, age, 1 << 26, True
        )

    # The CPUs

    @property
    def _demand(self) -> float:
        return self._base + CPU * len(self._running)

    def _go_to(self, at_s: float) -> None:
        """CPU pressure fades into what it has been since the last event."""
        pressure = min(1.0, max(0.0, (self._demand - CORES) / CORES))
        fades = 1 - math.exp((self._now_s - at_s) / (0.8 * PSI_WINDOW_S))
        self._pressure += (pressure - self._pressure) * fades
        self._now_s = at_s

    def _slowed(self, line: Line) -> float:
        """How much longer it takes: all share by weight, and fresh runs have five times as much."""
        weights = [CATCH_UP if one.entry.catching_up else FRESH for one in self._running.values()]
        wants = [(FRESH * self._base / CPU, self._base), *((weight, CPU) for weight in weights)]
        mine = list(self._running.values()).index(line) + 1
        return CPU / fair(wants, CORES)[mine]
