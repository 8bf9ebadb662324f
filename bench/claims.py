"""What a claim costs in PostgreSQL, beside a plain INSERT and a plain UPDATE on the same server.

Run as root: ``python -m bench.claims [DIRECTORY] [ROUNDS]``; DIRECTORY lies on a disk. The server
keeps its promises there (fsync, synchronous_commit), and pgbench sends, from 1, 4 and 16 clients:

- INSERT: the ledger row of a claim, into a bare table with the ledger's primary key; one each
- UPDATE: one row of a bare table of cursors, found by its primary key; one each
- claim: the statement that the engine sends, for one (job, scope) that nobody else asks for: so
  it is where hosts are ranked
- batch: the same statement for 100 of them at once
- the engine itself in that many Python processes, singly and in batches

All take turns, so that each claim has its floor right beside it. Printed are the medians of the
rounds and of the rounds' ratios. Every burst's ledger rows are counted: nothing was refused.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.postgres import DISK, Burst, execute, pgbench, server_on
from hostagent.model import Kind
from hostagent.store.port import Claimed, Want
from hostagent.store.postgres.engine import CLAIM, PostgresStore
from hostagent.store.sql.rows import micros
from tests.contract.store.postgres import Server

CLIENTS = (1, 4, 16)
SECONDS = 2
JOBS = 1200
BATCH = 100
"""Scopes of each job: a batch is one job's."""

AT = datetime(2025, 1, 1, tzinfo=UTC)
DUE = str(micros(AT))
GOALS = (("claim", "INSERT", 0.75), ("batch", "claim", 8.0))

LEDGER = (
    "job, scope, kind, scheduled_for, attempt, token, host, reason, spec_hash, session, boot_id, "
    "claimed_at, started_at, invocation_id, covers_from, covers"
)
FLOOR = f"""
CREATE TABLE floor_run AS SELECT * FROM run;
ALTER TABLE floor_run ADD PRIMARY KEY (job, scope, kind, scheduled_for, attempt);
CREATE TABLE floor_cursor AS SELECT * FROM cursor;
ALTER TABLE floor_cursor ADD PRIMARY KEY (job, scope);
ALTER TABLE floor_cursor SET (fillfactor=50);
INSERT INTO session SELECT n, 'host-' || n, 'boot', 0, 0, 0, 10000000, {2**62}, '', '', '[]', 0
  FROM generate_series(0, {max(CLIENTS) - 1}) n;
"""
FRESH = f"""
TRUNCATE run, floor_run, cursor, floor_cursor;
INSERT INTO cursor (job, scope, spec_hash, high_water)
  SELECT job, scope, 'h', 0 FROM generate_series(0, {JOBS - 1}) job,
  generate_series(0, {BATCH - 1}) scope;
INSERT INTO floor_cursor SELECT * FROM cursor;
"""
NEXT = f"""\\set own :client_id * {JOBS} / :clients
\\set job :own + :n / {BATCH}
\\set scope mod(:n, {BATCH})
\\set n :n + 1
"""
NEXT_BATCH = f"""\\set job :client_id * {JOBS} / :clients + :n
\\set n :n + 1
"""
INSERT = f"""INSERT INTO floor_run ({LEDGER}) VALUES (:job, :scope, 'scheduled', :due, 1, 1, 'host',
:reason, :hash, :client_id, :boot, :due, :due, :invocation, NULL, 1);
"""
UPDATE = """UPDATE floor_cursor SET token=token+1, active_token=token+1, high_water=:due
WHERE job=:job AND scope=:scope;
"""


def main() -> None:
    """Measure and print; exit 1 when a goal is missed."""
    disk = Path(sys.argv[1]) if len(sys.argv) > 1 else DISK
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with server_on(disk) as server, tempfile.TemporaryDirectory() as scripts:
        schema = server.new_schema()
        with closing(PostgresStore(server.url(schema=schema))):
            execute(server, schema, FLOOR)
        missed = 0
        for clients in CLIENTS:
            bursts = Bursts(server, schema, Path(scripts), clients)
            missed += compare(bursts, clients, rounds)
    sys.exit(1 if missed else 0)


