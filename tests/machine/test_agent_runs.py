"""One run from end to end: what the job sees, and what ledger, journal and ``why`` say of it."""

from __future__ import annotations

import json
import time

from tests.machine import agent
from tests.machine.machine import Machine

TICK = """
[job.tick]
command = "/bin/sh -c 'env >/root/env; echo hello from $HOSTAGENT_RUN_ID'"
calendar = "*:*:0/2"
jitter = 0

[job.bad]
command = "/bin/sh -c 'echo oh no >&2; exit 3'"
calendar = "2099-01-01"

[job.killed]
command = "/bin/sh -c 'kill -USR1 $$'"
calendar = "2099-01-01"

[job.slow]
command = "/usr/bin/sleep 60"
calendar = "2099-01-01"
timeout = "1s"

[job.absent]
command = "/nonexistent/program"
calendar = "2099-01-01"

[job.nobody]
command = "/bin/true"
calendar = "2099-01-01"
working_directory = "/nonexistent"
"""


def test_a_scheduled_run_from_end_to_end(machine: Machine) -> None:
    """The job's environment, the ledger's row, the journal's fields and ``why`` agree."""
    agent.with_agent(machine, TICK)
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    machine.succeed("hostagent pause tick --reason 'seen enough'")
    row = agent.runs(machine, "tick")[-1]
    seen = dict(line.partition("=")[::2] for line in machine.read("/root/env").splitlines())
    while row["outcome"] != "succeeded":
        row = [r for r in agent.runs(machine, "tick") if r["outcome"] != "skipped"][-1]
    assert {name: seen[name] for name in seen if name.startswith("HOSTAGENT_")} == {
        "HOSTAGENT_JOB": "tick",
        "HOSTAGENT_SCOPE": "",
        "HOSTAGENT_RUN_ID": row["run_id"],
        "HOSTAGENT_KIND": "scheduled",
        "HOSTAGENT_SCHEDULED_FOR": row["scheduled_for"],
        "HOSTAGENT_ATTEMPT": "1",
        "HOSTAGENT_TOKEN": str(row["token"]),
        "HOSTAGENT_HOST": row["host"],
        "HOSTAGENT_MISSED_FROM": "",
        "HOSTAGENT_MISSED_TO": "",
        "HOSTAGENT_MISSED_COUNT": "0",
        "HOSTAGENT_SOCKET": "/run/hostagent/io.hostagent.Agent",
        "HOSTAGENT_REPORT": "/run/hostagent/reports/hostagent-tick/report.json",
    }
    assert seen["INVOCATION_ID"] == row["invocation_id"]
    assert (row["exit_code"], row["signal"], row["result"]) == (0, None, "success")
    assert row["cpu_s"] > 0
    due, started, ended = (
        agent.instant(row[k]) for k in ("scheduled_for", "started_at", "ended_at")
    )
    assert due <= started < ended
    assert (started - due).total_seconds() < 1
    assert machine.succeed("hostname").strip() == row["host"]

    assert f"hello from {row['run_id']}" in machine.succeed(f"hostagent logs {row['run_id']}")
    why = machine.succeed(f"hostagent why {row['run_id']}")
    assert "succeeded" in why
    assert "admitted" in why
    (record,) = (
        json.loads(line)
        for line in machine.succeed(
            f"journalctl --sync; journalctl -o json HOSTAGENT_RUN_ID={row['run_id']}"
        ).splitlines()
    )
    assert record["HOSTAGENT_JOB"] == "tick"
    assert record["HOSTAGENT_OUTCOME"] == "succeeded"
    assert record["HOSTAGENT_TOKEN"] == str(row["token"])
    assert record["OBJECT_SYSTEMD_UNIT"] == "hostagent-tick.service"
    assert record["OBJECT_SYSTEMD_INVOCATION_ID"] == row["invocation_id"]
    assert "Documentation" in machine.succeed(f"journalctl -x HOSTAGENT_RUN_ID={row['run_id']}")
    found = agent.audit(machine)
    assert found["due"] == found["settled"] + found["open"]


def test_each_way_to_fail_is_told(machine: Machine) -> None:
    """Exit status, signal, timeout, no such program, no such directory: each with its own words."""
    agent.with_agent(machine, TICK)
    expected = {
        "bad": ("exit-code", 3, None, "exited with status 3"),
        "killed": ("signal", None, "USR1", "killed by signal USR1"),
        "slow": ("timeout", None, "TERM", "timeout"),
        "absent": ("exit-code", 203, None, "203"),
    }
    for job, (result, code, signal, words) in expected.items():
        assert "failed" in machine.fail(f"hostagent run {job} --wait", timeout=30)
        (row,) = agent.runs(machine, job)
        assert (row["outcome"], row["result"]) == ("failed", result)
        assert (row["exit_code"], row["signal"]) == (code, signal)
        assert words in row["reason"]
    assert "failed" in machine.fail("hostagent run nobody --wait", timeout=30)
    (row,) = agent.runs(machine, "nobody")
    assert row["outcome"] == "failed"


def test_a_manual_run_eats_no_occurrence(machine: Machine) -> None:
    """systemctl start and hostagent run are runs of their own; the occurrences still all run."""
    agent.with_agent(machine, TICK)
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    for _ in range(3):
        machine.succeed("sleep 0.8; systemctl start hostagent-tick")
        machine.succeed("hostagent run tick --wait")
    time.sleep(2)
    rows = agent.runs(machine, "tick")
    manual = [row for row in rows if row["kind"] == "manual"]
    # A person's start that meets the timer's is merged with it by PID 1: no run of its own.
    assert 4 <= len(manual) <= 6
    assert {row["outcome"] for row in manual} == {"succeeded"}
    assert "started by hand" in machine.succeed(f"hostagent why {manual[0]['run_id']}")
    scheduled = [row for row in rows if row["kind"] == "scheduled" and row["outcome"]]
    assert all(row["attempt"] == 1 or "overlap" in row["reason"] for row in scheduled)
    agent.audit(machine)


def test_as_of_gives_a_manual_run_the_time_that_is_meant(machine: Machine) -> None:
    """``--as-of`` is what the job sees as its time; asked twice, it runs twice."""
    agent.with_agent(machine, TICK)
    for _ in range(2):
        machine.fail("hostagent run bad --wait --as-of 2026-01-02T03:04:05+01:00")
    rows = agent.runs(machine, "bad")
    assert [row["scheduled_for"] for row in rows] == [
        "2026-01-02T02:04:05Z",
        "2026-01-02T02:04:05.000001Z",
    ]
