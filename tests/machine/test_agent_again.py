"""What follows a failure on one host: another attempt, or a quarantine."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.machine import agent
from tests.machine.machine import Machine

FAILS = "/usr/local/bin/fails"
_FAILS = """#!/bin/bash
# fails N HOW: fails N times, by exit status or signal, then succeeds.
count=$(cat /root/count-$HOSTAGENT_JOB 2>/dev/null || echo 0)
echo $((count + 1)) >/root/count-$HOSTAGENT_JOB
echo "attempt $HOSTAGENT_ATTEMPT of $HOSTAGENT_RUN_ID"
[ "$count" -ge "$1" ] && exit 0
case $2 in
    exit) exit 3 ;;
    kill) echo '{"rows": 7}' >$HOSTAGENT_REPORT; kill -KILL $$ ;;
esac
"""


def in_a_moment(machine: Machine) -> str:
    """A calendar that elapses once, some seconds from now."""
    return machine.succeed("date --utc -d '4 seconds' '+%Y-%m-%d %H:%M:%S'").strip()


def test_a_failed_run_is_tried_again_after_its_backoff(machine: Machine) -> None:
    """Attempt by attempt, each after its wait; the run's outcome is the last one's."""
    machine.write(FAILS, _FAILS, 0o755)
    agent.with_agent(
        machine,
        f"""
[job.flaky]
command = "{FAILS} 2 exit"
calendar = "{in_a_moment(machine)}"
retries = 3
backoff = ["1s", "2s"]
jitter = 0
""",
    )
    rows = agent.wait_for_runs(machine, "flaky", agent.ended(3), timeout=30)
    assert [row["attempt"] for row in rows] == [1, 2, 3]
    assert [row["outcome"] for row in rows] == ["failed", "failed", "succeeded"]
    assert len({row["run_id"] for row in rows}) == 1
    for before, after, least in ((rows[0], rows[1], 0.9), (rows[1], rows[2], 1.8)):
        waited = agent.instant(after["started_at"]) - agent.instant(before["ended_at"])
        assert timedelta(seconds=least) <= waited < timedelta(seconds=least * 1.3 + 1.5)
    told = machine.succeed("hostagent why flaky")
    assert "attempt 1 of 4 failed (exit 3); next in" in told
    agent.audit(machine)


def test_a_retry_outlives_the_agent(machine: Machine) -> None:
    """The pending attempt stands in the store: another agent process makes it."""
    machine.write(FAILS, _FAILS, 0o755)
    agent.with_agent(
        machine,
        f"""
[job.flaky]
command = "{FAILS} 1 exit"
calendar = "{in_a_moment(machine)}"
retries = 1
backoff = ["4s"]
jitter = 0
""",
    )
    agent.wait_for_runs(machine, "flaky", agent.ended(1))
    agent.kill_agent(machine)
    rows = agent.wait_for_runs(machine, "flaky", agent.ended(2))
    assert [row["outcome"] for row in rows] == ["failed", "succeeded"]
    agent.audit(machine)


def test_a_job_that_keeps_crashing_is_taken_out_until_a_person_puts_it_back(
    machine: Machine,
) -> None:
    """Whatever its retries: with its attempts, its last lines, its report, and none after."""
    machine.write(FAILS, _FAILS, 0o755)
    agent.with_agent(
        machine,
        f"""
[job.crash]
command = "{FAILS} 2 kill"
calendar = "*:*:0/3"
retries = 9
backoff = ["100ms"]
jitter = 0
""",
    )
    machine.wait_until("hostagent quarantine show crash", timeout=20)
    (out,) = json.loads(machine.succeed("hostagent quarantine list --json"))
    assert len(out["attempts"]) == 2
    assert "signal KILL" in out["reason"]
    assert "attempt " in out["evidence"]
    told = machine.succeed("hostagent quarantine show crash")
    assert all(attempt in told for attempt in out["attempts"])
    assert all(
        f"attempt {number} on {out['host']}: was killed by signal KILL" in told for number in (1, 2)
    )
    assert "What the last one printed:\n  attempt 2 of crash" in told
    assert all(f"\n  {line}\n" in told for line in out["evidence"].splitlines())
    assert 'Its report: {"rows": 7}' in told
    agent.wait_for_runs(machine, "crash", agent.ended(1, "quarantined"))
    assert machine.read("/root/count-crash") == "2\n"
    assert "quarantine reinstate crash" in machine.succeed("hostagent why crash")

    machine.succeed("hostagent quarantine reinstate crash")
    machine.fail("hostagent quarantine reinstate crash")
    agent.wait_for_runs(machine, "crash", agent.ended(1, "succeeded"))
    agent.audit(machine)
