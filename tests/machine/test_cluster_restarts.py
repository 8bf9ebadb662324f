"""Agents of one host restart again and again under load: runs and claims go on without them."""

from __future__ import annotations

import itertools
import random
import time

from tests.machine import agent, ordeal
from tests.machine.fixtures import NewCluster

RESTARTS = 100 if agent.LONG else 10
PERIODS_S = (3, 4, 5, 6, 10)


def test_restarts_kill_no_run_and_double_none(new_cluster: NewCluster) -> None:
    """Each start has its end, on the host that restarts, too; what was admitted late is done."""
    chance = random.Random(7)
    jobs = [
        ordeal.Work(f"r{number:02d}", period, period * chance.uniform(0.2, 0.7))
        for number, period in zip(range(20), itertools.cycle(PERIODS_S))
    ]
    cluster = new_cluster(3)
    cluster.deploy("".join(job.toml() for job in jobs))
    began, host = time.time(), cluster["host1"]
    for _ in range(RESTARTS):
        time.sleep(chance.uniform(0.2, 1.5))
        host.succeed("systemctl restart hostagent.service")
    report = ordeal.verdict(cluster, jobs, began)
    assert report.violations == [], str(report)
    assert set(report.outcomes) <= {"succeeded", "skipped"}, str(report)
    lines = cluster.history()
    killed = {line.run_id for line in lines if line.what == "start"} - {
        line.run_id for line in lines if line.what == "end"
    }
    assert not killed
    assert {line.host for line in lines} == set(cluster.hosts)
    journal = host.succeed("journalctl --unit=hostagent.service --output=cat")
    assert "Traceback" not in journal
