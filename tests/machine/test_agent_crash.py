"""Promises 1, 2 and 6 under kills: of the agent, of jobs, of both, of the whole machine."""

from __future__ import annotations

import random
import time

import pytest

from tests.machine import agent
from tests.machine.machine import Machine

SHORT = """
[defaults]
quarantine_after = 1000                # they are killed on purpose

[job.five]
command = "/usr/local/bin/work 5"
calendar = "*:*:0/6"
jitter = 0
timeout = "30s"

[job.fails]
command = "/bin/sh -c 'work 1; exit 3'"
calendar = "*:*:0/4"
jitter = 0

[job.queues]
command = "/usr/local/bin/work 1.5"
calendar = "*:*:0/3"
jitter = 0
overlap = "queue"
missed = "all"

[job.scopes]
command = "/usr/local/bin/work 0.5"
calendar = "*:*:0/5"
jitter = 0
for_each = ["eu", "us"]
"""


def settle_down(machine: Machine) -> None:
    """No new runs, and those that are under way end."""
    agent.wait_for_agent(machine)
    machine.succeed(agent.PAUSED)
    agent.wait_for_runs(machine, "", lambda rows: all(row["outcome"] for row in rows), timeout=30)


def check(machine: Machine) -> None:
    """What the jobs wrote and what the ledger says agree; nothing is lost, nothing doubled."""
    settle_down(machine)
    agent.audit(machine)
    lines = agent.history(machine)
    agent.check_history(lines)
    rows = {row["run_id"]: row for row in agent.runs(machine)}
    for line in lines:
        assert rows[line.run_id]["token"] == line.token, line
    finished = {line.run_id for line in lines if line.what == "end"}
    for run_id, row in rows.items():
        if row["outcome"] == "succeeded":
            assert run_id in finished, row
        if run_id in finished and row["job"] != "fails":
            assert row["outcome"] == "succeeded", row


@pytest.mark.parametrize("victim", ["agent", "jobs", "both"] if agent.LONG else ["both"])
def test_kills_lose_nothing_and_double_nothing(machine: Machine, victim: str) -> None:
    """kill -9 at random instants: each occurrence keeps one outcome, no run begins twice."""
    seed = random.randrange(2**32)
    print(f"SEED={seed}")
    chance = random.Random(seed)
    agent.with_agent(machine, SHORT)
    for _ in range(50 if agent.LONG else 8):
        time.sleep(chance.uniform(0, 1.5))
        if victim != "jobs":
            agent.kill_agent(machine)
        if victim != "agent":
            machine.run("systemctl kill -s KILL 'hostagent-*.service'")
    check(machine)
    assert "bug in hostagent" not in machine.journal("hostagent.service")
    rows = agent.runs(machine)
    print(f"{len(rows)} rows, {len(agent.history(machine))} lines")
    assert {row["outcome"] for row in rows} <= {"succeeded", "failed", "skipped"}
    if victim == "agent":
        assert not [row for row in rows if "unknown" in (row["result"] or "")]


def test_a_run_that_ends_while_no_agent_is_up_is_recorded_from_the_journal(
    machine: Machine,
) -> None:
    """After an absence PID 1's journal says how a run ended: status, signal, time."""
    agent.with_agent(machine, IDLE.format("good", "0.5") + IDLE.format("bad", "0.5; exit 7"))
    machine.succeed("hostagent run good; hostagent run bad; systemctl stop hostagent.service")
    machine.succeed("sleep 1; systemctl start hostagent.service")
    (good,) = agent.wait_for_runs(machine, "good", agent.ended(1))
    (bad,) = agent.wait_for_runs(machine, "bad", agent.ended(1))
    assert (good["outcome"], good["result"]) == ("succeeded", "success")
    assert (bad["outcome"], bad["exit_code"]) == ("failed", 7)
    for row in (good, bad):
        lasted = agent.instant(row["ended_at"]) - agent.instant(row["started_at"])
        assert 0.4 < lasted.total_seconds() < 0.95
    assert len(agent.history(machine)) == 4, "neither ran again"


