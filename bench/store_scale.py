"""What the store's calls take when it is full, beside an empty one on the same server.

Run as root: ``python -m bench.store_scale [--rows N] [--disk DIRECTORY] [--plans]``. The full one
has N ledger rows (a million; the goal is held for ten million, which take some minutes to load),
100,000 jobs, and 1,000 sessions, of which 100 hold ten claims each; the empty one has as many jobs
as are claimed here and one session with ten claims. The same call is made in both in turn; printed
are the medians and the medians of the ratios of neighbours. ``--plans`` prints, instead, how the
server carried out each call's statements in the full store (auto_explain).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.postgres import DISK, execute, server_on
from hostagent.model import End, Kind, Outcome, run_id
from hostagent.store.port import Claimed, Finish, RunFilter, Session, Want
from hostagent.store.postgres.engine import PostgresStore
from hostagent.store.sql.rows import interval_us, micros
from tests.contract.store.postgres import Server

ROUNDS = 200
JOBS = 100_000
SESSIONS = 1_000
HOLDERS = 100
HELD = 10
GOAL = 2.0
LONGER = {"sessions"}
"""Answers with a row for each session: not held to the goal."""

T0 = datetime(2025, 1, 1, tzinfo=UTC)
END = End(Outcome.SUCCEEDED, "exit 0", "success", 0, ended_at=T0)
LEDGER = (
    "job, scope, kind, scheduled_for, attempt, token, host, reason, spec_hash, session, boot_id, "
    "claimed_at, started_at, ended_at, outcome, end_reason, result, exit_code"
)
EXPLAINED = (
    "-csession_preload_libraries=auto_explain -cauto_explain.log_min_duration=0 "
    "-cauto_explain.log_analyze=on -cauto_explain.log_timing=off"
)


def main() -> None:
    """Measure and print; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--disk", type=Path, default=DISK)
    parser.add_argument("--plans", action="store_true")
    asked = parser.parse_args()
    with server_on(asked.disk) as server:
        full = loaded(server, asked.rows, JOBS, SESSIONS, HOLDERS)
        if asked.plans:
            with closing(PostgresStore(server.url(schema=full, options=EXPLAINED))) as store:
                show_plans(Calls(store), server.place / "log")
            return
        empty = loaded(server, 0, 2 * ROUNDS + HELD, 1, 1)
        with (
            closing(PostgresStore(server.url(schema=empty))) as one,
            closing(PostgresStore(server.url(schema=full))) as other,
        ):
            sys.exit(1 if compare(Calls(one), Calls(other)) else 0)


def loaded(server: Server, rows: int, jobs: int, sessions: int, holders: int) -> str:
    """The schema of a store with so much in it; its hosts claimed the first jobs."""
    schema = server.new_schema()
    with closing(PostgresStore(server.url(schema=schema))) as store:
        found = store.database.read(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname=? AND tablename='run' "
            "AND indexname<>'run_pkey'",
            schema,
        )
    ttl = interval_us(timedelta(hours=1)) or 0
    first, each = micros(T0), (rows + jobs - 1) // jobs
    ended = "'succeeded', 'exit 0', 'success', 0"
    hosts = "'host-' || session, 'due', 'h', 'session-' || session, 'boot'"
    many = f"""
    INSERT INTO session
      SELECT 'session-' || n, 'host-' || n, 'boot', 0, 0, 0, {ttl}, {ttl * 10**6}, '', '', '[]', 0
      FROM generate_series(0, {sessions - 1}) n;
    INSERT INTO job_spec SELECT 'job-' || n, 1, 'h', '{{}}', '[""]', 0, NULL, ''
      FROM generate_series(0, {jobs - 1}) n;
    INSERT INTO run ({LEDGER}) SELECT 'job-' || n % {jobs}, '', 'scheduled',
      {first} + n / {jobs} * 3600000000, 1, n / {jobs} + 1, {hosts}, {first}, {first}, {first},
      {ended}
      FROM generate_series(0, {rows - 1}) n, LATERAL (SELECT n % {sessions} AS session) s;
    INSERT INTO cursor (job, scope, spec_hash, high_water, token, active_token)
      SELECT 'job-' || n, '', 'h', {first} + {each} * 3600000000, {each} + 1,
      CASE WHEN n < {holders * HELD} THEN {each} + 1 END
      FROM generate_series(0, {jobs - 1}) n;
    INSERT INTO run ({LEDGER}) SELECT 'job-' || n, '', 'scheduled', {first} + {each} * 3600000000,
      1, {each} + 1, {hosts}, {first}, {first}, NULL, NULL, NULL, NULL, NULL
      FROM generate_series(0, {holders * HELD - 1}) n, LATERAL (SELECT n / {HELD} AS session) s;
    """
    indexes = [(row["indexname"], row["indexdef"]) for row in found]
    execute(server, schema, "".join(f"DROP INDEX {name};" for name, _ in indexes) + many)
    execute(server, schema, ";".join(text for _, text in indexes))
    execute(server, schema, "VACUUM ANALYZE")
    return schema


