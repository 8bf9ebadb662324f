"""What a job's limits do on a kernel that has them, and what the ledger then says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vm import VM, Parts

from tests.machine import agent

Rows = dict[str, dict[str, Any]]

FORKS = """
import os, sys
for count in range(20):
    try:
        if os.fork() == 0:
            os.execv("/bin/sleep", ["sleep", "2"])
    except BlockingIOError:
        sys.exit(count)
"""

SPIN = "end=$((SECONDS + 6)); while [ $SECONDS -lt $end ]; do :; done"
BEAT = "for i in 1 2 3 4; do sleep 1; systemd-notify WATCHDOG=1; done; sleep 1"

JOBS = f"""
[defaults]
calendar = "2099-01-01"
timeout = "1min"

[job.hungry]
command = ["/usr/bin/python3", "-c", "b'x' * (200 << 20)"]
memory_max = "64M"

[job.hungry-child]
command = ["/bin/sh", "-c", "/usr/bin/python3 -c \\"b'x' * (200 << 20)\\"; sleep 1"]
memory_max = "64M"

[job.modest]
command = ["/usr/bin/python3", "-c", "b'x' * (40 << 20)"]
memory_max = "128M"

[job.slow]
command = ["/bin/bash", "-c", "{SPIN}"]
cpu_quota = "20%"

[job.free]
command = ["/bin/bash", "-c", "{SPIN}"]

[job.forks]
command = ["/usr/bin/python3", "-c", {json.dumps(FORKS)}]
tasks_max = 5

[job.late]
command = ["/bin/bash", "-c", "trap : TERM; while :; do sleep 0.1; done"]
timeout = "3s"
stop_timeout = "1s"

[job.silent]
command = "/bin/sleep 50"
heartbeat = "2s"

[job.beating]
command = ["/bin/bash", "-c", "{BEAT}"]
heartbeat = "3s"
"""


@pytest.fixture(scope="module")
def rows(parts: Parts, frozen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rows]:
    """The ledger's rows of all these jobs, each run once in one VM; those that spin go last."""
    with VM("limits", tmp_path_factory.mktemp("limits"), *parts, frozen=frozen) as machine:
        machine.thaw()
        agent.apply(machine, JOBS)
        names = [line[5:-1] for line in JOBS.splitlines() if line.startswith("[job.")]
        spinning = {"slow", "free"}
        for group in (sorted({*names} - spinning), sorted(spinning)):
            units = " ".join(f"hostagent-{name}.service" for name in group)
            machine.run(f"systemctl start {units}", timeout=120)  # fails when a job fails
        found = agent.wait_for_runs(machine, "", agent.ended(len(names)), timeout=60)
        agent.audit(machine)
        machine.prove()
        yield {row["job"]: row for row in found}


@pytest.mark.parametrize("job", ["hungry", "hungry-child"])
def test_a_job_beyond_memory_max_is_killed_and_the_ledger_says_so(rows: Rows, job: str) -> None:
    """The OOM killer's end of a job, or of a child of it, is a failure with that reason."""
    row = rows[job]
    assert (row["outcome"], row["result"]) == ("failed", "oom-kill"), row
    assert row["reason"].startswith("was killed because memory ran out")


def test_a_job_within_memory_max_succeeds(rows: Rows) -> None:
    """The limit is not felt below it."""
    assert rows["modest"]["outcome"] == "succeeded", rows["modest"]


def test_cpu_quota_holds(rows: Rows) -> None:
    """A job gets no more of a core than its quota; one without takes what there is."""

    def share(row: dict[str, Any]) -> float:
        lasted = agent.instant(row["ended_at"]) - agent.instant(row["started_at"])
        return float(row["cpu_s"] / lasted.total_seconds())

    assert rows["slow"]["outcome"] == "succeeded"
    assert 0.1 < share(rows["slow"]) < 0.25
    assert share(rows["free"]) > 0.5


def test_tasks_max_holds(rows: Rows) -> None:
    """With tasks_max = 5 a job forks four times; the fifth is refused."""
    assert (rows["forks"]["outcome"], rows["forks"]["exit_code"]) == ("failed", 4)


def test_a_job_beyond_its_timeout_is_stopped(rows: Rows) -> None:
    """TERM at the timeout, KILL after stop_timeout, and the ledger names the timeout."""
    row = rows["late"]
    assert (row["outcome"], row["result"]) == ("failed", "timeout"), row
    assert row["reason"].startswith("ran into its timeout")
    lasted = agent.instant(row["ended_at"]) - agent.instant(row["started_at"])
    assert 3.9 < lasted.total_seconds() < 8


def test_a_missing_heartbeat_ends_a_job_and_a_beating_one_goes_on(rows: Rows) -> None:
    """Silence longer than ``heartbeat`` is a hang; a job that beats may take longer than that."""
    silent, beating = rows["silent"], rows["beating"]
    assert (silent["outcome"], silent["result"]) == ("failed", "watchdog"), silent
    assert silent["reason"].startswith("sent no heartbeat in time")
    assert beating["outcome"] == "succeeded", beating["reason"]


def test_the_ledger_has_what_each_run_used(rows: Rows) -> None:
    """CPU seconds are there for every run; systemd 252 knows no memory peak."""
    assert all(row["cpu_s"] > 0 for row in rows.values())
    assert rows["free"]["cpu_s"] > 1
    assert {row["memory_peak"] for row in rows.values()} == {None}
