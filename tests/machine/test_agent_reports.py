"""A job's own report: whatever it holds, it is recorded as such and never changes the run."""

from __future__ import annotations

import pytest

from tests.machine import agent
from tests.machine.machine import Machine

JOB = """
[job.idle]
command = "/usr/local/bin/report"
calendar = "2099-01-01"
"""

BAD = {
    "malformed": ("echo '{\"rows\": 12' >$HOSTAGENT_REPORT", "not JSON"),
    "empty": (": >$HOSTAGENT_REPORT", "not JSON"),
    "huge": ("head -c 1000000 /dev/zero | tr '\\0' 1 >$HOSTAGENT_REPORT", "larger than"),
    "fifo": ("mkfifo $HOSTAGENT_REPORT", "not a plain file"),
    "symlink": ("ln -s /etc/shadow $HOSTAGENT_REPORT", "not a plain file"),
    "directory": ("mkdir $HOSTAGENT_REPORT", "not a plain file"),
    "hard link": ("ln /run/hostagent/session $HOSTAGENT_REPORT", "not a plain file"),
    "no number": ("echo NaN >$HOSTAGENT_REPORT", "not JSON"),
    "too deep": ("printf '[%.0s' {1..50000} >$HOSTAGENT_REPORT", "not JSON"),
    "half a character": ("echo '\"\\ud800\"' >$HOSTAGENT_REPORT", "not JSON"),
    "bytes": ("printf '\"\\377\"' >$HOSTAGENT_REPORT", "not JSON"),
}


def run_with(machine: Machine, script: str) -> dict[str, object]:
    """Run the job with ``script`` as its command; its row."""
    machine.write("/usr/local/bin/report", f"#!/bin/bash\n{script}\n", 0o755)
    machine.succeed("hostagent run idle --wait", timeout=20)
    return agent.runs(machine, "idle")[-1]


def test_a_report_lands_in_the_ledger(machine: Machine) -> None:
    """What a job says in JSON stands in its row; the next run begins with no report."""
    agent.with_agent(machine, JOB)
    row = run_with(machine, 'echo \'{"rows": 12, "name": "ü"}\' >$HOSTAGENT_REPORT')
    assert row["report"] == {"rows": 12, "name": "ü"}
    row = run_with(machine, "true")
    assert (row["report"], row["report_problem"]) == (None, None)


def test_a_report_of_a_user_lands_in_the_ledger(machine: Machine) -> None:
    """A job that runs as another user can write its report."""
    agent.with_agent(machine, JOB + 'user = "nobody"\n')
    row = run_with(machine, "id -un | sed 's/.*/\"&\"/' >$HOSTAGENT_REPORT")
    assert row["report"] == "nobody"


def test_a_bad_report_is_recorded_and_fails_nothing(machine: Machine) -> None:
    """Malformed, huge, a FIFO, a link: the run has succeeded, and nothing of it leaks."""
    agent.with_agent(machine, JOB)
    before = descriptors(machine)
    for name, (script, problem) in BAD.items():
        row = run_with(machine, script)
        assert row["outcome"] == "succeeded", name
        assert row["report"] is None, name
        assert problem in str(row["report_problem"]), (name, row["report_problem"])
    assert descriptors(machine) <= before
    assert machine.succeed("ls -A /run/hostagent/reports /run/hostagent/runs").split() == [
        "/run/hostagent/reports:",
        "/run/hostagent/runs:",
    ]
    assert "bug in hostagent" not in machine.journal("hostagent.service")


def descriptors(machine: Machine) -> int:
    """How many files the agent holds open."""
    return int(machine.succeed(f"ls /proc/{agent.agent_pid(machine)}/fd | wc -l"))


@pytest.mark.parametrize("user", ["", 'user = "nobody"\n'])
def test_nobody_else_can_reach_a_report(machine: Machine, user: str) -> None:
    """The directory of a report belongs to the job's user alone."""
    agent.with_agent(machine, JOB + user)
    row = run_with(machine, "stat -c '\"%a %U\"' $(dirname $HOSTAGENT_REPORT) >$HOSTAGENT_REPORT")
    assert row["report"] == ("700 nobody" if user else "700 root")