class Calls:
    """What agents and people ask of one store, each time of another job."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._session = Session("session-0", "host-0", "boot")
        self._at = store.cursors([("job-0", "")])[0].high_water
        self._numbers = count(HELD * (HOLDERS if len(store.sessions()) > 1 else 1))
        self._job = ""
        self._token = 0
        self.all: dict[str, Callable[[], object]] = {
            "claim": self._claim,
            "beat": lambda: store.beat(self._session),
            "finish": self._finish,
            "runs of a job": lambda: store.runs(RunFilter(job=self._job, limit=20)),
            "why": self._why,
            "held": lambda: store.held(self._session.id),
            "sessions": store.sessions,
            "cursors of one": lambda: store.cursors([(self._job, "")]),
        }

    def _claim(self) -> None:
        self._job, now = f"job-{next(self._numbers)}", datetime.now(UTC)
        at = self._at + timedelta(hours=1)
        want = Want(self._job, "", "h", Kind.SCHEDULED, at, "due", now, invocation_id="i" * 32)
        (answer,) = self._store.claim(self._session, [want], now)
        assert isinstance(answer, Claimed), answer
        self._token = answer.run.token

    def _finish(self) -> None:
        self._store.finish([Finish(self._job, "", self._token, END)])

    def _why(self) -> None:
        """As ``hostagent why JOB`` reads."""
        store = self._store
        assert not store.run(self._job)
        (last,) = store.runs(RunFilter(job=self._job, limit=1))
        store.run(run_id(last.job, last.scope, last.kind, last.scheduled_for))
        store.cursors([(self._job, "")])
        store.pauses()
        store.decisions(self._job)


def compare(empty: Calls, full: Calls) -> int:
    """Print each call's time in both; how many goals were missed."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in full.all}
    for _ in range(ROUNDS):
        for name in full.all:
            spent[name].append((timed(empty.all[name]), timed(full.all[name])))
    missed = 0
    for name, pairs in spent.items():
        few, many = (median(pair[n] for pair in pairs) * 1000 for n in (0, 1))
        ratio = median(b / a for a, b in pairs)
        is_missed = ratio > GOAL and name not in LONGER
        missed += is_missed
        verdict = f"  goal MISSED: {GOAL:g} x" if is_missed else ""
        print(f"{name:<16} {few:7.2f} ms empty  {many:7.2f} ms full  {ratio:5.2f} x{verdict}")
    return missed


def timed(call: Callable[[], object]) -> float:
    """Seconds."""
    begun = perf_counter()
    call()
    return perf_counter() - begun


def show_plans(calls: Calls, log: Path) -> None:
    """Print what the server's log says of each call."""
    for name, call in calls.all.items():
        begin = log.stat().st_size
        call()
        with log.open() as file:
            file.seek(begin)
            print(f"## {name}\n\n{file.read()}")


if __name__ == "__main__":
    main()
