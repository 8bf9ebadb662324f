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
SLEEP_S, SETTLE_S = 35, 15
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
test $(date +%H:%M:%S) '<' {DUE} && echo mem >/sys/power/state
"""


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


def wakes_once(vm: VM, before: Counter[str], *, owed: int) -> None:
    """It settles once, from now on; then each that is owed starts once, and few at a time."""
    settling = []
    while told := json.loads(vm.succeed("hostagent backlog list --json"))["settles"]:
        new = starts(vm) - before
        settling.append(told)
        print(told, dict(new))
        assert told.startswith(WHY)
        assert set(new) <= {"fresh"} or not settling, "nothing that was missed starts yet"
        assert len(settling) < SETTLE_S
    assert settling
    end = time.monotonic() + 60
    while sum((starts(vm) - before)[f"owes{n}"] for n in range(OWING)) < owed:
        assert time.monotonic() < end, starts(vm) - before
        time.sleep(0.2)
    time.sleep(3)
    new = starts(vm) - before
    assert new.pop("fresh") > 2
    assert new == {f"owes{n}": 1 for n in range(OWING)} if owed else not new
    assert most_at_once(vm) <= CORES
    agent.audit(vm)


@pytest.mark.skipif(not agent.LONG, reason="the simulation has the same, in virtual time")
def test_a_sleep_and_a_step_of_a_day_both_ways_are_one_wake_each(vm: VM) -> None:
    """Nothing is lost, doubled or early, and the second wake starts anew what the first began."""
    vm.write("/etc/hostagent/agent.toml", SETTINGS)
    vm.succeed("systemctl restart hostagent.service")
    vm.set_clock(START)
    agent.wait_for_agent(vm)
    agent.apply(vm, JOBS)
    time.sleep(SETTLE_S)

    before = starts(vm)
    vm.succeed(SLEEP)
    wakes_once(vm, before, owed=OWING)

    before = starts(vm)
    vm.set_clock("+1 day")
    wakes_once(vm, before, owed=OWING)

    before = starts(vm)
    vm.set_clock("-1 day")
    wakes_once(vm, before, owed=0)
    assert "bug in hostagent" not in vm.journal("hostagent.service")
