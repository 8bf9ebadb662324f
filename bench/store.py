"""What a claim costs beside a plain INSERT, on the same disk with the same settings.

Run ``python -m bench.store [DIRECTORY]``. The floor inserts the same ledger row into a bare table
with the ledger's primary key, one transaction each (WAL, synchronous=FULL), through a connection
of its own. A claim also moves the cursor and keeps the ledger's indexes. All kinds take turns in
one run; the medians of the rounds and their ratios to the floor are printed, singly and in
batches of 100. Then eight processes claim at once, and the longest wait of any is printed.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter

from hostagent.model import End, Kind, Outcome
from hostagent.store.port import Claimed, Finish, Registration, Session, Want
from hostagent.store.sql.rows import RUN_COLUMNS, micros
from hostagent.store.sqlite.engine import SqliteStore

ROUNDS = 15
SINGLES = 100
BATCH = 100
BATCHES = 5
WRITERS = 8
WRITER_S = 2.0
MARKS = ", ".join("?" * 28)
T0 = datetime(2025, 1, 1, tzinfo=UTC)
END = End(Outcome.SUCCEEDED, "exit 0", "success", 0, ended_at=T0)
JOBS = [f"job-{n}" for n in range(BATCH)]


def floor_at(file: Path) -> sqlite3.Connection:
    """A bare table with the ledger's columns and primary key."""
    db = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=200"):
        db.execute(f"PRAGMA {pragma}")
    key = "job, scope, kind, scheduled_for, attempt"
    db.execute(f"CREATE TABLE run ({RUN_COLUMNS}, PRIMARY KEY ({key}))")
    return db


def opened(place: Path, host: str) -> tuple[SqliteStore, Session]:
    store = SqliteStore(place / "state.db")
    return store, store.open_session(host, "boot")


def wants(jobs: list[str], at: datetime) -> list[Want]:
    return [Want(job, "", "h", Kind.SCHEDULED, at, "due", at) for job in jobs]


def main() -> None:
    """Measure and print."""
    where = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(dir=where) as name:
        place = Path(name)
        store, session = opened(place, "one")
        store.register([Registration(job, "h", "{}", ("",)) for job in JOBS], [], T0)
        with closing(store), closing(floor_at(place / "floor.db")) as floor:
            compare(store, session, floor)
        contend(place)


def compare(store: SqliteStore, session: Session, floor: sqlite3.Connection) -> None:
    """The kinds in turn, in one run."""
    instants = (T0 + timedelta(seconds=n) for n in count(1))
    claimed: list[Claimed] = []

    def insert(jobs: list[str]) -> None:
        at = micros(next(instants))
        floor.execute("BEGIN IMMEDIATE")
        for job in jobs:
            row = [job, "", "scheduled", at, 1, 1, "one", "due", "h", "s", "b", at]
            floor.execute(f"INSERT INTO run VALUES ({MARKS})", row + [None] * 16)
        floor.execute("COMMIT")

    def claim(jobs: list[str]) -> None:
        answers = store.claim(session, wants(jobs, next(instants)))
        claimed[:] = [answer for answer in answers if isinstance(answer, Claimed)]
        assert len(claimed) == len(jobs), answers

    def finish(_: list[str]) -> None:
        store.finish([Finish(c.run.job, "", c.run.token, END) for c in claimed])

    kinds = {"INSERT": insert, "claim": claim, "finish": finish}
    take_turns(kinds, [[job] for job in JOBS[:SINGLES]])
    take_turns(kinds, [JOBS] * BATCHES)


def take_turns(kinds: dict[str, Callable[[list[str]], None]], batches: list[list[str]]) -> None:
    """Time each kind on each batch, one after the other, and print the medians of the rounds."""
    size = len(batches[0])
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        taken = dict.fromkeys(kinds, 0.0)
        for jobs in batches:
            for kind, work in kinds.items():
                begun = perf_counter()
                work(jobs)
                taken[kind] += perf_counter() - begun
        for kind, seconds in taken.items():
            spent[kind].append(seconds / len(batches) / size)
    floor = median(spent["INSERT"])
    for kind, values in spent.items():
        us = median(values) * 1e6
        print(
            f"{kind:<7} of {size:>3}: {us:8.1f} us each, {1e6 / us:8.0f} a second, "
            f"{floor * 1e6 / us:5.2f} x INSERT"
        )


def contend(place: Path) -> None:
    """Eight processes claim and finish as fast as they can."""
    context = get_context("fork")
    with context.Pool(WRITERS) as pool:
        results = pool.map(_writer, [(place, n) for n in range(WRITERS)], chunksize=1)
    done, waits = sum(n for n, _ in results), [wait for _, wait in results]
    print(
        f"{WRITERS} processes: {done / WRITER_S:8.0f} transactions a second, "
        f"the longest took {max(waits) * 1000:.0f} ms"
    )


def _writer(given: tuple[Path, int]) -> tuple[int, float]:
    place, number = given
    store, session = opened(place, f"host-{os.getpid()}")
    until, longest, done = perf_counter() + WRITER_S, 0.0, 0
    for n in count(1):
        if perf_counter() > until:
            break
        at = T0 + timedelta(days=1 + number, seconds=n)
        begun = perf_counter()
        (answer,) = store.claim(session, wants([JOBS[number]], at))
        between = perf_counter()
        assert isinstance(answer, Claimed), answer
        store.finish([Finish(answer.run.job, "", answer.run.token, END)])
        longest = max(longest, between - begun, perf_counter() - between)
        done += 2
    store.close()
    return done, longest


if __name__ == "__main__":
    main()
