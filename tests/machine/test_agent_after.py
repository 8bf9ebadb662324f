"""What comes after another job on one host, under a real PID 1."""

from __future__ import annotations

from tests.machine import agent
from tests.machine.machine import Machine

JOBS = """
[defaults]
calendar = "*:*:0/2"
jitter = 0
timeout = "20s"

[job.dump]
command = "/usr/local/bin/work 0.8"
[job.check]
command = "/usr/local/bin/work"
after = ["dump"]

[job.broken]
command = "/bin/sh -c 'test $HOSTAGENT_ATTEMPT = 2'"
[job.patient]
command = "/bin/true"
after = ["broken", "dump"]
[job.hasty]
command = "/bin/true"
after = ["broken"]
start_deadline = "1s"
"""


def test_what_comes_after_a_job_waits_for_its_success(machine: Machine) -> None:
    """It starts when that has succeeded, and is skipped with its name when that has not in time."""
    agent.with_agent(machine, JOBS)
    machine.wait_until("hostagent status | grep -q 'waits    check: dump of .*, which runs on '")
    machine.wait_until("hostagent why patient | grep -q 'waits for broken of .*, which failed on '")
    checks = agent.wait_for_runs(machine, "check", agent.ended(2, "succeeded"))
    (failed, *_) = agent.wait_for_runs(machine, "broken", agent.ended(1, "failed"))
    machine.succeed(f"hostagent retry {failed['run_id']}")
    mended = agent.wait_for_runs(machine, "patient", agent.ended(1, "succeeded"))
    machine.succeed("hostagent run hasty --wait")
    machine.succeed(agent.PAUSED)

    lines = {(line.what, line.run_id): line.at for line in agent.history(machine)}
    for row in (row for row in checks if row["attempt"]):
        dump = row["run_id"].replace("check", "dump")
        assert lines["end", dump] < lines["start", row["run_id"]]
        assert "dump of " in row["admission"]
        assert "catch-up" not in row["admission"]
    assert failed["scheduled_for"] in {row["scheduled_for"] for row in mended}
    hasty = agent.runs(machine, "hasty")
    (by_hand,) = (row for row in hasty if row["attempt"])
    assert "whatever broken did (after)" in by_hand["admission"]
    skipped = {row["reason"] for row in hasty if not row["attempt"]}
    assert any("upstream: broken of " in why and "exited with status 1" in why for why in skipped)
    agent.audit(machine)
    agent.check_history(agent.history(machine))
