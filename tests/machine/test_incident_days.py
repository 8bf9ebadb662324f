"""Three bad days of operators, once more, in a cluster: each is told of while there is time.

A job that stayed silent for days; a run that stood still beside one that was only slow, and looked
alike; a run that grew until it met the next one. Days are seconds here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.machine import agent
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots
from tests.machine.test_alarms import (
    CREEP,
    CREEPING,
    NOTIFY,
    SCRIPT,
    TELL,
    told,
    wait_for,
)

pytestmark = pytest.mark.skipif(not agent.LONG, reason="two minutes: HOSTAGENT_LONG=1")

PERIOD_S, GRACE_S = 10, 15
HUNG_AFTER_S = 10
NOTICED_S = 15
"""What a host that is gone costs, and to look: a lease's TTL."""

DAYS = f"""{NOTIFY}
[job.report]
command = "/usr/bin/true"
calendar = "*:*:0/{PERIOD_S}"
hosts = ["host3"]
jitter = 0
grace = "{GRACE_S}s"
on_failure = "ops"

[job.still]
command = "/usr/bin/sleep 600"
calendar = "2099-01-01"
timeout = "10min"
on_failure = "ops"

[job.slow]
command = "/bin/sh -c 'while :; do head -c 5M /dev/zero | md5sum >/dev/null; sleep 0.2; done'"
calendar = "2099-01-01"
timeout = "10min"
on_failure = "ops"
"""


@pytest.fixture
def cluster(roots: Roots) -> Iterator[Cluster]:
    """Three hosts that tell."""
    settings = f"hung_after = {HUNG_AFTER_S}\n"
    with Cluster(roots, hosts=3, store="dir", settings=settings) as made:
        for name in made.hosts:
            made[name].write(TELL, SCRIPT, 0o755)
            made[name].write("/usr/local/bin/creep", CREEP, 0o755)
        yield made


def messages(cluster: Cluster, job: str, but: str = "") -> list[dict[str, Any]]:
    """What anybody was told of a job, ``but`` by the host that is gone."""
    return [one for name in cluster.hosts if name != but for one in told(cluster[name], job)]


def test_a_silent_job_is_named_by_its_peers(cluster: Cluster) -> None:
    """Its only host is gone, and with it the scheduler: the others miss its success, one tells."""
    cluster.deploy(DAYS)
    one = cluster["host1"]
    agent.wait_for_runs(one, "report", agent.ended(2, "succeeded"))
    cluster.kill("host3")
    began = time.monotonic()
    wait_for(lambda: messages(cluster, "report", "host3"), PERIOD_S + GRACE_S + NOTICED_S)
    print(f"told {time.monotonic() - began:.1f} s after its host was gone")
    (message,) = messages(cluster, "report", "host3")
    assert message["alarm"] == "silent"
    assert "no success since" in message["reason"]
    assert "report is silent: " in one.succeed("hostagent status")
    assert "report is silent: " in cluster["host2"].succeed("hostagent status")
    time.sleep(PERIOD_S + GRACE_S)
    assert len(messages(cluster, "report", "host3")) == 1


def test_a_hung_run_is_told_from_a_slow_one(cluster: Cluster) -> None:
    """Both go on for long; who stands still is told of, and who works is not."""
    cluster.deploy(DAYS)
    one = cluster["host1"]
    one.succeed("hostagent run still && hostagent run slow")
    wait_for(lambda: messages(cluster, "still"), HUNG_AFTER_S * 3)
    (message,) = messages(cluster, "still")
    assert message["alarm"] == "hung"
    assert "has used no CPU time" in message["reason"]
    shown = one.succeed("hostagent status")
    assert "still may hang: " in shown
    assert "slow may hang" not in shown
    assert "hung?" in one.succeed("hostagent why still")
    time.sleep(HUNG_AFTER_S)
    assert len(messages(cluster, "still")) == 1
    assert messages(cluster, "slow") == []
    assert {row["outcome"] for row in agent.runs(one, "still")} == {None}  # nobody stopped it


def test_a_creeping_run_is_told_before_it_overlaps(cluster: Cluster) -> None:
    """Wherever its runs were: the cluster's own history says how they grew."""
    cluster.deploy(NOTIFY + CREEPING)
    one = cluster["host1"]
    wait_for(lambda: messages(cluster, "creeping"), 60)
    rows = agent.runs(one, "creeping")

    assert {row["outcome"] for row in rows} <= {"succeeded", None}
    (message,) = messages(cluster, "creeping")
    assert message["alarm"] == "near_interval"
    assert "creeping comes near its interval" in cluster["host2"].succeed("hostagent status")
