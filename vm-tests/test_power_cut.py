"""Power cuts at random instants: the ledger is whole, and nothing is lost or run twice."""

from __future__ import annotations

import random
import time
from datetime import datetime
from typing import Any

from vm import VM

from tests.machine import agent

JOBS = """
[defaults]
jitter = 0
timeout = "2min"  # an emulated machine is slow
quarantine_after = 1000  # it is not the jobs that bring the machine down

[job.latest]
command = "/usr/local/bin/work 1"
calendar = "*:*:0/6"

[job.all]
command = "/usr/local/bin/work 0.2"
calendar = "*:*:0/10"
missed = "all"

[job.skip]
command = "/usr/local/bin/work"
calendar = "*:*:0/8"
missed = "skip"

[job.long]
command = "/usr/local/bin/work 100"
calendar = "*:*:0/15"
missed = "skip"  # as a catch-up run it would hold those of the others for its 100 s
"""

UP = "basic.target"
"""What a boot is waited for; PID 1 has not finished before ``long`` has."""

FRESH_FOR_S = 15.0
START_S = 5.0
"""What a start may take in an emulated machine, from its admission to the job's first line."""

# mode=rw: a ledger that is not there is an error, not a new, empty, sound one.
WHOLE = """/opt/hostagent/venv/bin/python3 -c '
import sqlite3
ledger = sqlite3.connect("file:/var/lib/hostagent/state.db?mode=rw", uri=True)
print(*ledger.execute("pragma integrity_check"), *ledger.execute("pragma foreign_key_check"))
'"""


def lines(vm: VM) -> list[agent.Line]:
    """What the jobs wrote outside of the VM, which no power cut of it can take back."""
    return agent.read_history(vm.history.read_text())


def wait_for_start(vm: VM, job: str, due_since: float) -> None:
    """Wait until an occurrence of ``job`` that fell due after ``due_since`` has started."""
    end = time.monotonic() + 120
    while not any(
        line.what == "start" and line.job == job and due(line.run_id) > due_since
        for line in lines(vm)
    ):
        assert time.monotonic() < end, f"{job} does not start again: {lines(vm)[-9:]}"
        time.sleep(0.1)


def due(run_id: str) -> float:
    """When a scheduled run fell due, in seconds since the epoch, as its id says."""
    return datetime.strptime(run_id.split(".")[1] + "+0000", "%Y%m%dT%H%M%SZ%z").timestamp()


def check(vm: VM) -> None:
    """What the jobs wrote outside and what the ledger holds agree."""
    assert vm.succeed(WHOLE) == "('ok',)\n"
    vm.succeed("hostagent pause --host --reason 'end of the test'")
    vm.run("systemctl stop hostagent-long.service")
    found = agent.wait_for_runs(vm, "", lambda rows: all(r["outcome"] for r in rows), timeout=30)
    agent.audit(vm)
    written = lines(vm)
    agent.check_history(written)
    rows = {row["run_id"]: row for row in found}
    finished = {line.run_id for line in written if line.what == "end"}
    for line in written:
        check_line(line, rows.get(line.run_id), line.run_id in finished)
    for row in found:
        assert row["outcome"] != "succeeded" or row["run_id"] in finished, row


def check_line(line: agent.Line, row: dict[str, Any] | None, is_finished: bool) -> None:
    """A start that the ledger forgot, or an end that it invented, would be the power cut's."""
    assert row is not None, f"{line} is not in the ledger"
    assert row["token"] == line.token, (line, row)
    if not is_finished and line.job != "long":
        assert row["outcome"] == "failed", row
    if row["outcome"] == "failed" and line.job != "long":
        assert row["reason"].startswith("the host went down while it ran"), row
    if line.job == "skip" and line.what == "start":
        assert line.at <= due(line.run_id) + FRESH_FOR_S + START_S, row


def test_power_cuts_lose_nothing_and_double_nothing(vm: VM) -> None:
    """After each cut: runs that ran are failed, the missed ones go by their policy, all once."""
    seed = random.randrange(2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    vm.set_clock(f"@{time.time():.3f}")  # from here on the VM's clock is the host's
    agent.apply(vm, JOBS)
    since = time.time()
    wait_for_start(vm, "long", since)  # the first cut hits a run, wherever it falls
    for _ in range(20 if agent.LONG else 2):
        wait_for_start(vm, chance.choice(["latest", "all", "skip"]), since)
        time.sleep(chance.uniform(0, 1.5))
        vm.crash()
        vm.boot(UP)
        since = time.time()
    # The oldest go first: with this start all that was missed of the job has had its turn.
    wait_for_start(vm, "all", since)
    wait_for_start(vm, "latest", since)
    check(vm)
    rows = agent.runs(vm)
    lost = [row for row in rows if row["reason"].startswith("the host went down")]
    assert lost, "no cut has hit a run"
    assert not [r for r in rows if r["job"] == "all" and "missed" in r["reason"][:6]]
    print(f"{len(rows)} rows, {len(lost)} cut, {len(lines(vm))} lines")
    assert "bug in hostagent" not in vm.journal("hostagent.service")
