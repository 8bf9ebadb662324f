"""The cluster kit: its faults are what they say, and all of them can be undone."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.machine import agent, history
from tests.machine.cluster import Cluster
from tests.machine.fixtures import NewCluster, Roots
from tests.machine.guest import MachineError
from tests.machine.test_machine import traces

CONNECT = "timeout {} bash -c 'exec 3<>/dev/tcp/store/5432'"
JOB = "systemd-run --unit=job {} /usr/local/bin/work 1000"
NAMES = ("JOB=a", "SCOPE=", "RUN_ID=a.1", "ATTEMPT=1", "TOKEN=7")


def start_work(cluster: Cluster, name: str) -> None:
    """Start a job that writes its history, as the agent would."""
    names = " ".join(f"--setenv=HOSTAGENT_{name}" for name in NAMES)
    cluster[name].succeed(JOB.format(names))
    cluster[name].wait_until(f"grep -q beat {history.PLACE}/{name}")


def is_connected(cluster: Cluster, name: str, patience_s: float = 0.5) -> bool:
    """Whether a host gets a connection to PostgreSQL; it must not be refused, only hang."""
    status = cluster[name].run(CONNECT.format(patience_s)).returncode
    assert status in {0, 124}, status
    return status == 0


def count(cluster: Cluster) -> int:
    """How many lines the jobs have written."""
    return len(cluster.history())


def test_faults_of_the_network_are_silent_and_are_healed(new_cluster: NewCluster) -> None:
    """A cut wire makes connections hang, for that host alone; a slow one delays; heal undoes it."""
    cluster = new_cluster(2)
    assert is_connected(cluster, "host1")
    cluster.partition("host1")
    assert not is_connected(cluster, "host1")
    assert is_connected(cluster, "host2")
    cluster.heal("host1")
    assert is_connected(cluster, "host1")
    cluster.cut_store("host1")
    assert not is_connected(cluster, "host1")
    refused = cluster["host1"].fail("timeout 1 bash -c 'exec 3<>/dev/tcp/host2/9'")
    assert "refused" in refused, "host1 reaches host2"
    cluster.heal("host1")
    cluster.slow_net("host1", delay_ms=100, jitter_ms=20)
    assert not is_connected(cluster, "host1", 0.15), "a handshake takes two ways"
    assert is_connected(cluster, "host1", 2)
    cluster.partition("host1")
    assert not is_connected(cluster, "host1", 1)
    cluster.heal("host1")
    assert is_connected(cluster, "host1", 0.15)
    cluster.partition("store")
    assert not is_connected(cluster, "host2")
    cluster.heal_all()
    assert is_connected(cluster, "host2")


def test_faults_of_hosts_stop_their_jobs_and_are_undone(new_cluster: NewCluster) -> None:
    """A frozen host writes nothing and goes on after it; a power cut ends everything at once."""
    cluster = new_cluster(2, store="dir")
    start_work(cluster, "host1")
    cluster.pause("host1")
    before = count(cluster)
    time.sleep(0.5)
    assert count(cluster) == before
    cluster.resume("host1")
    cluster["host1"].succeed("sleep 0.3; systemctl is-active job")
    lines = cluster.history()
    assert max(b.at - a.at for a, b in itertools.pairwise(lines)) > 0.5
    ((name, since, until),) = cluster.spans({"pause"}, {"resume"})
    assert name == "host1"
    assert not [line for line in lines if since < line.at < until]
    cluster.pause("host1")
    cluster.kill("host1")
    assert lines[-1].at < since + 2
    left = count(cluster)
    cluster.boot("host1")
    cluster["host1"].fail("systemctl is-active job")
    start_work(cluster, "host1")
    cluster.reboot("host1")
    cluster["host1"].fail("systemctl is-active job")
    assert count(cluster) > left, "the history outlives its host"
    assert {(line.job, line.scope, line.attempt, line.token) for line in cluster.history()} == {
        ("a", "", 1, 7)
    }
    cluster["host1"].succeed(
        "set -e; getent hosts host2; mountpoint -q /mnt/shared; mountpoint -q /history"
    )


def test_hosts_share_a_directory_that_can_be_full(new_cluster: NewCluster) -> None:
    """What one host writes the other sees, hard links too; a full disk is full for both."""
    cluster = new_cluster(2, store="dir")
    cluster["host1"].succeed("cd /mnt/shared && echo one >a && ln a b")
    assert cluster["host2"].succeed("cat /mnt/shared/b") == "one\n"
    cluster.fill_disk()
    assert "No space left" in cluster["host2"].fail("echo two >/mnt/shared/c")
    cluster.free_disk()
    cluster["host2"].succeed("echo two >/mnt/shared/c")


def test_the_store_crashes_fills_up_and_comes_back(new_cluster: NewCluster) -> None:
    """PostgreSQL keeps what it acknowledged through a crash, a power cut and a full disk."""
    cluster = new_cluster(1)
    cluster.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    cluster.restart_store("immediate")
    cluster.kill("store")
    assert not is_connected(cluster, "host1")
    cluster.boot("store")
    cluster.stop_store()
    assert "refused" in cluster["host1"].fail(CONNECT.format(1))
    cluster.start_store()
    cluster.fill_disk()
    with pytest.raises(MachineError, match=r"No space left|server closed|could not"):
        cluster.psql("CREATE TABLE u AS SELECT generate_series(1, 1000000)")
    cluster.free_disk()
    assert cluster.psql("SELECT n FROM t") == "1\n"
    assert [deed.what for deed in cluster.deeds].count("kill") == 1


def test_the_clock_of_the_store_is_stepped_at_once(new_cluster: NewCluster) -> None:
    """PostgreSQL's clock can be ahead or behind; no host's can."""
    cluster = new_cluster(1, store_clock=True)
    for ahead in (3600.0, -3.0, 86400.0, 0.0):
        cluster.step_clock("store", ahead)
        seen = float(cluster.psql("SELECT extract(epoch FROM clock_timestamp())")) - time.time()
        assert abs(seen - ahead) < 1, seen
    with pytest.raises(NotImplementedError):
        cluster.step_clock("host1", 3600)


def test_a_replica_takes_over_with_all_that_was_acknowledged(new_cluster: NewCluster) -> None:
    """The promoted replica has every commit, and the old primary can become its replica."""
    cluster = new_cluster(0, replica=True)
    cluster.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    cluster.fail_over()
    assert cluster.psql("SELECT n FROM t; INSERT INTO t VALUES (2)") == "1\n"
    cluster.heal_all()
    cluster.fail_over()
    assert cluster.psql("SELECT n FROM t") == "1\n2\n"


def test_a_closed_cluster_leaves_nothing_behind(roots: Roots) -> None:
    """Namespaces, wires, mounts and processes end with the cluster, whatever was done to it."""
    with Cluster(roots, 2, store="dir") as cluster:
        cluster.slow_net("host1", 10)
        cluster.pause("host2")
        places = [cluster.network.base.name, *(m._base.name for m in cluster.machines.values())]
        assert traces(places[0])
    assert [trace for name in places for trace in traces(name)] == []


def test_faults_of_the_agent_leave_its_jobs_alone(new_cluster: NewCluster) -> None:
    """A stopped agent answers nobody until it is continued; a killed one is started again."""
    cluster = new_cluster(2, store=None)
    cluster.deploy("[job.a]\ncommand = 'work 60'\ncalendar = '2099-01-01'\n")
    cluster["host1"].succeed("hostagent run a")
    cluster["host1"].wait_until(f"grep -q beat {history.PLACE}/host1")
    cluster.stop_agent("host1")
    cluster["host1"].fail("timeout 0.5 hostagent agent status")
    cluster["host2"].succeed("hostagent agent status")
    before = count(cluster)
    cluster["host1"].wait_until(f"test $(wc -l <{history.PLACE}/host1) -gt {before + 2}")
    cluster.cont_agent("host1")
    cluster["host1"].wait_until("hostagent agent status")
    pid = agent.agent_pid(cluster["host1"])
    cluster.kill_agent("host1")
    cluster["host1"].wait_until("hostagent agent status")
    assert agent.agent_pid(cluster["host1"]) not in {0, pid}
    (start,) = (line for line in cluster.history() if line.what == "start")
    (row,) = cluster.runs()
    assert (start.run_id, start.token, start.attempt) == (row["run_id"], row["token"], 1)
