"""What people order about the backlog, and see of it, under a real PID 1."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest

from tests.machine import agent
from tests.machine.machine import Machine
from tests.machine.test_agent_gate import APPLY, GATE, JOB, UNTIL_GO, held, miss

pytestmark = pytest.mark.alone

EVERY_S = 3
RATE = f"{60 // EVERY_S}/min"


def test_what_is_released_at_a_rate_goes_one_by_one_and_is_plotted(machine: Machine) -> None:
    """Before the host has settled; ``list`` says when each will start, and the plot how it went."""
    agent.with_agent(machine, settings=GATE.format(settle=600))
    names = [f"job{number}" for number in range(5)]
    jobs = [JOB.format(name=name, command=agent.WORK, calendar="{soon}", more="") for name in names]
    miss(machine, "".join(jobs))
    assert "(settles)" in machine.succeed("hostagent backlog list")
    assert agent.history(machine) == []
    told = machine.succeed(f"hostagent backlog release --all --rate {RATE}")
    assert told.startswith(f"released at {RATE}: job0, ")
    waiting = held(machine)
    assert waiting
    assert all(why.startswith(f"held: released by hand, {RATE}: ") for why in waiting.values())
    listed = json.loads(machine.succeed("hostagent backlog list --json"))
    assert listed["pace"].startswith(f"{RATE} by hand, ")
    assert all(one["expected"] for one in listed["held"])
    assert f"released {RATE} by hand" in machine.succeed("hostagent status")
    agent.wait_for_runs(machine, "", agent.ended(5, "succeeded"), timeout=40)
    starts = [line for line in agent.history(machine) if line.what == "start"]
    assert [line.job for line in starts] == names
    assert all(later.at - before.at > EVERY_S - 1 for before, later in pairwise(starts))
    assert starts[-1].at - starts[0].at >= (len(names) - 1) * EVERY_S - 1
    samples = json.loads(machine.succeed("hostagent backlog plot --json"))
    assert sum(sample["released"] for sample in samples) == len(names)
    plotted = machine.succeed("hostagent backlog plot")
    assert "memory in use, % of RAM" in plotted
    assert plotted.isascii()
    assert max(map(len, plotted.splitlines())) <= 80
    agent.audit(machine)


def test_a_retry_is_abandoned_with_its_reason(machine: Machine) -> None:
    """The agent that is asked has read of it in the ledger, and so has the next one."""
    agent.with_agent(machine)
    due = agent.now() + APPLY
    more = "retries = 3\nbackoff = ['15s']"
    fails = JOB.format(
        name="fails", command="/bin/false", calendar=f"{due:*-*-* %H:%M:%S}", more=more
    )
    agent.apply(machine, fails)
    assert agent.now() < due, "the machine is too slow for this test"
    agent.wait_for_runs(machine, "fails", agent.ended(1), timeout=30)
    agent.kill_agent(machine)
    agent.wait_for_agent(machine)
    told = machine.succeed("hostagent backlog abandon fails --reason 'the disk is gone'")
    assert told == "fails: a retry abandoned\n"
    machine.succeed("systemctl restart hostagent.service")
    agent.wait_for_agent(machine)
    time.sleep(20)
    (row,) = agent.runs(machine, "fails")
    assert row["outcome"] == "failed"
    assert row["reason"].endswith("; not tried again: abandoned by uid 0: the disk is gone")
    told = machine.succeed("hostagent backlog abandon fails --reason 'the disk is gone'")
    assert told == "nothing of fails is held\n"
    agent.audit(machine)


def test_what_was_not_missed_is_not_abandoned_but_a_pause_skips_it(machine: Machine) -> None:
    """It waits for a place of its pool: the command says so, and what to type."""
    agent.with_agent(machine)
    due = agent.now() + APPLY
    jobs = "[pool.db]\nmax = 1\n"
    for name in ("one", "two"):
        jobs += JOB.format(
            name=name, command=UNTIL_GO, calendar=f"{due:*-*-* %H:%M:%S}", more='pool = "db"'
        )
    agent.apply(machine, jobs)
    assert agent.now() < due, "the machine is too slow for this test"
    machine.wait_until("hostagent backlog list | grep -q 'places are taken by'", timeout=30)
    (waits,) = held(machine)
    said = machine.run(f"hostagent backlog abandon {waits} --reason 'not now'")
    assert (said.returncode, said.stdout) == (1, "")
    assert f"{waits} was not missed" in said.stderr
    assert f"hostagent pause {waits}, then hostagent resume {waits}" in said.stderr
    machine.succeed(f"hostagent pause {waits} && hostagent resume {waits}")
    (row,) = agent.wait_for_runs(machine, waits, agent.ended(1, "skipped"))
    assert row["reason"].startswith("paused: ")
    machine.succeed("touch /root/go")
    agent.wait_for_runs(machine, "", agent.ended(1, "succeeded"))
    assert held(machine) == {}
    agent.audit(machine)


def test_fresh_runs_of_chosen_lanes_wait_while_memory_runs_out(machine: Machine) -> None:
    """By the limits it does at once: those of the lane wait for their deadline, others go."""
    limits = 'memory_floor = 100\nhold_fresh = ["bulk"]\n'
    agent.with_agent(machine, settings=GATE.format(settle=0) + limits)
    due = agent.now() + APPLY
    calendar = f"{due:*-*-* %H:%M:%S}"
    bulk = "lane = 'bulk'\nstart_deadline = '20s'"
    jobs = JOB.format(name="bulk", command=agent.WORK, calendar=calendar, more=bulk)
    jobs += JOB.format(name="normal", command=agent.WORK, calendar=calendar, more="")
    agent.apply(machine, jobs)
    assert agent.now() < due, "the machine is too slow for this test"
    agent.wait_for_runs(machine, "normal", agent.ended(1, "succeeded"), timeout=30)
    machine.wait_until("hostagent why bulk | grep -q 'is under 100 % of RAM'", timeout=10)
    assert "so fresh runs of lane bulk wait (hold_fresh)" in machine.succeed("hostagent why bulk")
    (row,) = agent.wait_for_runs(machine, "bulk", agent.ended(1, "skipped"), timeout=40)
    assert row["reason"].startswith("start_deadline: ")
    assert agent.history(machine, "bulk") == []
    assert held(machine) == {}
    agent.audit(machine)
