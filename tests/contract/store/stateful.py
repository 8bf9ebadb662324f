"""Every order of everything that writes, by several sessions, on an engine and in memory."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from hostagent.errors import StoreConflict
from hostagent.model import End, Kind, Outcome, Run
from hostagent.store.port import (
    Claimed,
    Cursor,
    Finish,
    Mark,
    Refusal,
    Refused,
    Registration,
    RunFilter,
    Session,
    Store,
    Want,
)
from tests.contract.store.builders import (
    FUTURE,
    HASH,
    OTHER,
    T0,
    each,
    end,
    job,
    kept_run,
    kept_spec,
    settlement,
    t,
    want,
)
from tests.contract.store.memory import Memory
from tests.contract.store.stateful_sessions import SessionRules

QUICK = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
HUNT = settings(
    QUICK,
    max_examples=1500,
    stateful_step_count=50,
    phases=(Phase.generate,),
    derandomize=True,
)
"""For mutants: nothing is shrunk, the first difference is enough."""

NAMES = st.sampled_from("aabc")
SCOPES = st.sampled_from(["", "", "eu", "one"])
KEPT = "xy"
"""Jobs that hosts keep themselves: nobody claims them here."""

HOSTS = st.sampled_from([("one",), ("two",), ("one", "two")])
CLOCKS = st.sampled_from([None, None, None, 0, 0.5, -0.5, 1.5, -1.5])
"""By how many seconds the host's clock is ahead of the store's as it asks; None: it is not told."""

HASHES = st.sampled_from([HASH, HASH, HASH, OTHER])
ASKED = st.sampled_from([None, None, None, None, OTHER])  # None: what is registered
ABOVE = st.sampled_from([-1, 0, 1, 1, 1, 2])
KINDS = st.sampled_from([Kind.SCHEDULED, Kind.SCHEDULED, Kind.MANUAL, Kind.BACKFILL])
ENDS = st.sampled_from(
    [
        end(),
        end(Outcome.FAILED, "exit 1"),
        replace(end(Outcome.FAILED, "exit 1"), exit_code=1),
        replace(end(Outcome.FAILED, "exit 1"), signal="KILL"),
        end(Outcome.FAILED, "exit"),
    ]
)


class Machine(SessionRules):
    """``open_new`` makes a new, empty store; ``open_again`` opens the last one once more."""

    open_new: Callable[[Path], Store]

    @initialize()
    def begin(self) -> None:
        place = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
        self.place = Path(tempfile.mkdtemp(dir=place))
        self.store = type(self).open_new(self.place)
        self.memory = Memory()
        self.clock = 0
        self.sessions = []
        self.claims: list[Run] = []
        self.highest: dict[tuple[str, str], tuple[int, datetime]] = {}
        self.open("one", "boot-1", None)
        self.listen()
        self.register([job("a"), job("b", scopes=("", "eu"))], 1, True, False)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.place)

    @rule(
        jobs=st.lists(
            st.builds(
                job, NAMES, HASHES, st.sampled_from([("",), ("",), ("", "eu"), ("eu", ""), ("eu",)])
            ),
            max_size=3,
            unique_by=lambda one: one.job,
        ),
        later=st.integers(-1, 3),
        others=st.sampled_from([False, False, False, False, True]),
        closes=st.booleans(),
    )
    def register(
        self,
        jobs: list[Registration],
        later: int,
        others: bool | Collection[str],
        closes: bool,
        host: str = "",
    ) -> None:
        cursors = self.memory.cursors()
        marks = [c.high_water for c in cursors]
        self.clock = max([self.clock, *(int((m - T0).total_seconds()) for m in marks)]) + later
        closing = [
            settlement(self.clock - 1, self.clock, c.job, c.scope, count=2, spec=c.spec_hash)
            for c in cursors
            if closes and c.high_water < t(self.clock)
        ]
        changed, at, now = copy.deepcopy(self.memory), t(self.clock), self.store.now()
        expected = _or_conflict(lambda: changed.register(jobs, closing, at, now, others, host))
        got = _or_conflict(
            lambda: self.store.register(jobs, closing, at, remove_others=others, host=host)
        )
        assert got == expected
        if expected is not None:
            self.memory = changed

    @rule(
        names=st.sets(NAMES, max_size=2),
        hosts=HOSTS,
        spec=HASHES,
        later=st.integers(-1, 3),
        others=st.sampled_from([False, False, False, True, ("a",), ("b", "c")]),
    )
    def register_each(
        self,
        names: set[str],
        hosts: tuple[str, ...],
        spec: str,
        later: int,
        others: bool | Collection[str],
    ) -> None:
        """By each of ``hosts`` for itself."""
        for host in hosts:
            jobs = [each(host, name, spec) for name in sorted(names)]
            self.register(jobs, later, others, True, host)

    @rule(old=NAMES, new=st.sampled_from("abccc"), spec=HASHES, which=st.integers(0, 1))
    def rename(self, old: str, new: str, spec: str, which: int) -> None:
        """By one of those that have the job under its old name."""
        found = [s.host for s in self.memory.specs if s.job == old and s.valid_to is None] or [""]
        host = found[which % len(found)]
        if old != new:
            renamed = each(host, new, spec, old) if host else job(new, spec, ("", "eu"), old)
            self.register([renamed], 1, False, False, host)

    @rule(which=st.integers(0, 3), new=st.sampled_from("abccc"), ends=st.booleans())
    def rename_what_runs(self, which: int, new: str, ends: bool) -> None:
        """And ask for a claim under the new name."""
        going = [c.active for c in self.memory.cursors() if c.active]
        if going and (run := going[which % len(going)]).job != new:
            self.register([job(new, HASH, ("", "eu"), run.job)], 1, False, False)
            stand = self.memory.stands.get((new, run.scope))
            if stand is not None:
                at = stand.high_water + timedelta(seconds=1)
                self._claim(self.asker, [want(at, new, run.scope)])
            if ends:
                self._finish([run], end(), None)

    @rule(
        which=st.integers(0, 3),
        how=ENDS,
        retry=st.sampled_from([None, T0, FUTURE]),
        ahead=CLOCKS,
    )
    def run(self, which: int, how: End, retry: datetime | None, ahead: float | None) -> None:
        """What is asked for most: the next occurrence, and often its end, with a retry."""
        live = [c for c in self.memory.cursors() if c.active is None and c.job not in KEPT]
        if live:
            c = live[which % len(live)]
            at = c.high_water + timedelta(seconds=1)
            self._claim(self.asker, [want(at, c.job, c.scope, spec=c.spec_hash)], ahead)
            if retry:
                self.finish([0], how, retry)

    @rule(which=st.integers(0, 3))
    def ask_early(self, which: int) -> None:
        """An occurrence of the future, by a claim that would be given if it were due."""
        live = [c for c in self.memory.cursors() if c.active is None and c.job not in KEPT]
        if live:
            c = live[which % len(live)]
            self._claim(self.asker, [want(FUTURE, c.job, c.scope, spec=c.spec_hash)])

    @rule(
        asked=st.lists(st.tuples(NAMES, SCOPES, ABOVE, KINDS, ASKED), min_size=1, max_size=3),
        early=st.integers(0, 5),
        old=st.integers(0, 5),
    )
    def claim(
        self, asked: list[tuple[str, str, int, Kind, str | None]], early: int, old: int
    ) -> None:
        wants = []
        for name, scope, above, kind, spec in asked:
            stand = self.memory.stands.get((name, scope))
            mark = int(((stand.high_water if stand else T0) - T0).total_seconds())
            at = FUTURE if early == 0 else t(mark + above)
            hash_ = spec or (stand.hash if stand else HASH)
            wants.append(want(at, name, scope, kind=kind, spec=hash_))
        self._claim(self.sessions[0 if old == 0 else -1], wants)

    @rule(back=st.integers(0, 2), step=st.sampled_from([1, 1, 1, 2]), spec=HASHES)
    def follow(self, back: int, step: int, spec: str) -> None:
        waiting = [run for run in self.claims if self._waits(run)]
        if self.claims:
            last = (waiting or self.claims)[-1 - back % len(waiting or self.claims)]
            wanted = want(
                last.scheduled_for,
                last.job,
                last.scope,
                kind=last.kind,
                attempt=last.attempt + step,
                spec=spec,
            )
            self._claim(self.asker, [wanted])

    @rule(back=st.integers(0, 5), step=st.sampled_from([1, 1, 1, 2]))
    def try_again(self, back: int, step: int) -> None:
        """A person asks for another attempt of whatever was claimed."""
        if self.claims:
            last = self.claims[-1 - back % len(self.claims)]
            stand = self.memory.stands.get((last.job, last.scope))
            wanted = want(
                last.scheduled_for,
                last.job,
                last.scope,
                kind=last.kind,
                attempt=last.attempt + step,
                spec=stand.hash if stand else HASH,
            )
            self._claim(self.asker, [replace(wanted, by_hand=True)])

    def _waits(self, run: Run) -> bool:
        stand = self.memory.stands.get((run.job, run.scope))
        return stand is not None and stand.retry == run.token

    def _claim(self, session: Session, wants: list[Want], ahead: float | None = None) -> None:
        before = self.store.now()
        clock = None if ahead is None else before + timedelta(seconds=ahead)
        got = self.store.claim(session, wants, clock)
        now = self.store.now()
        if ahead is not None and now - before > timedelta(seconds=0.4):  # too slow to tell
            clock = now if not any(answer == Refused(Refusal.SKEW) for answer in got) else T0
        assert got == [self.memory.claim(session, one, now, clock) for one in wants]
        self.claims += [answer.run for answer in got if isinstance(answer, Claimed)]

    @rule(
        which=st.lists(st.sampled_from([0, 0, 1, 2, 3]), min_size=1, max_size=2),
        how=ENDS,
        retry=st.sampled_from([None, T0, FUTURE]),
    )
    def finish(self, which: list[int], how: End, retry: datetime | None) -> None:
        """Any claim that was ever given may try its final write, however late."""
        if self.claims:
            runs = [self.claims[-1 - back % len(self.claims)] for back in which]
            self._finish(runs, how, retry)

    def _finish(self, runs: list[Run], how: End, retry: datetime | None) -> None:
        ends = [Finish(r.job, r.scope, r.token, how, retry) for r in runs]
        assert self.store.finish(ends) == [self.memory.finish(one) for one in ends]

    @rule(back=st.integers(0, 3), invocation=st.sampled_from(["", "1f", "2f"]))
    def attach(self, back: int, invocation: str) -> None:
        if self.claims:
            run = self.claims[-1 - back % len(self.claims)]
            key = (run.job, run.scope, run.token, invocation, t(self.clock))
            assert self.store.attach(*key) == self.memory.attach(*key)

    @rule(back=st.integers(0, 3), is_other=st.booleans())
    def give_up(self, back: int, is_other: bool) -> None:
        """The retry of any run, whether it waits for one or not, or of another one's token."""
        if self.claims:
            waiting = [run for run in self.claims if self._waits(run)] if back else []
            run = (waiting or self.claims)[-1 - back % len(waiting or self.claims)]
            token = run.token + is_other
            got = self.store.give_up(run.job, run.scope, token, "nobody wants it")
            assert got == self.memory.give_up((run.job, run.scope), token)

    @rule(name=NAMES, scope=SCOPES, above=ABOVE, more=st.integers(0, 2), spec=HASHES)
    def settle(self, name: str, scope: str, above: int, more: int, spec: str) -> None:
        stand = self.memory.stands.get((name, scope))
        mark = int(((stand.high_water if stand else T0) - T0).total_seconds())
        one = settlement(mark + above, mark + above + more, name, scope, count=2, spec=spec)
        assert self.store.settle([one]) == [self.memory.settle(one)]

    @rule(
        host=st.sampled_from(["one", "two"]),
        is_forged=st.sampled_from([False, False, False, True]),
        named=st.none() | st.sets(st.sampled_from(KEPT)),
        ran=st.lists(st.tuples(st.sampled_from(KEPT), ABOVE, KINDS), max_size=2),
        spec=HASHES,
        token=st.integers(1, 3),
    )
    def record(
        self,
        host: str,
        is_forged: bool,
        named: set[str] | None,
        ran: list[tuple[str, int, Kind]],
        spec: str,
        token: int,
    ) -> None:
        """What a host keeps itself, whatever it said before; or what another one keeps."""
        whose = {"one": "two", "two": "one"}[host] if is_forged else host
        specs = None
        if named is not None:
            specs = [
                kept_spec(name, host, spec, until=at) for name in sorted(named) for at in (1, 0)
            ]
        runs, marks = [], []
        for name, above, kind in ran:
            stand = self.memory.stands.get((name, whose))
            at = (stand.high_water if stand else T0) + timedelta(seconds=above)
            runs.append(kept_run(name, whose, at, token, kind))
            marks.append(Mark(name, whose, spec, at, token))
        self.store.record(host, specs, runs, marks)
        self.memory.record(host, specs, runs, marks)

    @rule(at=st.integers(-2, 6), often=st.integers(0, 1))
    def prune(self, at: int, often: int) -> None:
        if often == 0:
            before = t(self.clock + at)
            assert self.store.prune(before) == self.memory.prune(before)

    @rule(back=st.integers(0, 9))
    def look_up(self, back: int) -> None:
        """A run is found by the id it was claimed under."""
        if self.claims:
            run_id = self.claims[-1 - back % len(self.claims)].run_id
            assert _plain(self.store.run(run_id)) == _plain(self.memory.run(run_id))

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "claims"):
            return
        cursors = self.store.cursors()
        assert _stands(cursors) == _stands(self.memory.cursors())
        some = [(c.job, c.scope) for c in cursors[::2]]
        assert self.store.cursors([("x", ""), *some]) == cursors[::2]
        rows = self.store.runs(RunFilter())
        assert rows == sorted(rows, key=lambda r: (r.scheduled_for, r.token), reverse=True)
        assert sorted(_plain(rows), key=_order) == sorted(_plain(self.memory.rows), key=_order)
        specs = sorted(self.memory.specs, key=lambda s: (s.job, s.seq))
        assert self.store.specs() == specs

    @invariant()
    def never_back(self) -> None:
        for c in self.store.cursors() if hasattr(self, "claims") else ():
            token, mark = self.highest.get((c.job, c.scope), (0, t(-1000)))
            assert c.token >= token
            assert c.high_water >= mark
            self.highest[c.job, c.scope] = (c.token, c.high_water)


def _or_conflict(register: Callable[[], list[str]]) -> list[str] | None:
    try:
        return sorted(register())
    except StoreConflict:
        return None


def _plain(rows: list[Run]) -> list[Run]:
    """That a retry was given up must be said; in which words is the engine's."""
    return [replace(row, end_reason=row.end_reason and _first(row.end_reason)) for row in rows]


def _first(reason: str) -> str:
    said, *more = reason.split("; ")
    return f"{said}; given up" if more else said


def _stands(cursors: list[Cursor]) -> list[Cursor]:
    return [
        replace(
            c, active=c.active and _plain([c.active])[0], retry=c.retry and _plain([c.retry])[0]
        )
        for c in cursors
    ]


def _order(row: Run) -> tuple[object, ...]:
    return row.job, row.scope, row.kind, row.scheduled_for, row.attempt
