"""A real sleep, and a clock set a day off: each is one wake, with its settle time, and no storm."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest
from vm import VM

from tests.machine import agent

START = "2027-03-10 12:34:30"
DUE = "12:35:15"
SLEEP_S, SETTLE_S = 60, 15
CORES = 2
SETTINGS = f'[gate]\nsettle = "{SETTLE_S}s"\nper_core = 1\n'
WHY = f"settle = {SETTLE_S}s after a wake (the clock was set, or the host slept): "

OWING = 6
JOBS = """
[defaults]
jitter = 0

[job.fresh]
command = "/usr/local/bin/work"
calendar = "*:*:0/5"
missed = "skip"
""" + "".join(
    f'[job.owes{number}]\ncommand = "/usr/local/bin/work 1"\ncalendar = "*-*-* {DUE}"\n'
    f'missed = "{("latest", "all")[number % 2]}"\n'
    for number in range(OWING)
)

SLEEP = f"""
cd /sys/class/rtc/rtc0 && echo 0 >wakealarm && echo +{SLEEP_S} >wakealarm
test $(date +%H:%M:%S) '<' {DUE} && systemctl start suspend.target
"""


def sleep(vm: VM) -> None:
    """All timers elapse when it wakes up, and PID 1 skips what they start: nothing was asked."""
    vm.succeed(SLEEP)
    units = " ".join(f"hostagent-owes{number}" for number in range(OWING))
    assert set(vm.succeed(f"systemctl show -P ConditionResult {units}").split()) == {"no"}
    vm.succeed("test -e /run/hostagent/up/ready")


def starts(vm: VM) -> Counter[str]:
    """How often each job has started, by what the jobs wrote outside of the VM."""
    lines = agent.read_history(vm.history.read_text())
    agent.check_history(lines)
    return Counter(line.job for line in lines if line.what == "start")


def most_at_once(vm: VM) -> int:
    """How many of those that were owed went at the same time."""
    most = now = 0
    for line in agent.read_history(vm.history.read_text()):
        now += (line.job != "fresh") * (1 if line.what == "start" else -1)
        most = max(most, now)
    return most


def settles(vm: VM) -> str:
    """What a person is told of it; empty: no more."""
    told: str = json.loads(vm.succeed("hostagent backlog list --json"))["settles"]
    return told


def wakes_once(vm: VM, before: Counter[str]) -> None:
    """It settles, once and from now on; nothing that was missed starts meanwhile."""
    looks, new = 0, starts(vm) - before
    while told := settles(vm):
        assert told.startswith(WHY)
        assert set(new) <= {"fresh"}, new  # of before it was told
        assert (looks := looks + 1) < SETTLE_S, "it settles for ever"
        new = starts(vm) - before
    assert looks


def drains(vm: VM, before: Counter[str]) -> None:
    """Each that is owed starts once, few at a time, and what falls due starts as ever."""
    end = time.monotonic() + 60
    while len(new := starts(vm) - before) <= OWING or new["fresh"] < 3:
        assert time.monotonic() < end, new
        time.sleep(0.2)
    time.sleep(3)
    new = starts(vm) - before
    del new["fresh"]
    assert new == {f"owes{number}": 1 for number in range(OWING)}
    assert most_at_once(vm) <= CORES
    agent.audit(vm)


@pytest.mark.skipif(not agent.LONG, reason="the simulation has the same, in virtual time")
def test_a_sleep_and_a_step_of_a_day_both_ways_are_one_wake_each(vm: VM) -> None:
    """Nothing is lost, doubled or early; in time that was run already, nothing starts at all."""
    vm.write("/etc/hostagent/agent.toml", SETTINGS)
    vm.succeed("systemctl restart hostagent.service")
    vm.set_clock(START)
    agent.wait_for_agent(vm)
    agent.apply(vm, JOBS)
    time.sleep(SETTLE_S)

    for way in (sleep, lambda vm: vm.set_clock("+1 day")):
        before = starts(vm)
        way(vm)
        wakes_once(vm, before)
        drains(vm, before)

    vm.set_clock("-1 day")
    before = starts(vm)
    wakes_once(vm, before)
    time.sleep(3)
    assert starts(vm) == before
    agent.audit(vm)
    assert "bug in hostagent" not in vm.journal("hostagent.service")