class Bursts:
    """Each kind's work by so many clients: how many rows it wrote in a second."""

    def __init__(self, server: Server, schema: str, place: Path, clients: int) -> None:
        self.kinds: dict[str, Callable[[], float]] = {
            "INSERT": lambda: self._floor(INSERT),
            "claim": self._single,
            "UPDATE": lambda: self._floor(UPDATE),
            "batch": self._batch,
            "engine": lambda: self._engine(1),
            "engine, batch": lambda: self._engine(BATCH),
        }
        self._server = server
        self._schema = schema
        self._script = place / "script"
        self._clients = clients

    def _floor(self, text: str) -> float:
        fixed = {"due": DUE, "reason": "due", "hash": "h", "boot": "boot", "invocation": "i" * 32}
        return self._pgbench(NEXT + text, f"-T{SECONDS}", **fixed).per_s

    def _single(self) -> float:
        text = NEXT + statement("ARRAY[:job]", "ARRAY[:scope]")
        burst = self._pgbench(text, f"-T{SECONDS}", **arrays(1))
        assert self._claimed() == burst.done
        return burst.per_s

    def _batch(self) -> float:
        jobs = f"ARRAY[{', '.join([':job'] * BATCH)}]"
        text = NEXT_BATCH + statement(jobs, ":scopes")
        each = JOBS // self._clients
        scopes = array(map(str, range(BATCH)))
        burst = self._pgbench(text, f"-t{each}", scopes=scopes, **arrays(BATCH))
        assert self._claimed() == burst.done * BATCH
        return burst.per_s * BATCH

    def _engine(self, size: int) -> float:
        """The whole call in Python, in a process for each client."""
        execute(self._server, self._schema, FRESH)
        context = get_context("spawn")
        url = self._server.url(schema=self._schema)
        begin = context.Barrier(self._clients)
        share = JOBS // self._clients
        with ProcessPoolExecutor(self._clients, context, _start_at, (begin,)) as pool:
            given = [
                (url, size, n, range(n * share, (n + 1) * share)) for n in range(self._clients)
            ]
            done = list(pool.map(_claim_on, given))
        assert self._claimed() == sum(count for count, _ in done)
        return sum(count / seconds for count, seconds in done)

    def _pgbench(self, text: str, amount: str, **given: str) -> Burst:
        execute(self._server, self._schema, FRESH)
        self._script.write_text(text)
        given |= {"n": "0", "clients": str(self._clients)}
        return pgbench(self._server, self._schema, self._script, self._clients, amount, given)

    def _claimed(self) -> int:
        with closing(PostgresStore(self._server.url(schema=self._schema))) as store:
            (row,) = store.database.read("SELECT count(*) AS claims FROM run")
        return int(row["claims"])


def statement(jobs: str, scopes: str) -> str:
    """The engine's, with pgbench's variables where the engine gives values, in their order."""
    session = [":client_id", "'host-' || :client_id", ":boot", ":clock", ":clock", ":skew"]
    wants = [jobs, scopes, ":hashes", ":dues", ":reasons", ":dues", ":invocations", ":froms"]
    values = iter([*session, *wants, ":covers", ":client_id"])
    text = re.sub(r"\?", lambda _: next(values), CLAIM)
    assert next(values, None) is None
    return f"{text.strip()};\n"


def arrays(size: int) -> dict[str, str]:
    """What else the engine's statement is given for so many claims. No clock is far from ours."""
    each = {
        "hashes": "h",
        "dues": DUE,
        "reasons": "due",
        "invocations": "i" * 32,
        "froms": "NULL",
        "covers": "1",
    }
    fixed = {"boot": "boot", "clock": DUE, "skew": str(2**62)}
    return fixed | {name: array([value] * size) for name, value in each.items()}


def array(values: Iterable[str]) -> str:
    """PostgreSQL's text of an array of plain words."""
    return f"{{{','.join(values)}}}"


_begin: list[Barrier] = []


def _start_at(barrier: Barrier) -> None:
    _begin.append(barrier)


def _claim_on(given: tuple[str, int, int, range]) -> tuple[int, float]:
    """One host claims its share, or what of it fits into the time: how many, and how long."""
    url, size, number, jobs = given
    names = [(str(job), str(scope)) for job in jobs for scope in range(BATCH)]
    with closing(PostgresStore(url)) as store:
        session = store.open_session(f"engine-{number}", "boot", ttl=timedelta(hours=1))
        _begin[0].wait()
        began, count = perf_counter(), 0
        while perf_counter() < began + SECONDS and count < len(names):
            now = datetime.now(UTC)
            some = names[count : count + size]
            wants = [
                Want(job, scope, "h", Kind.SCHEDULED, AT, "due", now, invocation_id="i" * 32)
                for job, scope in some
            ]
            answers = store.claim(session, wants, now)
            assert all(isinstance(answer, Claimed) for answer in answers), answers
            count += len(answers)
        return count, perf_counter() - began


def compare(bursts: Bursts, clients: int, rounds: int) -> int:
    """Let the kinds take turns; print their medians, and how many goals were missed."""
    rates: dict[str, list[float]] = {kind: [] for kind in bursts.kinds}
    for _ in range(rounds):
        for kind, work in bursts.kinds.items():
            rates[kind].append(work())

    def ratio(kind: str, base: str) -> float:
        return median(a / b for a, b in zip(rates[kind], rates[base], strict=True))

    for kind, values in rates.items():
        print(
            f"{clients:>2} clients  {kind:<13} {median(values):8.0f} a second  "
            f"{ratio(kind, 'INSERT'):5.2f} x INSERT  {ratio(kind, 'UPDATE'):5.2f} x UPDATE"
        )
    missed = 0
    for kind, base, goal in GOALS:
        found = ratio(kind, base)
        missed += found < goal
        verdict = "goal held" if found >= goal else "goal MISSED"
        print(f"{clients:>2} clients  {kind} = {found:.2f} x {base}; at least {goal:g}: {verdict}")
    return missed


if __name__ == "__main__":
    main()
