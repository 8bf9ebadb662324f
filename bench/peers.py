"""procrastinate and APScheduler 4 under the load of bench.pulse: one worker process's work.

bench.pulse runs this in processes of its own (``main``), each with libpq's PG* variables for where
the server is, HOSTNAME for the worker's name, and WORK for the program that a task runs. A task
runs that program once, as a subprocess, and waits for its end.

Needs the extra ``bench``; imported only where that is installed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import procrastinate
from apscheduler import AsyncScheduler
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from apscheduler.eventbrokers.psycopg import PsycopgEventBroker
from apscheduler.triggers.date import DateTrigger
from sqlalchemy.ext.asyncio import create_async_engine

READY = "ready"
AT_ONCE = 10
"""How many tasks a worker runs at once, with both."""


class Peer(Protocol):
    """What bench.pulse asks of each."""

    async def set_up(self) -> None:
        """Make the schema."""

    async def submit(self, jobs: Sequence[str], due: datetime) -> None:
        """Have each job run once, at ``due``."""

    async def serve(self) -> None:
        """Be a worker until SIGTERM. Prints READY once it is up."""


async def work(job: str) -> None:
    """Run the program as a job of hostagent's would."""
    words = {"JOB": job, "SCOPE": "", "RUN_ID": job, "ATTEMPT": "1", "TOKEN": "1"}
    known = {f"HOSTAGENT_{name}": value for name, value in words.items()}
    child = await asyncio.create_subprocess_exec(os.environ["WORK"], "0", env=os.environ | known)
    if await child.wait():
        raise RuntimeError(f"{job}: exit status {child.returncode}")


class Procrastinate:
    """As its documentation says, but for ``concurrency``: a worker's default is 1."""

    def __init__(self) -> None:
        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector())
        self._task = self._app.task(name="pulse")(work)

    async def set_up(self) -> None:
        async with self._app.open_async():
            await self._app.schema_manager.apply_schema_async()

    async def submit(self, jobs: Sequence[str], due: datetime) -> None:
        async with self._app.open_async():
            tasks: list[dict[str, Any]] = [{"job": job} for job in jobs]
            await self._task.configure(schedule_at=due).batch_defer_async(*tasks)

    async def serve(self) -> None:
        async with self._app.open_async():
            print(READY, flush=True)
            await self._app.run_worker_async(name=os.environ["HOSTNAME"], concurrency=AT_ONCE)


class APScheduler:
    """Each worker schedules and runs jobs (``SchedulerRole.both``), as is its default."""

    async def set_up(self) -> None:
        async with self._scheduler() as scheduler:
            # One task for all schedules; by default, a task has one running job in the cluster.
            await scheduler.configure_task("pulse", func=work, max_running_jobs=None)

    async def submit(self, jobs: Sequence[str], due: datetime) -> None:
        async with self._scheduler() as scheduler:
            for job in jobs:
                await scheduler.add_schedule("pulse", DateTrigger(due), id=job, args=[job])

    async def serve(self) -> None:
        async with self._scheduler() as scheduler:
            await scheduler.start_in_background()
            print(READY, flush=True)
            await scheduler.wait_until_stopped()

    @asynccontextmanager
    async def _scheduler(self) -> AsyncIterator[AsyncScheduler]:
        engine = create_async_engine("postgresql+psycopg://")
        store, broker = SQLAlchemyDataStore(engine), PsycopgEventBroker("")
        name = os.environ["HOSTNAME"]
        async with AsyncScheduler(
            store, broker, identity=name, max_concurrent_jobs=AT_ONCE
        ) as scheduler:
            yield scheduler
        await engine.dispose()


PEERS: dict[str, type[Peer]] = {"procrastinate": Procrastinate, "APScheduler": APScheduler}


async def _act(peer: Peer, what: str, *given: str) -> None:
    if what == "set_up":
        await peer.set_up()
    elif what == "serve":
        await peer.serve()
    else:
        (due,) = given
        await peer.submit(sys.stdin.read().split(), datetime.fromtimestamp(float(due), UTC))


def main() -> None:
    """Arguments: PEER set_up | PEER serve | PEER submit DUE, in seconds since 1970.

    The names of the jobs come on standard input.
    """
    name, *given = sys.argv[1:]
    asyncio.run(_act(PEERS[name](), *given))
