"""What a person does about a run: stop it, try it again, and see who did what."""

from __future__ import annotations

import json
from typing import Any

from tests.machine import agent
from tests.machine.machine import Machine

NEVER = "2099-01-01"
LONG = f"""
[job.long]
command = "/usr/local/bin/work 300"
calendar = "{NEVER}"
retries = 3
backoff = ["1s"]
quarantine_after = 1
"""
STUBBORN = f"""
[job.stubborn]
command = "/usr/local/bin/stubborn"
calendar = "{NEVER}"
stop_timeout = "8s"
retries = 3
backoff = ["1s"]
quarantine_after = 1
"""
_STUBBORN = """#!/bin/bash
trap 'touch /root/asked' TERM
touch /root/up
while :; do sleep 0.2; done
"""
MENDED = f"""
[job.mended]
command = "/bin/sh -c 'env >/root/env-$HOSTAGENT_ATTEMPT; test -e /root/mended'"
calendar = "{NEVER}"
"""


def log(machine: Machine, job: str = "") -> list[dict[str, Any]]:
    """The audit log, newest first."""
    events: list[dict[str, Any]] = json.loads(machine.succeed(f"hostagent audit-log {job} --json"))
    return events


def started(machine: Machine, job: str) -> str:
    """The id of a manual run that executes its command."""
    run_id: str = json.loads(machine.succeed(f"hostagent run {job} --json"))["run_id"]
    machine.wait_until(f"grep -q {run_id} {agent.HISTORY} || test -e /root/up")
    return run_id


def test_a_run_that_a_person_stops_has_not_failed(machine: Machine) -> None:
    """It is abandoned with who and why; not tried again, no crash, and in the audit log."""
    agent.with_agent(machine, LONG)
    run_id = started(machine, "long")
    told = machine.succeed(f"hostagent stop {run_id} --reason 'it hangs'")
    assert f"{run_id} abandoned" in told
    (row,) = agent.runs(machine, "long")
    assert (row["outcome"], row["reason"]) == ("abandoned", "stopped by uid 0: it hangs")
    machine.wait_until("systemctl show -P ActiveState hostagent-long.service | grep -x inactive")
    assert "hostagent" not in machine.succeed("systemctl --failed --plain --no-legend")
    assert json.loads(machine.succeed("hostagent quarantine list --json")) == []
    stop, run = log(machine, "long")
    assert (stop["action"], stop["target"], stop["uid"]) == ("stop", f"run {run_id}", 0)
    assert stop["detail"] == "it hangs"
    assert (run["action"], run["target"], run["detail"]) == ("run", "job long", run_id)
    assert "it hangs" in machine.succeed("hostagent audit-log --since 1h")


def test_a_stop_outlives_the_agent(machine: Machine) -> None:
    """The job takes its time to end, the agent is killed meanwhile: no failure, no crash."""
    machine.write("/usr/local/bin/stubborn", _STUBBORN, 0o755)
    agent.with_agent(machine, STUBBORN)
    started(machine, "stubborn")
    machine.succeed("hostagent stop stubborn --reason enough >/root/stop.log 2>&1 &")
    machine.wait_until("test -e /root/asked")
    agent.kill_agent(machine)
    (row,) = agent.wait_for_runs(machine, "stubborn", agent.ended(1), timeout=40)
    assert (row["outcome"], row["reason"]) == ("abandoned", "stopped by uid 0: enough")
    assert json.loads(machine.succeed("hostagent quarantine list --json")) == []


def test_what_cannot_be_stopped_says_why(machine: Machine) -> None:
    """No run, one that has ended, and a caller who may not: each its sentence, and exit 3."""
    agent.with_agent(machine, LONG + MENDED)
    assert "no run of long goes on here" in machine.fail("hostagent stop long")
    assert "there is no run nothing" in machine.fail("hostagent stop nothing")
    machine.fail("hostagent run mended --wait")
    run_id = agent.runs(machine, "mended")[0]["run_id"]
    assert "has ended already (failed)" in machine.fail(f"hostagent stop {run_id}")
    assert f"hint: its last failed run: hostagent retry {run_id}" in machine.fail(
        "hostagent retry mended"
    )
    for command in ("run", "pause", "logs", "quarantine reinstate", "retry"):
        unknown = machine.run(f"hostagent {command} lnog")
        assert (unknown.returncode, unknown.stderr.splitlines()) == (
            2,
            ['hostagent: there is no job "lnog"', '  hint: did you mean "long"?'],
        )
    run_id = started(machine, "long")
    said = machine.fail(f"runuser -u nobody -- hostagent stop {run_id}")
    assert "may not change anything here" in said
    assert agent.runs(machine, "long")[0]["outcome"] is None
    assert [one["action"] for one in log(machine)] == ["run", "run", "apply"]


