"""What a person orders on one host of a cluster, as the others see it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.machine import agent, history
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots

JOBS = """
[defaults]
jitter = 0
[job.tick]
command = "/usr/local/bin/work 0"
calendar = "*:*:*"
[job.long]
command = "/usr/local/bin/work 300"
calendar = "2099-01-01"
retries = 3
backoff = ["1s"]
"""


@pytest.fixture(scope="module")
def cluster(roots: Roots) -> Iterator[Cluster]:
    """Two hosts that share a directory."""
    with Cluster(roots, hosts=2, store="dir") as made:
        made.deploy(JOBS)
        for name in made.hosts:
            made[name].wait_until("test $(hostagent status --cluster | grep -c ' live ') = 2")
        yield made


def begun(cluster: Cluster, job: str) -> list[history.Line]:
    """The starts of ``job`` so far, on all hosts."""
    return [line for line in cluster.history() if (line.what, line.job) == ("start", job)]


def test_a_run_is_stopped_where_it_goes_on_and_tried_again_anywhere(cluster: Cluster) -> None:
    """The other host says where to type it; the next attempt runs on the host that asks for it."""
    one, two = cluster["host1"], cluster["host2"]
    run_id = json.loads(two.succeed("hostagent run long --json"))["run_id"]
    one.wait_until(f"grep -q {run_id} {history.PLACE}/host2")
    assert f"runs on host2; type there: hostagent stop {run_id}" in one.fail(
        f"hostagent stop {run_id}"
    )
    assert "on host2; stop it first" in one.fail(f"hostagent retry {run_id}")
    assert f"{run_id} abandoned" in two.succeed(f"hostagent stop {run_id} --reason enough")
    assert f"{run_id} started, attempt 2" in one.succeed(f"hostagent retry {run_id}")
    one.wait_until(f"grep -q {run_id} {history.PLACE}/host1")
    one.succeed("hostagent stop long --reason enough")
    rows = [row for row in cluster.runs() if row["job"] == "long"]
    assert [(row["host"], row["attempt"], row["outcome"]) for row in rows] == [
        ("host2", 1, "abandoned"),
        ("host1", 2, "abandoned"),
    ]
    assert [line.host for line in begun(cluster, "long")] == ["host2", "host1"]
    seen = json.loads(two.succeed("hostagent audit-log long --json"))
    assert [(event["action"], event["host"]) for event in seen] == [
        ("retry", "host1"),
        ("stop", "host2"),
        ("run", "host2"),
    ]


def test_a_pause_of_everything_holds_on_all_hosts(cluster: Cluster) -> None:
    """Ordered on one, seen and lifted on the other; each occurrence is skipped, once."""
    one, two = cluster["host1"], cluster["host2"]
    one.succeed("hostagent pause --all --reason 'a fire'")
    two.wait_until("hostagent status | grep -q 'paused   cluster by uid 0: a fire'")
    before = len(begun(cluster, "tick"))
    rows = agent.wait_for_runs(one, "tick", agent.ended(4, "skipped"))
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    assert {row["reason"] for row in skipped} == {"paused: cluster by uid 0: a fire"}
    assert len(begun(cluster, "tick")) == before
    told = json.loads(two.succeed("hostagent audit-log --since 1min --json"))
    assert ("pause", "cluster", "host1") in [(e["action"], e["target"], e["host"]) for e in told]
    two.succeed("hostagent resume --all")
    one.wait_until("! hostagent status | grep -q paused")
    agent.wait_for_runs(one, "tick", lambda rows: rows[-1]["outcome"] == "succeeded")
    cluster.everywhere(lambda name: cluster[name].succeed(agent.PAUSED))
    agent.audit(one)
