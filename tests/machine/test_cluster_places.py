"""Where jobs run: hosts, labels, prefer, and a host that is drained."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.machine import agent, history
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots

JOBS = """
[defaults]
command = "/usr/local/bin/work 0.2"
calendar = "*:*:*"
jitter = 0

[job.anywhere]
[job.on-disks]
labels = ["disk=fast"]
[job.on-named]
hosts = ["host[12]", "!host2"]
[job.rather]
prefer = ["host3", "!host1"]

[job.long]
command = "/usr/local/bin/work 3"
calendar = "*:*:0/5"
hosts = ["host3"]

[job.first]
command = "/usr/local/bin/work 0.5"
calendar = "*:*:0/4"
hosts = ["host1"]
[job.second]
calendar = "*:*:0/4"
hosts = ["host2"]
after = ["first"]
"""
HEARD_S = 4.5
"""By then the others have heard of what a host said: a beat, and what it takes to look."""

LABELS = {"host1": "disk=slow", "host2": "disk=fast", "host3": "disk=fast"}


@pytest.fixture(scope="module")
def cluster(roots: Roots) -> Iterator[Cluster]:
    """Three hosts with labels of their own."""
    with Cluster(roots, hosts=3) as made:
        for name, label in LABELS.items():
            path = "/etc/hostagent/agent.toml"
            made[name].write(path, f'labels = ["{label}"]\n' + made[name].read(path))
        made.deploy(JOBS)
        for name in made.hosts:
            made[name].wait_until(
                f"test $(hostagent status --cluster | grep -c ' live ') = {len(made.hosts)}"
            )
        yield made


def hosts_of(cluster: Cluster, job: str, since: float) -> list[str]:
    """Where each run of ``job`` began since then."""
    return [x.host for x in starts(cluster, job) if x.at >= since]


def won_by(cluster: Cluster, job: str, since: float) -> str:
    """The host that most of three occurrences from then on began on: load makes a host late."""
    time.sleep(max(0.0, since - time.time()) + 3)
    ((host, count),) = Counter(hosts_of(cluster, job, since)).most_common(1)
    assert count >= 2
    return host


def starts(cluster: Cluster, job: str) -> list[history.Line]:
    """The starts of ``job`` so far."""
    return [x for x in cluster.history() if (x.what, x.job) == ("start", job)]


def late_s(line: history.Line) -> float:
    """How long after the occurrence a run began."""
    (second,) = [line.run_id.rpartition(".")[2]]
    return line.at - agent.instant(second).timestamp()


def test_jobs_run_where_they_may(cluster: Cluster) -> None:
    """By labels, by names and globs; everybody else leaves them alone."""
    since = time.time() + 1
    time.sleep(5)
    assert set(hosts_of(cluster, "on-disks", since)) <= {"host2", "host3"}
    assert set(hosts_of(cluster, "on-named", since)) == {"host1"}
    for job in ("on-disks", "on-named", "anywhere"):
        assert len(hosts_of(cluster, job, since)) >= 3, job


def test_what_comes_after_a_job_waits_for_its_end_on_another_host(cluster: Cluster) -> None:
    """The second one's host hears of it with its next beat."""
    cluster["host2"].wait_until(f"grep -q '^end second ' {history.PLACE}/host2")
    began = starts(cluster, "second")
    ends = {x.run_id: x for x in cluster.history() if (x.what, x.job) == ("end", "first")}
    for start in began:
        first = ends[start.run_id.replace("second", "first")]
        assert (first.host, start.host) == ("host1", "host2")
        assert first.at < start.at


def test_the_preferred_host_wins_while_it_is_there(cluster: Cluster) -> None:
    """When it is gone the next one goes on; the shunned one is the last to be asked."""
    assert won_by(cluster, "rather", time.time() + 1) == "host3"
    cluster["host3"].succeed("hostagent drain --wait")  # else its session is parked, with its runs
    # The socket, too: an admission that is under way would start the agent again.
    cluster["host3"].succeed("systemctl stop hostagent.socket hostagent.service")
    try:
        assert won_by(cluster, "rather", time.time() + HEARD_S) == "host2"
    finally:
        cluster["host3"].succeed("systemctl start hostagent.socket hostagent.service")
        agent.wait_for_agent(cluster["host3"])


def test_a_paused_host_leaves_its_share_to_others(cluster: Cluster) -> None:
    """It asks for nothing while it is paused, and nothing that they may run is skipped for it."""
    cluster["host3"].succeed("hostagent pause --host --reason 'a new disk'")
    try:
        assert won_by(cluster, "rather", time.time() + 1) == "host2"
        rows = cluster.runs()
        assert {row["outcome"] for row in rows if row["job"] == "rather"} <= {None, "succeeded"}
    finally:
        cluster["host3"].succeed("hostagent resume --host")


def test_a_drained_host_ends_what_runs_and_takes_no_more(cluster: Cluster) -> None:
    """Others start what falls due within a second; nothing is killed; --cancel takes it back."""
    before = len(starts(cluster, "long"))
    cluster["host3"].wait_until(
        f"test $(grep -c '^start long ' {history.PLACE}/host3) -gt {before}"
    )
    kept = cluster["host3"].run("hostagent agent uninstall")  # nothing would stop it then
    assert (kept.returncode, kept.stdout) == (3, "")
    assert "hostagent drain --wait" in kept.stderr
    asked_at = time.time()
    told = cluster["host3"].succeed("hostagent drain --wait")
    drained_at = time.time()
    assert "waiting for long." in told
    assert "nothing of it runs here" in told
    (run_id,) = {x.run_id for x in starts(cluster, "long")[before:]}
    assert "end" in {x.what for x in cluster.history() if x.run_id == run_id}
    time.sleep(4)
    assert {x.host for x in cluster.history() if x.at >= drained_at} == {"host1", "host2"}
    taken = [x for job in ("anywhere", "rather") for x in starts(cluster, job)]
    taken = [x for x in taken if x.at >= asked_at + 1]
    assert len(taken) >= 8
    print(f"{len(taken)} runs began {max(map(late_s, taken)):.2f} s late at most")
    assert max(map(late_s, taken)) < 1
    cluster["host3"].succeed("hostagent drain --cancel")
    assert won_by(cluster, "rather", time.time() + HEARD_S) == "host3"


def test_nothing_was_killed(cluster: Cluster) -> None:
    """All that began has ended as it should."""
    cluster.everywhere(lambda name: cluster[name].succeed(agent.PAUSED))
    cluster["host1"].wait_until("! hostagent runs -n 20 --json | grep -q '\"outcome\": null'")
    rows = [row for row in cluster.runs() if row["attempt"]]
    assert {row["outcome"] for row in rows} == {"succeeded"}
    agent.audit(cluster["host1"])