def test_a_failed_run_is_tried_again_by_hand(machine: Machine) -> None:
    """The same run, its next attempt, and the job is told so; then it has succeeded for good."""
    agent.with_agent(machine, MENDED)
    machine.fail("hostagent run mended --wait")
    run_id = agent.runs(machine, "mended")[0]["run_id"]
    assert f"{run_id} failed" in machine.fail(f"hostagent retry {run_id} --wait")
    machine.succeed("touch /root/mended")
    assert f"{run_id} succeeded" in machine.succeed(f"hostagent retry {run_id} --wait")
    rows = agent.runs(machine, "mended")
    assert {row["run_id"] for row in rows} == {run_id}
    assert [(row["attempt"], row["outcome"]) for row in rows] == [
        (1, "failed"),
        (2, "failed"),
        (3, "succeeded"),
    ]
    assert "attempt 3, asked for by uid 0, after: exited with status 1" in rows[2]["admission"]
    env = machine.read("/root/env-3")
    assert f"HOSTAGENT_RUN_ID={run_id}" in env
    assert f"HOSTAGENT_TOKEN={rows[2]['token']}" in env
    said = machine.fail(f"hostagent retry {run_id}")
    assert "has succeeded; to do its work once more: hostagent run mended --as-of" in said
    assert [one["action"] for one in log(machine, "mended")] == ["retry", "retry", "run"]
    agent.audit(machine)


def test_a_stopped_run_is_tried_again_but_not_beside_another(machine: Machine) -> None:
    """While a run of its job goes on, the refusal says which, and how to stop it."""
    agent.with_agent(machine, LONG)
    first = started(machine, "long")
    assert "stop it first" in machine.fail(f"hostagent retry {first}")
    machine.succeed(f"hostagent stop {first}")
    second = started(machine, "long")
    assert f"hostagent stop {second}" in machine.fail(f"hostagent retry {first}")
    machine.succeed(f"hostagent stop {second} && hostagent retry {first}")
    agent.wait_for_runs(
        machine, "long", lambda rows: [row["attempt"] for row in rows if not row["outcome"]] == [2]
    )
    machine.succeed("hostagent stop long")


def test_everything_and_a_lane_are_paused(machine: Machine) -> None:
    """What falls due is skipped with the order's reason, and status shows the order."""
    jobs = """
[defaults]
command = "/usr/local/bin/work"
calendar = "*:*:*"
jitter = 0
[job.small]
[job.big]
lane = "bulk"
"""
    agent.with_agent(machine, jobs)
    agent.wait_for_runs(machine, "small", agent.ended(1))
    machine.succeed("hostagent pause --lane bulk --reason 'too much'")
    rows = agent.wait_for_runs(machine, "big", agent.ended(1, "skipped"))
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    assert "lane bulk by uid 0: too much" in skipped[0]["reason"]
    agent.wait_for_runs(machine, "small", lambda rows: rows[-1]["outcome"] == "succeeded")
    assert "paused   lane bulk by uid 0: too much" in machine.succeed("hostagent status")
    assert not [row for row in agent.runs(machine, "small") if row["outcome"] == "skipped"]

    told = machine.succeed("hostagent pause --all --until 1h --reason 'a fire'")
    assert "all jobs are paused" in told
    rows = agent.wait_for_runs(machine, "small", agent.ended(1, "skipped"))
    skipped = [row for row in rows if row["outcome"] == "skipped"]
    assert "cluster by uid 0 until" in skipped[0]["reason"]
    assert "a fire" in skipped[0]["reason"]
    assert len(agent.status(machine)["paused"]) == 2

    before = len(agent.history(machine, "big"))
    machine.succeed("hostagent resume --lane bulk && hostagent resume --all")
    assert agent.status(machine)["paused"] == []
    machine.fail("hostagent resume --all")
    agent.wait_for_runs(machine, "big", lambda rows: rows[-1]["outcome"] == "succeeded")
    assert len(agent.history(machine, "big")) > before
    machine.succeed(agent.PAUSED)
    agent.audit(machine)
    agent.check_history(agent.history(machine))
