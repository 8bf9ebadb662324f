"""A boot after days off, with a hundred jobs that each have something to make up for."""

from __future__ import annotations

import json
import re
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from vm import VM

from tests.machine import agent

START = datetime(2027, 3, 10, 12, 0, tzinfo=UTC)
CORES = 4
PER_CORE = 4
JOBS = 500 if agent.LONG else 100
SKIP, ALL = JOBS * 60 // 100, JOBS * 8 // 100
"""So many make up for nothing, so many for each of two days; the others for the latest."""

RUNS = JOBS - SKIP - ALL + 2 * ALL

READY = "stat --format=%.6Y /run/hostagent/up/ready"
SAID = "journalctl --sync; journalctl --boot -q -o json _PID=1"
JOB_UNIT = re.compile(r"hostagent-j\d+\.service")


def jobs() -> str:
    """Daily jobs, all missed."""
    texts = ["[defaults]\njitter = 0\ntimeout = '10min'\ncommand = '/usr/local/bin/work 0.5'\n"]
    for number in range(JOBS):
        more = 'missed = "skip"' if number < SKIP else ""
        if number >= JOBS - ALL:
            more = 'missed = "all"\ncatch_up_window = "48h"'
        hour, minute = number % 10, number % 60
        texts.append(f'[job.j{number}]\ncalendar = "*-*-* {hour:02}:{minute:02}"\n{more}\n')
    return "\n".join(texts)


def boot_s(vm: VM) -> float:
    """How long PID 1 took from its first moment to "startup finished"."""
    shown = vm.succeed("systemctl show -P UserspaceTimestampMonotonic -P FinishTimestampMonotonic")
    began, finished = map(int, shown.split())
    return (finished - began) / 1e6


def told_at(entry: dict[str, Any]) -> float:
    """When PID 1 said it, in seconds since the epoch."""
    return int(entry.get("_SOURCE_REALTIME_TIMESTAMP", entry["__REALTIME_TIMESTAMP"])) / 1e6


def said_of_jobs(vm: VM) -> list[dict[str, Any]]:
    """What PID 1 said of jobs' services since the boot."""
    said = [json.loads(line) for line in vm.succeed(SAID).splitlines()]
    return [entry for entry in said if JOB_UNIT.fullmatch(entry.get("UNIT", ""))]


def forks_of(said: list[dict[str, Any]]) -> list[float]:
    """When PID 1 forked for a job: to ask the agent is the first that it does."""
    return [told_at(entry) for entry in said if entry["MESSAGE"].startswith("Starting ")]


def most_at_once(lines: list[agent.Line]) -> int:
    """The largest number of runs that were between their start and their end."""
    most = now = 0
    for line in lines:
        now += 1 if line.what == "start" else -1
        most = max(most, now)
    return most


def test_days_of_missed_runs_wait_for_the_agent_and_then_go_few_at_a_time(vm: VM) -> None:
    """Nothing of ours forks before the agent is up; then as much goes as the host can bear."""
    vm.set_clock(f"{START:%Y-%m-%d %H:%M:%S}")
    agent.apply(vm, jobs())
    vm.shut_down()
    vm.cores = CORES
    vm.boot(clock=START + timedelta(days=5))
    agent.wait_for_agent(vm, 60)
    end = time.monotonic() + 1.8 * JOBS
    while vm.history.read_text().count("end ") < RUNS:
        assert time.monotonic() < end, vm.history.read_text()
        time.sleep(0.5)
    lines = agent.read_history(vm.history.read_text())
    agent.check_history(lines)
    assert sum(line.what == "start" for line in lines) == RUNS
    assert most_at_once(lines) <= PER_CORE * CORES

    ready_at = float(vm.succeed(READY))
    ours = said_of_jobs(vm)
    forks = forks_of(ours)
    assert forks, "PID 1 does not say what it starts"
    assert min(forks) >= ready_at - 0.001
    early = {entry["UNIT"] for entry in ours if told_at(entry) < ready_at}
    assert early == set(), "timers elapsed for what the agent answers for"
    rows = agent.runs(vm)
    assert {row["outcome"] for row in rows} == {"succeeded", "skipped"}
    skipped = {row["job"] for row in rows if row["outcome"] == "skipped"}
    assert {f"j{number}" for number in range(SKIP)} <= skipped
    agent.audit(vm)


@pytest.mark.skipif(not agent.LONG, reason="six boots to compare their times")
def test_a_boot_does_not_pay_for_what_was_missed(vm: VM) -> None:
    """It takes as long as one with the same jobs and nothing missed (decision 0410 has figures).

    Until the host has settled there is no process of ours but the agent.
    """
    vm.write("/etc/hostagent/agent.toml", "")
    vm.set_clock(f"{START:%Y-%m-%d %H:%M:%S}")
    agent.apply(vm, jobs())
    vm.shut_down()
    took: dict[str, list[float]] = {"calm": [], "missed": []}
    for round_ in range(3):
        day = START + timedelta(days=5 * round_)
        for what, clock in (
            ("calm", day + timedelta(minutes=5)),
            ("missed", day + timedelta(days=5)),
        ):
            vm.boot(clock=clock)
            took[what].append(boot_s(vm))
            agent.wait_for_agent(vm, 60)
            assert forks_of(said_of_jobs(vm)) == []
            if what == "missed":
                held = json.loads(vm.succeed("hostagent backlog list --json"))["held"]
                assert len(held) == JOBS - SKIP
                vm.succeed("hostagent backlog abandon --all --reason measured")
            vm.shut_down()
    calm_s, missed_s = (statistics.median(took[what]) for what in ("calm", "missed"))
    print(f"boot: {calm_s:.2f} s of {took['calm']}, with 5 days missed of {JOBS} jobs:")
    print(f"      {missed_s:.2f} s of {took['missed']}: {missed_s / calm_s:.2f} times as long")
