"""A power cut, ten hours off, and then the backlog: the second outage does not come.

Three jobs that need more memory together than there is, and more each than anybody knew, beside
small ones and one that falls due all the time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from vm import VM

from tests.machine import agent

START = datetime(2027, 3, 10, 20, 0, tzinfo=UTC)
SETTINGS = '[gate]\nsettle = "5s"\nstep = 1\ncpu_pressure = 100\ndisk_latency = 10000\n'
"""So that only memory holds: an emulated machine is always busy."""

HEAVY, SMALL = 3, 8

GROW = """#!/usr/bin/python3
# grow FIRST MORE TIMES: takes so many MiB at once, then as many more each second.
import os, sys, time
first, more, times = map(int, sys.argv[1:])
names = ("HOSTAGENT_JOB", "HOSTAGENT_RUN_ID", "HOSTAGENT_TOKEN")
job, run, token = (os.environ[name] for name in names)
def say(what):
    with open("/root/history", "a") as history:
        history.write(f"{what} {job} - {run} {token} {time.time()}\\n")
say("start")
held = [b"x" * (first << 20)]
for _ in range(times):
    time.sleep(1)
    held.append(b"x" * (more << 20))
say("end")
"""


def jobs(first: int, more: int, times: int) -> str:
    """All but the fresh one have been missed; the heavy ones go first."""
    texts = ["[defaults]\njitter = 0\ntimeout = '10min'\ncalendar = 'daily'\n"]
    grow = f'command = "/usr/local/bin/grow {first} {more} {times}"\nlane = "critical"\n'
    texts += [f"[job.heavy{n}]\n{grow}" for n in range(HEAVY)]
    texts += [f'[job.small{n}]\ncommand = "/usr/local/bin/work 0.5"\n' for n in range(SMALL)]
    fresh = 'calendar = "*:*:0/5"\nmissed = "skip"\ncommand = "/usr/local/bin/work"\n'
    return "\n".join([*texts, f"[job.fresh]\n{fresh}"])


def available_mb(vm: VM) -> int:
    """MemAvailable."""
    return int(vm.succeed("grep MemAvailable /proc/meminfo").split()[1]) // 1024


def lines(vm: VM) -> list[agent.Line]:
    """What the jobs wrote outside of the VM."""
    return agent.read_history(vm.history.read_text())


def ended(vm: VM) -> set[str]:
    """The missed jobs that have reached their end."""
    return {line.job for line in lines(vm) if line.what == "end"} - {"fresh"}


def done(rows: list[dict[str, Any]]) -> list[str]:
    """The missed jobs that have succeeded, by the ledger."""
    succeeded = [row["job"] for row in rows if row["outcome"] == "succeeded"]
    return sorted(job for job in succeeded if job != "fresh")


def test_a_storm_after_a_power_cut_is_paid_without_a_second_outage(vm: VM) -> None:
    """No OOM kill, nothing lost, nothing twice but who gave way; fresh runs go on meanwhile."""
    vm.set_clock(f"{START:%Y-%m-%d %H:%M:%S}")
    vm.write("/usr/local/bin/grow", GROW, 0o755)
    vm.write("/etc/hostagent/agent.toml", SETTINGS)
    free = available_mb(vm)
    quarter, step = free // 4, free // 80
    agent.apply(vm, jobs(quarter, step, 12))  # 40 % each, and nobody knows
    vm.succeed("sync")
    vm.crash()
    vm.boot("basic.target", clock=START + timedelta(hours=10))
    since = time.monotonic()
    weights = ""
    while len(ended(vm)) < HEAVY + SMALL:
        assert time.monotonic() < since + 180, lines(vm)
        if not weights and {line.job for line in lines(vm)} & {"heavy0"}:
            weights = vm.succeed("systemctl show -P CPUWeight hostagent-heavy0.service")
        time.sleep(0.5)
    print(f"paid after {time.monotonic() - since:.0f} s, of {free} MiB: {lines(vm)}")
    assert weights == "20\n"
    assert vm.succeed("grep oom_kill /proc/vmstat") == "oom_kill 0\n"

    names = [f"heavy{n}" for n in range(HEAVY)] + [f"small{n}" for n in range(SMALL)]
    rows = agent.wait_for_runs(vm, "", lambda rows: done(rows) == sorted(names), timeout=60)
    gave_way = [r for r in rows if r["outcome"] == "failed" and r["job"] != "fresh"]
    assert 1 <= len(gave_way) < HEAVY, gave_way
    for row in gave_way:
        assert (row["result"], row["attempt"]) == ("gate-stopped", 1)
        assert "is under 5 % of RAM" in row["reason"]
    fresh = [line for line in lines(vm) if line.job == "fresh" and line.what == "start"]
    assert len(fresh) >= 4
    agent.audit(vm)
    assert "bug in hostagent" not in vm.journal("hostagent.service")
