"""A PostgreSQL server on disk, as a fleet would run it, and pgbench, for the benchmarks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.contract.store.postgres import Server, find

DISK = Path("/var/tmp")
"""Where the server's files go, if nothing else is said: it must not be memory."""

SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "max_connections": "100",
    "shared_preload_libraries": "pg_stat_statements",
}


@contextmanager
def server_on(disk: Path) -> Iterator[Server]:
    """A new server, gone at the end."""
    server = Server(disk, SETTINGS)
    try:
        server.run("CREATE EXTENSION pg_stat_statements")
        yield server
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Burst:
    """What pgbench did: so many transactions, at so many a second."""

    done: int
    per_s: float


def pgbench(
    server: Server, schema: str, script: Path, clients: int, amount: str, given: Mapping[str, str]
) -> Burst:
    """Transactions of ``script`` in a schema, each client on a connection of its own.

    ``amount`` is pgbench's ``-T SECONDS`` or ``-t TRANSACTIONS``. The protocol is the one that
    psycopg speaks without prepared statements: parse, bind, execute, each time.
    """
    program = find("pgbench")
    assert program is not None, "pgbench is not installed"
    values = [f"-D{name}={value}" for name, value in given.items()]
    command = [str(program), "-n", "-M", "extended", "-f", str(script), "-c", str(clients)]
    threads = f"-j{min(clients, 2)}"
    done = subprocess.run(
        [*command, threads, amount, *values, "hostagent"],
        env={
            "PGHOST": str(server.place),
            "PGUSER": "hostagent",
            "PGOPTIONS": f"-csearch_path={schema}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    processed = re.search(r"actually processed: (\d+)", done.stdout)
    rate = re.search(r"^tps = ([0-9.]+) \(without", done.stdout, re.MULTILINE)
    assert processed is not None, done.stdout
    assert rate is not None, done.stdout
    return Burst(int(processed[1]), float(rate[1]))


def execute(server: Server, schema: str, sql: str) -> None:
    """Statements in a schema, and what they left to write is written."""
    options = f"-csearch_path={schema}"
    with psycopg.connect(
        host=str(server.place), user="hostagent", autocommit=True, options=options
    ) as pg:
        pg.execute(sql)
        pg.execute("CHECKPOINT")
