"""The catch-up gate under a real PID 1: what was missed is released as the host can bear it.

Containers count no memory, so what a run is expected to need is its ``memory_max``, and nothing of
it is seen to be in use: what is known stays reserved as long as the run goes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

from tests.machine import agent
from tests.machine.machine import Machine

JOB = """
[job.{name}]
command = "/usr/local/bin/work {takes}"
calendar = "{calendar}"
jitter = 0
timeout = "60s"
{more}
"""
GATE = '[gate]\nsettle = "{settle}s"\nstep = 1\ncpu_pressure = 100\n'
"""The level doubles each second, so that it is not what the tests wait for."""

APPLY = timedelta(seconds=6)
LATE = timedelta(seconds=17)
"""What is later than 15 s was missed."""


def miss(machine: Machine, jobs: str) -> None:
    """Deploy ``jobs``; {soon} in it is an instant that no agent is up for. Then start the agent."""
    due = agent.now() + APPLY
    agent.apply(machine, jobs.replace("{soon}", f"{due:*-*-* %H:%M:%S}"))
    machine.succeed("systemctl stop hostagent.service")
    assert agent.now() < due, "the machine is too slow for this test"
    time.sleep((due + LATE - agent.now()).total_seconds())
    machine.succeed("systemctl start hostagent.service")


def held(machine: Machine) -> dict[str, str]:
    """What the agent says that its gate holds, and why."""
    told = agent.status(machine)
    return dict(zip(told["held"], told["held_because"], strict=True))


def at_once(lines: Sequence[agent.Line]) -> int:
    """How many runs went at the same time, at most."""
    most = now = 0
    for line in sorted(lines, key=lambda line: line.at):
        now += 1 if line.what == "start" else -1
        most = max(most, now)
    return most


def test_no_more_is_caught_up_at_once_than_memory_allows(machine: Machine) -> None:
    """Each is expected to need a third of what is there: three go, and why says what holds two."""
    agent.with_agent(machine, settings=GATE.format(settle=0))
    total, available = (
        int(machine.succeed(f"grep {name}: /proc/meminfo").split()[1]) * 1024
        for name in ("MemTotal", "MemAvailable")
    )
    third = (available - total // 10) * 10 // 33
    jobs = [
        JOB.format(name=f"job{n}", takes=7, calendar="{soon}", more=f"memory_max = {third}")
        for n in range(5)
    ]
    miss(machine, "".join(jobs))
    machine.wait_until("test $(grep -c ^start /root/history) = 3")
    time.sleep(1.5)  # for the level to double
    waiting = held(machine)
    assert len(waiting) == 2
    for name, why in waiting.items():
        assert why.startswith("held: MemAvailable ")
        assert "that 3 runs may still take leaves" in why
        assert f"{name} is expected to need" in why
    assert "held: MemAvailable" in machine.succeed("hostagent why job4")
    assert "held     job4: MemAvailable" in machine.succeed("hostagent status")
    agent.wait_for_runs(machine, "", agent.ended(5, "succeeded"), timeout=40)
    assert at_once(agent.history(machine)) == 3
    assert held(machine) == {}
    assert "let go after" in machine.succeed("hostagent why job4")
    agent.audit(machine)


def test_nothing_is_caught_up_before_the_host_has_settled(machine: Machine) -> None:
    """The settle time begins when an agent comes up, not when it is started again in between.

    What falls due meanwhile starts at once: fresh occurrences wait for nothing.
    """
    settle = 12
    agent.with_agent(machine, settings=GATE.format(settle=settle))
    fresh = JOB.format(name="fresh", takes=0, calendar="*:*:0/2", more='missed = "skip"')
    miss(machine, JOB.format(name="owed", takes=0, calendar="{soon}", more="") + fresh)
    began = time.time()
    agent.wait_for_runs(machine, "fresh", lambda rows: rows[-1]["outcome"] == "succeeded")
    assert held(machine)["owed"].startswith(f"held: settle = {settle}s after a wake, ")
    assert f"held: settle = {settle}s" in machine.succeed("hostagent why owed")
    time.sleep(4)
    agent.kill_agent(machine)
    agent.wait_for_agent(machine)
    assert held(machine)["owed"].startswith("held: settle")
    agent.wait_for_runs(machine, "owed", agent.ended(1, "succeeded"))
    (start, _) = agent.history(machine, "owed")
    assert began + settle - 1 < start.at < began + settle + 3
    machine.succeed("systemctl restart hostagent.service")
    assert sum(line.at < began + settle - 2 for line in agent.history(machine, "fresh")) >= 4
    agent.audit(machine)
