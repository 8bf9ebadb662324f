"""What a host's beats ask of the store, by the number of runs that it holds.

Run as root: ``python -m bench.beats [RUNS]`` (200). One host of a cluster (a container machine with
a PID 1 and an agent) and one PostgreSQL server in another, whose pg_stat_statements counts for a
minute: the session's renewals and all statements, while the host holds no run and while it holds
RUNS of them. Printed are the renewals for each quarter of the TTL (1 is what is promised, whatever
the host holds), and statements and WAL for each renewal.
"""

from __future__ import annotations

import sys
import time

from bench.machine import cluster_of
from bench.pulse import MONITOR, count_statements
from tests.machine.cluster import Cluster

TTL_S = 15.0
SECONDS = 60.0

JOB = """
[job.held]
command = "/usr/bin/sleep infinity"
calendar = "2099-01-01"
timeout = "1h"
for_each = {scopes}
"""
COUNTED = """
SELECT coalesce(sum(calls) FILTER (WHERE query LIKE 'UPDATE session SET beat%'), 0),
  coalesce(sum(calls) FILTER (WHERE query !~ '^(BEGIN|COMMIT|ROLLBACK|SET)'), 0),
  coalesce(sum(wal_bytes), 0)
FROM pg_stat_statements WHERE userid = 'hostagent'::regrole
"""


def main() -> None:
    """Measure and print; exit 1 when a host beats more often than promised."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    scopes = [f"s{number:04}" for number in range(runs)]
    with cluster_of(1) as cluster:
        count_statements(cluster)
        cluster.deploy(JOB.format(scopes=scopes))
        quiet = measure(cluster, 0)
        for scope in scopes:
            cluster["host1"].succeed(f"hostagent run held {scope}")
        busy = measure(cluster, runs)
    sys.exit(0 if max(quiet, busy) <= 1.1 else 1)  # a minute has no whole number of quarters


def measure(cluster: Cluster, held: int) -> float:
    """Renewals for each quarter of the TTL, while the host holds so many runs."""
    running = cluster["host1"].succeed("systemctl list-units --legend=no 'hostagent-held*.service'")
    assert len(running.splitlines()) == held, running
    cluster.primary.psql("SELECT pg_stat_statements_reset()", database=MONITOR)
    time.sleep(SECONDS)
    told = cluster.primary.psql(COUNTED, database=MONITOR)
    renewals, statements, wal = map(int, told.split("|"))
    quarters = SECONDS / (TTL_S / 4)
    print(
        f"{held:>5} runs: {renewals} renewals in {quarters:.0f} quarters of the TTL, "
        f"{statements / renewals:.1f} statements and {wal / renewals:.0f} B of WAL for each",
        flush=True,
    )
    return renewals / quarters


if __name__ == "__main__":
    main()
