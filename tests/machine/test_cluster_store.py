"""The store restarts, is away or full, fails over, has a wrong clock: the agents come back alone.

One cluster goes through all of it at work; the last test judges what it did as a whole.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.machine import agent, ordeal
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots
from tests.machine.guest import MachineError
from tests.machine.postgres import Stop

BACK_S = 10.0
"""Within which the agents have returned by themselves."""

TTL_S = 15
AWAY_S = 60 if agent.LONG else 20
BEATS_S = 5.0
"""More than a beat: by then every host knows what the store's clock shows."""

WAKE = "/run/hostagent/up/wake"
"""Where an agent keeps when and why its host last had to settle, for the one after it."""

HOSTS = ("host1", "host2", "host3")
JOBS = [
    *(job for job in ordeal.work(7, random.Random(3)) if job.lasts_s < job.period_s),
    ordeal.Work("long", 10, 15, is_stubborn=True),
    *(ordeal.Work(f"of-{name}", 2, 0.3, hosts=(name,)) for name in HOSTS),
]
"""All kinds, and one of each host, whose claims show when that host is back."""
CLAIMED = "SELECT coalesce(min(claimed_at), 0) FROM run WHERE claimed_at >= {} AND job = 'of-{}'"
CLUSTERS_RUNS = "SELECT job, scheduled_for FROM run WHERE scope NOT LIKE 'host%' ORDER BY 2, 1"
"""Without those that a host claims from itself, by its own clock."""


@pytest.fixture(scope="module")
def at_work(roots: Roots) -> Iterator[tuple[Cluster, float]]:
    """Three hosts at work, and since when. The replica is not waited for until a test says so."""
    with Cluster(roots, hosts=len(HOSTS), replica=True, store_clock=True) as made:
        made.primary.require_replica(required=False)
        made.deploy("".join(job.toml() for job in JOBS))
        began = time.time()
        returned(made, began, within_s=30)
        yield made, began


@pytest.fixture
def cluster(at_work: tuple[Cluster, float]) -> Cluster:
    """The one cluster of this module."""
    return at_work[0]


def returned(cluster: Cluster, since: float, within_s: float = BACK_S) -> None:
    """Wait for the first claim of each host after ``since``; it must come in time."""
    for host in cluster.hosts:
        while True:
            claimed_us = int(cluster.psql(CLAIMED.format(int(since * 1e6), host)))
            if claimed_us:
                break
            assert time.time() < since + within_s + 2, f"{host} has claimed nothing"
            time.sleep(0.2)
        took_s = claimed_us / 1e6 - since
        print(f"{host} claimed {took_s:.1f} s after that")
        assert took_s <= within_s


def starts(cluster: Cluster, since: float) -> list[str]:
    """The cluster's runs that began after ``since``; a host's own need no lease."""
    return [
        x.run_id
        for x in cluster.history()
        if x.what == "start" and x.at >= since and x.scope not in cluster.hosts
    ]


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_restart_is_a_pause(cluster: Cluster, how: Stop) -> None:
    """In order or as after a crash: agents connect anew."""
    cluster.restart_store(how)
    returned(cluster, time.time())


def test_an_outage_is_waited_out(cluster: Cluster) -> None:
    """Leases run out and runs are stopped; when the store is back, so are all hosts.

    That is a wake for each of them, as of then.
    """
    cluster.stop_store()
    time.sleep(AWAY_S)
    lost_at = time.time() - AWAY_S + TTL_S
    assert starts(cluster, lost_at) == [], "a run began without a lease"
    woke_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    cluster.start_store()
    returned(cluster, time.time())
    for host in cluster.hosts:
        at_s, _, why = cluster[host].read(WAKE).strip().partition(" ")
        assert (float(at_s) >= woke_s, why) == (True, "the store was away")


def test_a_full_disk_is_waited_out(cluster: Cluster) -> None:
    """PostgreSQL gives up where it cannot write, and is started again once there is room."""
    cluster.fill_disk()
    try:
        with pytest.raises(MachineError):
            cluster.psql("SELECT pg_logical_emit_message(true, 'a', 'b'), pg_switch_wal();" * 20)
        time.sleep(BEATS_S)
    finally:
        cluster.free_disk()
    returned(cluster, time.time())


@pytest.mark.parametrize("seconds", [3, -3, 3600, -86400, *([-3600, 86400] if agent.LONG else [])])
def test_a_host_whose_clock_differs_claims_nothing_and_says_so(
    cluster: Cluster, seconds: int
) -> None:
    """Over the bound it is barred, ahead or behind, little or much; it returns with the clock."""
    cluster.step_clock(cluster.primary.machine.name, seconds)
    before = cluster.psql(CLUSTERS_RUNS)
    time.sleep(BEATS_S)
    assert cluster.psql(CLUSTERS_RUNS) == before, "claimed by a wrong clock"
    side = "behind" if seconds > 0 else "ahead of"
    for host in cluster.hosts:
        wrong = f"host {host} has a wrong clock: "
        told = cluster[host].wait_until(f"hostagent status | grep '{wrong}' && hostagent status")
        assert f"{side} the store's" in told, told
        assert "no job of the cluster starts here" in told, told
        assert seconds < 60 or " is silent: " not in told, told
    cluster.step_clock(cluster.primary.machine.name, 0)
    returned(cluster, time.time())
    cluster["host1"].wait_until("! hostagent status | grep 'has a wrong clock'", 20)


def test_a_promoted_replica_goes_on_with_all_claims(cluster: Cluster) -> None:
    """Synchronous replication: what was acknowledged is there, and the agents find the primary."""
    cluster.servers[cluster.stores[1]].stop()
    cluster.rejoin()  # it missed what was not kept for it
    time.sleep(BEATS_S)
    cluster.fail_over()
    returned(cluster, time.time())


def test_nothing_was_lost_doubled_or_early(at_work: tuple[Cluster, float]) -> None:
    """Of all that fell due since the first test."""
    cluster, began = at_work
    report = ordeal.verdict(cluster, JOBS, began)
    assert report.violations == [], str(report)
