"""Jobs that run on each host need no other host: they go on, and are recorded, without the store.

PostgreSQL is taken away by cutting the wires, so that calls hang. The shared directory is taken
away by moving its log: an agent, in whose mount namespace the directory itself stays, finds no
store in it then.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine import agent
from tests.machine.cluster import SHARED, Cluster
from tests.machine.fixtures import Roots

EVERY_S = 2
OUTAGE_S = 30
BACK_S = 10
"""Within which a host takes part in the cluster once the store is back."""

JOBS = f"""
[job.mine]
command = "/usr/local/bin/work 0.2"
every = "{EVERY_S}s"
run_on = "each"
jitter = 0

[job.ours]
command = "/usr/local/bin/work 0.2"
every = "{EVERY_S}s"
jitter = 0
timeout = "30s"
"""


@pytest.fixture(scope="module", params=["postgres", "dir"])
def at_work(roots: Roots, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two hosts that share a store."""
    with Cluster(roots, hosts=2, store=request.param) as made:
        made.deploy(JOBS)
        wait_for(lambda: len(starts(made, "mine")) > 3 and starts(made, "ours"), 20)
        yield made


@pytest.fixture
def cluster(at_work: Cluster) -> Iterator[Cluster]:
    """They have their store again after each test, however it ends."""
    yield at_work
    bring_back(at_work)


def wait_for(what: Any, within_s: float) -> None:
    """Until ``what()`` is true."""
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "not within its time"
        time.sleep(0.2)


def starts(cluster: Cluster, job: str, since: float = 0, host: str | None = None) -> list[float]:
    """When a job started."""
    return [
        line.at
        for line in cluster.history()
        if line.what == "start" and line.job == job and line.at > since
        if host in {None, line.host}
    ]


def take_away(cluster: Cluster) -> None:
    """From now on no host finds the store."""
    if cluster.store == "postgres":
        cluster.partition("store")
        return
    cluster.network.run("mv shared/hostagent/log shared/hostagent/log.away")


def bring_back(cluster: Cluster) -> float:
    """As it was; when that was."""
    if cluster.store == "postgres":
        cluster.heal("store")
    else:
        where = "shared/hostagent/log"
        cluster.network.run(f"test ! -e {where}.away || mv {where}.away {where}")
    return time.time()


def rows(cluster: Cluster, asked: str, job: str, of: str) -> list[dict[str, Any]]:
    """The ended rows of ``job`` on host ``of``, as host ``asked`` shows them, oldest first."""
    found = [row for row in agent.runs(cluster[asked], job) if row["host"] == of]
    return [row for row in found if row["outcome"] is not None]


def is_reached(cluster: Cluster, host: str) -> bool:
    """What the agent says."""
    return bool(agent.status(cluster[host])["store_reached"])


def test_own_jobs_go_on_without_the_store(cluster: Cluster) -> None:
    """Through an outage, and a start of the agent in it, without a gap; all is recorded after."""
    take_away(cluster)
    gone_at = time.time()
    wait_for(lambda: not is_reached(cluster, "host1"), 10)
    cluster["host1"].succeed("hostagent status | grep -q 'store is not reached'")
    cluster["host1"].succeed("systemctl show -P StatusText hostagent | grep -q 'not reached'")
    cluster["host1"].succeed("systemctl start hostagent-ours")
    shown = cluster["host1"].succeed("journalctl -b -u hostagent-ours -o cat")
    assert "the store is not reached: waiting" in shown
    cluster["host1"].fail("systemctl is-failed hostagent-ours")
    cluster["host1"].succeed("hostagent pause mine --reason outage")
    assert "outage" in cluster["host1"].succeed("hostagent why mine")
    cluster["host1"].succeed("hostagent resume mine")
    paused_until = time.time()
    cluster.restart_agent("host1")  # it is ready: systemctl has waited for that
    time.sleep(max(0.0, gone_at + OUTAGE_S - time.time()))
    assert agent.audit(cluster["host1"])["settled"] > 0
    back_at = bring_back(cluster)

    wait_for(lambda: starts(cluster, "ours", back_at), BACK_S)
    waited = [at for at in starts(cluster, "ours", gone_at + EVERY_S) if at < back_at]
    assert waited == [], "jobs of the cluster wait"
    for host, since in (("host1", paused_until), ("host2", gone_at)):
        gaps = [b - a for a, b in itertools.pairwise(starts(cluster, "mine", since, host))]
        assert max(gaps) < 2 * EVERY_S, f"{host}: {gaps}"
    wait_for(lambda: is_reached(cluster, "host1") and is_reached(cluster, "host2"), BACK_S)

    for host, other in (("host1", "host2"), ("host2", "host1")):
        own = rows(cluster, host, "mine", host)
        assert len(own) > OUTAGE_S / EVERY_S
        wait_for(lambda: rows(cluster, other, "mine", host)[: len(own)] == own, BACK_S)  # noqa: B023
        ids = [row["run_id"] for row in agent.runs(cluster[host], "mine")]
        assert len(ids) == len(set(ids)), "no row is shown twice"
    for host in cluster.hosts:
        found = agent.audit(cluster[host])
        assert found["settled"] > 0


def test_an_agent_starts_without_the_store(cluster: Cluster) -> None:
    """The host boots while the store is away: its own jobs run, and it takes part later."""
    take_away(cluster)
    cluster.reboot("host1")
    agent.wait_for_agent(cluster["host1"])
    booted_at = time.time()
    wait_for(lambda: len(starts(cluster, "mine", booted_at, "host1")) > 2, 15)
    assert not is_reached(cluster, "host1")
    restarts = cluster["host1"].succeed("systemctl show -P NRestarts hostagent")
    assert restarts.strip() == "0"
    back_at = bring_back(cluster)
    wait_for(lambda: is_reached(cluster, "host1"), BACK_S)
    wait_for(lambda: starts(cluster, "ours", back_at), BACK_S)
    members = json.loads(cluster["host1"].succeed("hostagent status --cluster --json"))
    assert {m["host"] for m in members} == {"host1", "host2"}
    for host in cluster.hosts:
        agent.audit(cluster[host])


def test_apply_says_that_the_store_is_away(cluster: Cluster) -> None:
    """It changes nothing then, and the next one does all of it."""
    if cluster.store == "postgres":
        cluster.partition("store")
    else:
        cluster.network.run("mv shared/hostagent shared/away")
    more = JOBS + JOBS.replace("mine", "more").replace("ours", "theirs")
    cluster["host1"].write("/etc/hostagent/jobs.toml", more)
    refused = cluster["host1"].run("hostagent apply")
    assert refused.returncode == 3
    assert ("store" if cluster.store == "postgres" else f"{SHARED}/hostagent") in refused.stderr
    if cluster.store == "postgres":
        cluster.heal("store")
    else:
        cluster.network.run("mv shared/away shared/hostagent")
    applied_at = time.time()
    cluster["host1"].succeed("hostagent apply")
    wait_for(lambda: starts(cluster, "more", applied_at), 10)  # in force on this host
    wait_for(lambda: starts(cluster, "theirs", applied_at), 10)
