"""What a host's beats ask of the store, by the number of runs that it holds.

Run as root: ``python -m bench.beats [DIRECTORY]``. The agent's own beat runs for some seconds
against a PostgreSQL server, whose pg_stat_statements counts: the session's renewals, and all
statements, with no claim held and with a thousand.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from bench.postgres import DISK, server_on
from hostagent.agent.beats import Beats
from hostagent.agent.cluster import Cluster
from hostagent.agent.daemon import Daemon
from hostagent.agent.offload import Offloaded
from hostagent.host.clock import Clock
from hostagent.model import Kind, Run
from hostagent.store.port import Claimed, Profile, Registration, Store, Want
from hostagent.store.postgres.engine import PostgresStore

TTL = timedelta(seconds=4)
SECONDS = 10
HELD = (0, 1000)
COUNTED = """
SELECT coalesce(sum(calls) FILTER (WHERE query LIKE 'UPDATE session SET beat%'), 0)::int AS beats,
  sum(calls)::int AS all, round(sum(wal_bytes))::bigint AS wal
FROM public.pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'
"""


class Idle:
    """The rest of the agent, which has nothing to do."""

    def __init__(self, cluster: Cluster) -> None:
        self.world = SimpleNamespace(host=cluster.host, clock=Clock(), cluster=cluster, fence=self)

    def holds_leases(self) -> bool:
        return False

    async def move(self, deadline_s: float, *, is_needed: bool) -> None: ...

    async def reconcile(self, held: Iterable[Run]) -> None: ...

    async def refresh(self, *, everything: bool) -> None: ...

    async def look_elsewhere(self) -> None: ...


def main() -> None:
    """Measure and print."""
    disk = Path(sys.argv[1]) if len(sys.argv) > 1 else DISK
    expected = SECONDS / (TTL.total_seconds() / 4)
    with server_on(disk) as server:
        for held in HELD:
            with closing(PostgresStore(server.url())) as store:
                cluster = holding(store, held)
                store.database.read("SELECT public.pg_stat_statements_reset()")
                asyncio.run(beat(store, cluster))
                (found,) = store.database.read(COUNTED)
            print(
                f"{held:>5} runs: {found['beats']} renewals in {expected:.0f} quarters of the TTL, "
                f"{found['all'] / found['beats']:.1f} statements and "
                f"{found['wal'] / found['beats']:.0f} B of WAL each"
            )


def holding(store: PostgresStore, held: int) -> Cluster:
    """A host that holds so many claims."""
    now = datetime.now(UTC)
    at = now - timedelta(minutes=1)
    jobs = [f"job-{n}" for n in range(held)]
    store.register([Registration(job, "h", "{}", ("",)) for job in jobs], [], at)
    session = store.open_session("one", "boot", ttl=TTL)
    wants = [Want(job, "", "h", Kind.SCHEDULED, now, "due", now) for job in jobs]
    assert all(isinstance(answer, Claimed) for answer in store.claim(session, wants))
    return Cluster("one", session, TTL)


async def beat(store: PostgresStore, cluster: Cluster) -> None:
    """Beat for some seconds."""
    offloaded = Offloaded[Store](store, "beats")
    daemon = cast("Daemon", Idle(cluster))
    beats = Beats(daemon, offloaded, TTL, Profile, lambda: cluster.session)
    with suppress(TimeoutError):
        await asyncio.wait_for(beats.run(), SECONDS)
    offloaded.close()


if __name__ == "__main__":
    main()
