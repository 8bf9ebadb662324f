"""A user's place with jobs deployed and a real ledger: for commands that read, and their bench."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime

from hostagent import __version__
from hostagent.deploy import generations
from hostagent.deploy.generations import Generation
from hostagent.host.paths import Paths
from hostagent.model import Job, Manifest, Run, Unit
from hostagent.store.port import Profile, registrations
from hostagent.store.sql.rows import INSERT_RUN, run_values
from hostagent.store.sqlite.engine import SqliteStore


def deploy(paths: Paths, host: str, jobs: Iterable[Job], at: datetime) -> None:
    """As an apply at ``at`` leaves it, but for the units; an agent has a session in the store."""
    jobs = tuple(jobs)
    units = tuple(
        Unit(job.name, scope, f"hostagent-{job.name}.service", f"hostagent-{job.name}.timer")
        for job in jobs
        for scope in job.scopes(host)
    )
    manifest = Manifest(1, at, 257, host, jobs, units=units, hostagent=__version__)
    paths.generations.mkdir(parents=True)
    generations.write(paths, Generation(manifest, {}))
    generations.flip(paths, 1)
    with closing(SqliteStore(paths.state / "state.db", clock=lambda: at)) as store:
        store.register(registrations(manifest), [], at)
        store.open_session(host, "boot", profile=Profile(__version__))


def record(paths: Paths, runs: Iterable[Run]) -> None:
    """Rows of the ledger, just as they are given."""
    with closing(sqlite3.connect(paths.state / "state.db")) as db, db:
        db.executemany(INSERT_RUN, map(run_values, runs))
