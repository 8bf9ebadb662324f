"""The catch-up gate under a real PID 1: what was missed is released as the host can bear it.

Containers count no memory, so what a run is expected to need is its ``memory_max``, and nothing of
it is seen to be in use: what is known stays reserved as long as the run goes.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import accumulate
from typing import Any

import pytest

from tests.machine import agent
from tests.machine.machine import Machine

pytestmark = pytest.mark.alone

JOB = """
[job.{name}]
command = "{command}"
calendar = "{calendar}"
jitter = 0
timeout = "5min"
{more}
"""
GATE = '[gate]\nsettle = "{settle}s"\nstep = 1\ncpu_pressure = 100\n'
"""The level doubles each second, so that it is not what the tests wait for."""

UNTIL_GO = "/bin/sh -c 'until test -e /root/go; do sleep 0.2; done'"

APPLY = timedelta(seconds=15)
LATE = timedelta(seconds=17)
"""What is later than 15 s was missed."""


def miss(machine: Machine, jobs: str) -> float:
    """Deploy ``jobs``; {soon} in it is an instant that no agent is up for. Then start the agent.

    Returns when that was, in seconds since the epoch.
    """
    due = agent.now() + APPLY
    agent.apply(machine, jobs.replace("{soon}", f"{due:*-*-* %H:%M:%S}"))
    machine.succeed("systemctl stop hostagent.service")
    assert agent.now() < due, "the machine is too slow for this test"
    time.sleep((due + LATE - agent.now()).total_seconds())
    at = time.time()
    machine.succeed("systemctl start hostagent.service")
    return at


def held(machine: Machine) -> dict[str, str]:
    """What the agent says that its gate holds, and why."""
    told = agent.status(machine)
    return dict(zip(told["held"], told["held_because"], strict=True))


def weights(machine: Machine, *jobs: str) -> list[str]:
    """CPUWeight= of the slice of all jobs, then of these."""
    units = ["hostagent.slice", *(f"hostagent-{job}.service" for job in jobs)]
    return machine.succeed(f"systemctl show -P CPUWeight {' '.join(units)}").split("\n")[:-1:2]


def at_once(rows: Sequence[dict[str, Any]]) -> int:
    """How many runs went at the same time, at most."""
    changes = [(row["ended_at"], -1) for row in rows] + [(row["started_at"], 1) for row in rows]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def went_at_once(lines: Sequence[agent.Line]) -> int:
    """The same, by what the jobs themselves wrote down: the ledger knows nothing of it."""
    going = accumulate(1 if line.what == "start" else -1 for line in lines)
    return max(going)


def test_no_more_is_caught_up_at_once_than_memory_allows(machine: Machine) -> None:
    """Each is expected to need a third of what is there: three go, and why says what holds two."""
    agent.with_agent(machine, settings=GATE.format(settle=0))
    total, available = (
        int(machine.succeed(f"grep {name}: /proc/meminfo").split()[1]) * 1024
        for name in ("MemTotal", "MemAvailable")
    )
    third = (available - total // 10) * 10 // 33
    more = f"memory_max = {third}"
    jobs = [
        JOB.format(name=f"job{n}", command=UNTIL_GO, calendar="{soon}", more=more) for n in range(5)
    ]
    miss(machine, "".join(jobs))
    machine.wait_until("test $(hostagent status | grep -c running) = 3", timeout=60)
    time.sleep(3)  # in which the level doubles, and nothing else starts
    assert weights(machine, "job0", "job1", "job2") == ["20"] * 4
    waiting = held(machine)
    assert len(waiting) == 2
    for why in waiting.values():
        assert why.startswith("held: it is expected to need")
        assert ": MemAvailable " in why
        assert why.endswith("that 3 runs may still take")
    assert "held: it is expected to need" in machine.succeed("hostagent why job4")
    assert "held     job4: it is expected" in machine.succeed("hostagent status")
    machine.succeed("touch /root/go")
    rows = agent.wait_for_runs(machine, "", agent.ended(5, "succeeded"), timeout=60)
    assert at_once(rows) == 3
    assert held(machine) == {}
    assert weights(machine, "job0", "job4") == ["[not set]"] * 3
    assert "let go after" in machine.succeed("hostagent why job4")
    machine.succeed("hostagent drift")
    agent.audit(machine)


def test_nothing_is_caught_up_before_the_host_has_settled(machine: Machine) -> None:
    """The settle time begins when an agent comes up, not when it is started again in between.

    What falls due meanwhile starts at once: fresh occurrences wait for nothing.
    """
    settle = 30
    agent.with_agent(machine, settings=GATE.format(settle=settle))
    owed = JOB.format(name="owed", command=agent.WORK, calendar="{soon}", more="")
    fresh = JOB.format(name="fresh", command=agent.WORK, calendar="*:*:0/2", more='missed = "skip"')
    began = miss(machine, owed + fresh)
    assert held(machine)["owed"].startswith(
        f"held: settle = {settle}s after a wake (no agent was up): nothing that was missed starts"
    )
    assert f"held: settle = {settle}s" in machine.succeed("hostagent why owed")
    time.sleep(8)
    killed = time.time()
    agent.kill_agent(machine)
    agent.wait_for_agent(machine)
    assert held(machine)["owed"].startswith("held: settle")
    agent.wait_for_runs(machine, "owed", agent.ended(1, "succeeded"), timeout=60)
    (start, _) = agent.history(machine, "owed")
    assert began + settle <= start.at < killed + settle
    meanwhile = [line for line in agent.history(machine, "fresh") if began < line.at < start.at]
    assert len(meanwhile) > 4
    machine.succeed(agent.PAUSED)
    agent.audit(machine)


def test_who_gives_way_is_tried_again(machine: Machine) -> None:
    """Memory runs out at once, by the limits: the younger is stopped, and waits for the older."""
    floor = "memory_floor = 100\nmemory_reserve = 0\n"
    agent.with_agent(machine, settings=GATE.format(settle=0) + floor)
    jobs = JOB.format(name="spared", command=UNTIL_GO, calendar="{soon}", more="lane = 'critical'")
    once = "/bin/sh -c 'test $HOSTAGENT_ATTEMPT = 2 || sleep 100'"
    jobs += JOB.format(name="gives", command=once, calendar="{soon}", more="")
    miss(machine, jobs)
    machine.wait_until(
        "hostagent runs gives --json | grep -q 'stopped by the catch-up gate'", timeout=60
    )
    machine.succeed("touch /root/go")
    rows = agent.wait_for_runs(machine, "", agent.ended(3), timeout=60)
    ends = {(row["job"], row["attempt"]): (row["outcome"], row["result"]) for row in rows}
    assert ends["spared", 1] == ("succeeded", "success")
    assert ends["gives", 1] == ("failed", "gate-stopped")
    (first,) = [row for row in rows if row["outcome"] == "failed"]
    assert "of 2 runs that catch up it is the youngest" in first["reason"]
    assert first["reason"].endswith("it waits in the backlog again, with its expected peak doubled")
    assert ends["gives", 2] == ("succeeded", "success")
    agent.audit(machine)


def test_no_more_runs_of_a_pool_go_at_once_than_it_has_places(machine: Machine) -> None:
    """What finds no place waits, also for longer than what counts as missed, and then starts."""
    agent.with_agent(machine)
    due = agent.now() + APPLY
    calendar = f"{due:*-*-* %H:%M:%S}"
    jobs = "[pool.db]\nmax = 2\n" + JOB.format(
        name="other", command=agent.WORK, calendar=calendar, more=""
    )
    for number in range(5):
        name, work = f"job{number}", "/usr/local/bin/work 9"
        more = 'pool = "db"\nmissed = "skip"'
        jobs += JOB.format(name=name, command=work, calendar=calendar, more=more)
    agent.apply(machine, jobs)
    assert agent.now() < due, "the machine is too slow for this test"
    agent.wait_for_runs(machine, "other", agent.ended(1, "succeeded"), timeout=30)
    machine.wait_until("hostagent backlog list | grep -q '2 of 2 places are taken by'", timeout=8)
    rows = agent.wait_for_runs(machine, "", agent.ended(6, "succeeded"), timeout=90)
    assert at_once([row for row in rows if row["job"] != "other"]) == 2
    journal = machine.journal("hostagent.service")
    assert journal.count("pool db had a place after") == 3
    assert held(machine) == {}
    agent.audit(machine)


def test_kills_of_the_agent_release_each_once_in_order_and_no_more_at_once(
    machine: Machine,
) -> None:
    """What the gate remembers is gone with each kill; what it was asked for is not."""
    cores = int(machine.succeed("nproc"))
    agent.with_agent(machine, settings=GATE.format(settle=0) + "per_core = 1\n")
    names = [f"job{number:02}" for number in range(60 if agent.LONG else 14)]
    work = "/usr/local/bin/work 1.5"
    jobs = [JOB.format(name=name, command=work, calendar="{soon}", more="") for name in names]
    miss(machine, "".join(jobs))
    seed = random.randrange(2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    for _ in range(50 if agent.LONG else 8):
        time.sleep(chance.uniform(0, 1.2))
        agent.kill_agent(machine)
    killed = time.time()
    ended = agent.ended(len(names), "succeeded")
    rows = agent.wait_for_runs(machine, "", ended, timeout=120)
    lines = agent.history(machine)
    agent.check_history(lines)
    started = [line.job for line in lines if line.what == "start"]
    assert sorted(started) == names
    moved = {job for place, job in enumerate(started) if abs(names.index(job) - place) >= cores}
    assert not moved, started
    assert max(at_once(rows), went_at_once(lines)) <= cores
    assert killed < lines[-1].at, "the last kills were no part of the drain"
    assert "bug in hostagent" not in machine.journal("hostagent.service")
    agent.audit(machine)


def test_people_hold_release_and_abandon_what_was_missed(machine: Machine) -> None:
    """One goes at once, one is given up, one waits until all are released; a restart keeps that."""
    agent.with_agent(machine, settings=GATE.format(settle=600))
    jobs = ("first", "second", "third")
    miss(
        machine,
        "".join(
            JOB.format(name=name, command=agent.WORK, calendar="{soon}", more="") for name in jobs
        ),
    )
    assert set(held(machine)) == {*jobs}
    machine.fail("hostagent backlog list --storm-check")
    machine.succeed("hostagent backlog hold second --reason 'the disk is full'")
    machine.succeed("hostagent backlog release first")
    agent.wait_for_runs(machine, "first", agent.ended(1, "succeeded"))
    machine.succeed("hostagent backlog abandon third --reason 'nobody reads it'")
    (row,) = agent.runs(machine, "third")
    assert (row["outcome"], row["reason"]) == ("abandoned", "abandoned by uid 0: nobody reads it")
    machine.succeed("systemctl restart hostagent.service")
    agent.wait_for_agent(machine)
    assert set(held(machine)) == {"second"}
    assert "uid 0 holds it since" in machine.succeed("hostagent backlog list")
    assert "the disk is full" in machine.succeed("hostagent why second")
    machine.succeed("hostagent backlog release --all")
    agent.wait_for_runs(machine, "second", agent.ended(1, "succeeded"))
    told = json.loads(machine.run("hostagent backlog list --storm-check --json").stdout)
    assert [fact["is_so"] for fact in told[:2]] == [True, True]
    agent.audit(machine)
