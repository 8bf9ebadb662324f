"""A fleet that is upgraded host by host, at work all the while, with a synthetic next version."""

from __future__ import annotations

import time

import hostagent
from hostagent.store.sql.schema import VERSION
from tests.machine import agent, ordeal
from tests.machine.cluster import Cluster
from tests.machine.fixtures import NewCluster

SOURCE = "/opt/hostagent/src/hostagent"
NEXT = "99.0"
ADDS = """
ALTER TABLE session ADD COLUMN rack text NOT NULL DEFAULT 'none';
ALTER TABLE run ADD COLUMN note text;
"""
JOBS = [
    ordeal.Work(f"a{number:02d}", period, period * 0.4)
    for number, period in enumerate([3, 4, 5, 6] * 3)
]


def upgrade(cluster: Cluster, name: str) -> None:
    """The package's work: the next version's files, with one more migration, and a restart."""
    host = cluster[name]
    for file, old, new in (
        ("__init__.py", f'"{hostagent.__version__}"', f'"{NEXT}"'),
        ("store/sql/schema.py", f"VERSION = {VERSION}\n", f"VERSION = {VERSION + 1}\n"),
    ):
        text = host.read(f"{SOURCE}/{file}")
        assert old in text
        host.write(f"{SOURCE}/{file}", text.replace(old, new))
    host.write(f"{SOURCE}/store/sql/migrations/{VERSION + 1:04}_next.sql", ADDS)
    host.succeed("hostagent agent status")  # while the agent is still that of before
    host.succeed("systemctl restart hostagent.service")


def at_work(cluster: Cluster) -> float:
    """Since when all hosts run the jobs."""
    cluster.deploy("".join(job.toml() for job in JOBS))
    time.sleep(5)
    return time.time() - 4


def see(cluster: Cluster, others: str) -> None:
    """Until a host that is not touched tells who has another version."""
    cluster["host3"].wait_until(f"hostagent status --cluster | grep -F '{others}'", 20)


def judge(cluster: Cluster, began: float, since: float) -> None:
    """Each occurrence once; from ``since`` on all hosts took part."""
    report = ordeal.verdict(cluster, JOBS, began)
    assert report.violations == [], str(report)
    lines = cluster.history()
    assert {line.host for line in lines if line.at > since} == set(cluster.hosts)
    ended = {line.run_id for line in lines if line.what == "end"}
    assert {line.run_id for line in lines if line.what == "start"} <= ended
    for name in cluster.hosts:
        assert "Traceback" not in cluster[name].journal("hostagent.service")


def test_a_database_is_migrated_first(new_cluster: NewCluster) -> None:
    """By the first host that is upgraded; those of the version before go on, and run jobs."""
    cluster = new_cluster(3)
    began = at_work(cluster)
    upgrade(cluster, "host1")
    host, remedy = cluster["host1"], "run: hostagent store migrate"
    agent.wait_for_agent(host)
    assert remedy in host.fail("hostagent runs")
    assert remedy in host.journal("hostagent.service")
    said = host.succeed("hostagent store migrate")
    assert f"went from schema {VERSION} to {VERSION + 1}" in said
    see(cluster, f"mixed version: most hosts have {hostagent.__version__}, but not host1 ({NEXT})")
    since = time.time()
    time.sleep(20)
    cluster["host2"].succeed("systemctl restart hostagent.service")  # an older one comes back
    time.sleep(5)
    judge(cluster, began, since)


def test_a_shared_directory_is_migrated_last(new_cluster: NewCluster) -> None:
    """Agents of both versions use it; it is raised once all know the next one."""
    cluster = new_cluster(3, store="dir")
    began = at_work(cluster)
    upgrade(cluster, "host1")
    see(cluster, f"host1 ({NEXT})")
    time.sleep(8)
    old = hostagent.__version__
    said = cluster["host1"].fail("hostagent store migrate")
    assert f"could not go on: host2 ({old}), host3 ({old}); nothing was changed" in said
    for name in ("host2", "host3"):
        upgrade(cluster, name)
    cluster["host1"].wait_until(f"test $(hostagent status --cluster | grep -c ' {NEXT} ') = 3", 20)
    said = cluster["host1"].succeed("hostagent store migrate")
    assert f"went from schema {VERSION} to {VERSION + 1}" in said
    since = time.time()
    time.sleep(10)
    judge(cluster, began, since)
