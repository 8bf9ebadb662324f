"""What a real agent tells monitoring."""

from __future__ import annotations

from tests.machine import agent
from tests.machine.machine import Machine

JOBS = """
[job.long]
command = "/usr/local/bin/work 60"
calendar = "2099-01-01"
[job.short]
command = "/usr/local/bin/work"
calendar = "2099-01-01"
"""


TEXTFILE = """
[job.m]
command = "/usr/bin/hostagent metrics --textfile /var/lib/metrics/hostagent.prom"
calendar = "2099-01-01"
"""


def figures(machine: Machine) -> dict[str, str]:
    """Each sample by its name and labels."""
    lines = machine.succeed("hostagent metrics").splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_agent_and_runs_are_told(machine: Machine) -> None:
    """What runs, what ended, and where the gate stands; of an agent that is down, that it is."""
    agent.with_agent(machine, JOBS)
    machine.succeed("hostagent run short --wait; hostagent run long")
    told = figures(machine)
    assert told["hostagent_up"] == told["hostagent_gate_level"] == "1"
    assert int(told["hostagent_gate_level_max"]) >= 4
    assert (told["hostagent_running_runs"], told["hostagent_held_runs"]) == ("1", "0")
    runs = 'hostagent_runs_total{job="short",scope="",outcome="succeeded"}'
    assert told[runs] == told['hostagent_last_run_succeeded{job="short",scope=""}'] == "1"
    assert "hostagent_lease_remaining_seconds" not in told
    machine.succeed("systemctl stop hostagent.socket hostagent.service")
    told = figures(machine)
    assert (told["hostagent_up"], told['hostagent_store_up{store="own"}']) == ("0", "1")
    assert told[runs] == "1"


def test_a_job_can_write_the_textfile(machine: Machine) -> None:
    """As the docs have it: whole, and readable by node_exporter."""
    machine.succeed("mkdir /var/lib/metrics")
    agent.with_agent(machine, TEXTFILE)
    machine.succeed("hostagent run m --wait")
    machine.succeed(
        "runuser -u nobody -- grep -q '^hostagent_up 1$' /var/lib/metrics/hostagent.prom"
    )
    assert machine.succeed("ls -A /var/lib/metrics").split() == ["hostagent.prom"]
