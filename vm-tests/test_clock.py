"""Clock steps: what a step makes due, and what it must not start (promises 1, 2, 3 and 5)."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

from vm import VM

from tests.machine import agent

START = "2027-03-10 12:34:20"  # far from every occurrence of the slow jobs
ANCHOR = datetime(2027, 3, 1, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)

JOBS = """
[defaults]
command = "/usr/local/bin/work"
jitter = 0

[job.daily]
calendar = "daily"

[job.daily-skip]
calendar = "daily"
missed = "skip"

[job.hourly]
calendar = "hourly"

[job.hourly-all]
calendar = "hourly"
missed = "all"
catch_up_window = "3h"

[job.interval]
every = "24h"
anchor = "2027-03-01T06:00:00Z"

[job.often]
calendar = "*:*:0/6"
"""


def started(vm: VM, job: str, count: int) -> None:
    """Wait until ``job`` has started that often; asked outside of the VM, at no cost to it."""
    end = time.monotonic() + 90
    while starts(vm)[job] < count:
        assert time.monotonic() < end, f"{job} has not started {count} times: {starts(vm)}"
        time.sleep(0.2)


def starts(vm: VM) -> Counter[str]:
    """How often each job has started, by what the jobs wrote outside of the VM."""
    lines = agent.read_history(vm.history.read_text())
    agent.check_history(lines)
    return Counter(line.job for line in lines if line.what == "start")


def after(vm: VM, before: Counter[str], seconds: float) -> Counter[str]:
    """What has started since ``before``, once ``seconds`` have passed, but for the job `often`."""
    time.sleep(seconds)
    new = starts(vm) - before
    del new["often"]
    return new


def test_a_step_starts_what_the_calendar_names_and_nothing_twice(vm: VM) -> None:
    """One day forward, one back, forward again: each occurrence once, none in time already run."""
    vm.set_clock(START)
    agent.apply(vm, JOBS)
    started(vm, "often", 2)
    assert set(starts(vm)) == {"often"}

    # Forward: what fell due meanwhile was missed, and each job's policy says what becomes of it.
    before = starts(vm)
    vm.set_clock("+1 day")
    missed = {"daily": 1, "hourly": 1, "hourly-all": 3, "interval": 1}
    for job, count in missed.items():
        started(vm, job, count)
    started(vm, "often", before["often"] + 3)
    assert after(vm, before, 2) == missed
    agent.audit(vm)
    (skipped,) = agent.runs(vm, "daily-skip")
    assert (skipped["outcome"], skipped["scheduled_for"]) == ("skipped", "2027-03-11T00:00:00Z")

    # Back: that day has been run. Nothing starts in it again, not even after a restart.
    vm.succeed("systemctl stop 'hostagent-often.timer'; systemctl start 'hostagent-often.timer'")
    before = starts(vm)
    vm.set_clock("-1 day")
    back_at = len(agent.read_history(vm.history.read_text()))
    assert after(vm, before, 8) == {}
    due = agent.next_of(vm, "interval")
    assert (due - ANCHOR) % DAY == timedelta(0)
    vm.succeed("systemctl restart hostagent.service 'hostagent-*.timer'; systemctl daemon-reload")
    assert after(vm, before, 8) == {}
    agent.audit(vm)
    lines = agent.read_history(vm.history.read_text())[back_at:]
    assert [line for line in lines if line.what == "start"] == []

    # Forward again: the present is where it was, and goes on.
    before = starts(vm)
    vm.set_clock("+1 day")
    started(vm, "often", before["often"] + 2)
    assert after(vm, before, 0) == {}
    agent.audit(vm)
    assert (agent.next_of(vm, "interval") - ANCHOR) % DAY == timedelta(0)
    assert "bug in hostagent" not in vm.journal("hostagent.service")
