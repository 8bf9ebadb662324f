"""Several processes at once, and processes that die at any instant."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from contextlib import ExitStack, closing

from hostagent.model import Outcome, Run
from hostagent.store.open import open_store
from hostagent.store.port import Claimed, Cursor, RunFilter, Store
from tests.contract.store.builders import claimed, finish, job, settlement, t, want
from tests.contract.store.processes import all_of, forked

RACERS = 6
ROUNDS = 30
KILLS = 50


def test_of_many_processes_one_gets_each_occurrence(url: str, store: Store) -> None:
    """All ask for the same occurrences at once: each is given once, tokens are never shared."""
    ready, go = os.pipe()

    def race(output: int) -> None:
        os.close(go)
        mine = open_store(url)
        session = mine.open_session(f"host-{os.getpid()}", "boot-1")
        os.write(output, b"\n")
        os.read(ready, 1)  # until the last other end of it is closed
        for n in range(1, ROUNDS + 1):
            (answer,) = mine.claim(session, [want(n)])
            if isinstance(answer, Claimed):
                os.write(output, f"{n} {answer.run.token}\n".encode())
                mine.finish([finish(answer.run)])

    with ExitStack() as racers:
        outputs = [racers.enter_context(forked(race))[1] for _ in range(RACERS)]
        for output in outputs:
            assert os.read(output, 1) == b"\n"
        os.close(ready)
        os.close(go)
        won = [line for output in outputs for line in all_of(output).splitlines()]
    occurrences, tokens = zip(*(map(int, line.split()) for line in won), strict=True)
    rows = store.runs(RunFilter(job="a"))
    assert max(Counter(occurrences).values()) == 1
    assert sorted(tokens) == sorted(row.token for row in rows) == list(range(1, len(won) + 1))
    assert {row.scheduled_for for row in rows} == {t(n) for n in occurrences}
    assert {row.outcome for row in rows} == {Outcome.SUCCEEDED}


def test_a_killed_writer_leaves_all_it_was_told_and_nothing_half(url: str, store: Store) -> None:
    """Fifty times SIGKILL at a random instant: what was acknowledged is there, rows and cursors
    agree, and the next writer goes on at once."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    store.register([job("a"), job("b"), job("c")], [], t(0))
    acknowledged: set[tuple[str, ...]] = set()
    for turn in range(KILLS):

        def write(output: int, start: int = turn * 1000 + 1) -> None:
            mine = open_store(url)
            session = mine.open_session("one", "boot-1")
            for c in mine.cursors():
                if c.active:
                    mine.finish([finish(c.active, Outcome.FAILED)])
            for n in range(start, start + 999):
                answers = mine.claim(session, [want(n), want(n, "b")])
                runs = [answer.run for answer in answers if isinstance(answer, Claimed)]
                os.write(output, "".join(f"claim {r.run_id}\n" for r in runs).encode())
                mine.finish([finish(run) for run in runs])
                os.write(output, "".join(f"end {r.run_id}\n" for r in runs).encode())
                mine.settle([settlement(n, name="c")])
                os.write(output, f"settle {n}\n".encode())

        with forked(write) as (child, output):
            said = os.read(output, 1)
            threading.Event().wait(chance.uniform(0, 0.008))
            os.kill(child, signal.SIGKILL)
            said += all_of(output).encode()
        acknowledged |= {tuple(line.split()) for line in said.decode().splitlines()}
        with closing(open_store(url)) as after:
            _check(after, acknowledged, seed)
    assert len(acknowledged) > KILLS


def _check(store: Store, acknowledged: set[tuple[str, ...]], seed: int) -> None:
    rows, cursors = _read(store)
    ids = {row.run_id: row for row in rows}
    settled = {row.scheduled_for for row in rows if row.job == "c"}
    for what, name in acknowledged:
        if what == "settle":
            assert t(int(name)) in settled, f"seed {seed}"
        else:
            assert name in ids, f"seed {seed}"
            assert what == "claim" or ids[name].outcome is not None, f"seed {seed}"
    for c in cursors:
        mine = [row for row in rows if row.job == c.job]
        assert c.high_water == max((row.scheduled_for for row in mine), default=t(0))
        assert c.token == max((row.token for row in mine), default=0)
        assert [row for row in mine if row.outcome is None] == ([c.active] if c.active else [])


def _read(store: Store) -> tuple[list[Run], list[Cursor]]:
    """As of one instant: a server may be at work still on what the dead one asked for."""
    while True:
        before, rows, cursors = store.cursors(), store.runs(RunFilter()), store.cursors()
        if before == cursors:
            return rows, cursors


def test_a_store_is_set_up_once(url: str) -> None:
    """Processes that open a new store at the same moment all get it whole."""

    def first(output: int) -> None:
        mine = open_store(url)
        session = mine.open_session(f"host-{os.getpid()}", "boot-1")
        mine.register([job(f"job-{os.getpid()}")], [], t(0), remove_others=False)
        claimed(mine, session, want(1, f"job-{os.getpid()}"))
        os.write(output, b"done")

    with ExitStack() as starters:
        outputs = [starters.enter_context(forked(first))[1] for _ in range(RACERS)]
        assert [all_of(output) for output in outputs] == ["done"] * RACERS
    with closing(open_store(url)) as store:
        assert len(store.runs(RunFilter())) == len(store.specs()) == RACERS