IDLE = """
[job.{0}]
command = "/bin/bash -c 'work {1}'"
calendar = "2099-01-01"
"""


def test_a_power_cut_fails_what_ran_and_runs_nothing_again(machine: Machine) -> None:
    """After a crash of the host its runs are failed, and only what the policy owes is run."""
    jobs = IDLE.format("long", "60") + SHORT
    agent.with_agent(machine, jobs)
    machine.succeed("hostagent run long")
    agent.wait_for_runs(machine, "", lambda rows: sum(not row["outcome"] for row in rows) >= 3)
    time.sleep(0.3)
    before = {row["run_id"] for row in agent.runs(machine) if not row["outcome"]}
    machine.crash()
    time.sleep(3)
    machine.boot()
    agent.wait_for_agent(machine)
    rows = {row["run_id"]: row for row in agent.runs(machine)}
    (long,) = (row for row in rows.values() if row["job"] == "long")
    assert long["outcome"] == "failed"
    assert long["reason"].startswith("the host went down while it ran")
    for run_id in before:
        assert rows[run_id]["outcome"] in {"failed", "succeeded"}, rows[run_id]
    time.sleep(4)
    settle_down(machine)
    agent.audit(machine)
    agent.check_history(agent.history(machine))


def test_an_orderly_reboot_loses_no_occurrence(machine: Machine) -> None:
    """What a shutdown stops is failed; what fell due meanwhile is caught up or accounted for."""
    agent.with_agent(machine, SHORT)
    for _ in range(5 if agent.LONG else 1):
        time.sleep(3)
        machine.reboot()
    time.sleep(3)
    check_after_signals(machine)
    assert "host-lost" not in {row["result"] for row in agent.runs(machine)}


def check_after_signals(machine: Machine) -> None:
    """As ``check``, where jobs were stopped by TERM and may have written their end all the same."""
    settle_down(machine)
    agent.audit(machine)
    agent.check_history(agent.history(machine))
    assert not [row for row in agent.runs(machine) if row["result"] == "unknown"]


DISTURBANCES = (
    "systemctl daemon-reload",
    "systemctl daemon-reexec",
    "systemctl restart dbus.service",
    "systemctl restart systemd-journald.service",
    "systemctl restart hostagent.service",
    "systemctl reload hostagent.service",
    "systemctl restart 'hostagent-*.timer'",
)


def test_the_agent_goes_on_through_every_disturbance(machine: Machine) -> None:
    """Whatever is reloaded or restarted around it, runs end with their outcome, each once."""
    agent.with_agent(machine, SHORT)
    for _ in range(10 if agent.LONG else 1):
        for command in DISTURBANCES:
            time.sleep(1.3)
            machine.succeed(command)
        machine.succeed("systemctl reset-failed")  # the start limits of what was restarted
    check(machine)
    rows = agent.runs(machine)
    assert not [row for row in rows if row["outcome"] == "failed" and row["job"] != "fails"]


def test_a_renamed_host_knows_what_it_ran(machine: Machine) -> None:
    """Its own ledger has no other host's runs, whatever it was called when they began."""
    agent.with_agent(machine, IDLE.format("short", "3") + IDLE.format("long", "60"))
    machine.succeed("hostagent run short; hostagent run long")
    rename(machine, "second")
    (short,) = agent.wait_for_runs(machine, "short", agent.ended(1))
    assert short["outcome"] == "succeeded"
    machine.crash()
    rename(machine, "third")
    (long,) = agent.wait_for_runs(machine, "long", agent.ended(1))
    assert long["reason"].startswith("the host went down while it ran"), long
    machine.succeed("hostagent run long")


def rename(machine: Machine, name: str) -> None:
    """Have the agent start under another name, with the machine if that is off."""
    if not machine.is_up:
        machine.boot()
    machine.write("/etc/hostagent/agent.toml", f'host = "{name}"\n{agent.SETTLE_NOT}')
    machine.succeed("systemctl restart hostagent.service")
    agent.wait_for_agent(machine)
