"""Interleavings that a test arranges by hand: each once left a run lost, doubled or open."""

from __future__ import annotations

import time

import pytest

from tests.machine import agent
from tests.machine.images import VENV
from tests.machine.machine import Machine

GATE = "/var/lib/hostagent/state.db.gate"

IDLE = """
[job.idle]
command = "/usr/local/bin/work"
calendar = "2099-01-01"
"""

CLAIM = f"""{VENV}/bin/python3 -c '
import sys
from datetime import UTC, datetime
from pathlib import Path
from hostagent.host import identity
from hostagent.model import Kind
from hostagent.store.open import open_store
from hostagent.store.port import Claimed, Want

store = open_store("sqlite:///var/lib/hostagent/state.db")
session = Path("/run/hostagent/session").read_text()
session = store.open_session(identity.host_name(), identity.boot_id(), session)
[cursor] = store.cursors()
now = datetime.now(UTC)
want = Want(cursor.job, "", cursor.spec_hash, Kind.MANUAL, now.replace(microsecond=0), "test", now)
[answer] = store.claim(session, [want])
assert isinstance(answer, Claimed), answer
print(answer.run.run_id)
'"""
"""What an agent has done that dies between its claim and its order to PID 1."""


def test_a_claim_whose_start_was_never_ordered_is_started_by_the_next_agent(
    machine: Machine,
) -> None:
    """An agent that dies between claim and start loses nothing, even when the run before failed."""
    agent.with_agent(machine, IDLE.replace("/usr/local/bin/work", "/bin/sh -c 'work; exit 3'"))
    machine.fail("hostagent run idle --wait")
    machine.succeed("systemctl is-failed hostagent-idle.service; systemctl kill -s KILL hostagent")
    machine.succeed("systemctl stop hostagent.service")
    run_id = machine.succeed(CLAIM).strip()
    machine.succeed("systemctl start hostagent.service")
    agent.wait_for_runs(machine, "idle", agent.ended(2))
    assert [line.run_id for line in agent.history(machine) if line.what == "start"][1:] == [run_id]


@pytest.mark.parametrize("give_up", ["pkill -KILL -f [a]dmit", "systemctl stop hostagent-idle"])
def test_a_start_that_is_given_up_while_the_store_is_busy_gets_its_end(
    machine: Machine, give_up: str
) -> None:
    """A claim for a start that PID 1 gave up meanwhile is not open for ever."""
    agent.with_agent(machine, IDLE)
    machine.succeed(f"systemd-run -q --unit=busy flock {GATE} sleep 2")
    machine.succeed("sleep 0.3; systemctl start --no-block hostagent-idle; sleep 0.4")
    machine.run(give_up)
    machine.run("sleep 2.5")
    assert agent.status(machine)["running"] == []
    assert [row["outcome"] for row in agent.runs(machine)].count(None) == 0


def test_a_store_that_is_busy_when_a_run_ends_gets_the_end_later(machine: Machine) -> None:
    """What the store refuses is tried again: no run stays open because a write failed once."""
    agent.with_agent(machine, IDLE.replace("work", "work 1"))
    machine.succeed("hostagent run idle")
    machine.succeed(f"sleep 0.5; systemd-run -q --unit=busy flock {GATE} sleep 7")
    [row] = agent.wait_for_runs(machine, "idle", agent.ended(1), timeout=20)
    assert row["outcome"] == "succeeded"


def test_an_occurrence_is_not_lost_when_the_store_is_busy_as_it_falls_due(machine: Machine) -> None:
    """An admission that the store refused is made up for, once."""
    due = time.time() + 4
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(due))
    agent.with_agent(machine, IDLE.replace("2099-01-01", at))
    machine.succeed(f"systemd-run -q --unit=busy flock {GATE} sleep {due - time.time() + 7:.1f}")
    agent.wait_for_runs(machine, "idle", agent.ended(1, "succeeded"), timeout=30)
    agent.check_history(agent.history(machine))
    assert len(agent.history(machine)) == 2
    assert agent.audit(machine)["settled"] == 1


def test_a_run_of_a_removed_job_is_seen_to_its_end(machine: Machine) -> None:
    """Removing a job lets its run go on, and the run gets its outcome; also after a restart."""
    two = IDLE + IDLE.replace("idle", "other")
    agent.with_agent(machine, two.replace("work", "work 4"))
    machine.succeed("hostagent run idle; hostagent run other; sleep 0.3")
    agent.apply(machine, IDLE)
    agent.kill_agent(machine)
    [row] = agent.wait_for_runs(machine, "other", agent.ended(1))
    assert row["outcome"] == "succeeded"


def test_two_manual_runs_in_one_second_are_two_runs(machine: Machine) -> None:
    """Each call of ``hostagent run`` is told the id of its own run, queued ones too."""
    queue = IDLE.replace("work", "work 0.4") + 'overlap = "queue"\n'
    agent.with_agent(machine, queue)
    out = machine.succeed(
        "for i in 1 2 3; do hostagent run idle --wait --json >/tmp/$i & done; wait;"
        " cat /tmp/1 /tmp/2 /tmp/3",
        timeout=30,
    )
    told = sorted(line.split('"')[3] for line in out.splitlines() if "run_id" in line)
    assert told == sorted(row["run_id"] for row in agent.runs(machine))
    assert len(set(told)) == 3


def test_a_run_whose_unit_is_masked_meanwhile_ends_as_it_ended(machine: Machine) -> None:
    """What becomes of a unit's file while it runs changes nothing about how the run ended."""
    agent.with_agent(machine, IDLE.replace("work", "work 1"))
    machine.succeed("hostagent run idle; sleep 0.3")
    machine.succeed("ln -sf /dev/null /etc/systemd/system/hostagent-idle.service")
    machine.succeed("systemctl daemon-reload")
    (row,) = agent.wait_for_runs(machine, "idle", agent.ended(1))
    assert row["outcome"] == "succeeded"
    assert len(agent.history(machine)) == 2


def test_who_waits_for_a_queued_run_of_a_removed_job_is_told(machine: Machine) -> None:
    """A queued manual run that can never be is no wait without an end."""
    queue = IDLE.replace("work", "work 2") + 'overlap = "queue"\n'
    agent.with_agent(machine, queue)
    machine.succeed("hostagent run idle")
    machine.succeed("systemd-run -q --unit=waits -p RemainAfterExit=yes hostagent run idle --wait")
    machine.succeed("sleep 0.7")
    agent.apply(machine, IDLE.replace("idle", "other"))
    machine.wait_until("systemctl show -P SubState waits | grep -q -e failed -e exited", timeout=6)
    assert [row["outcome"] for row in agent.runs(machine)] == ["succeeded"]


def test_applies_while_jobs_run_disturb_none(machine: Machine) -> None:
    """Apply after apply beside occurrences and runs: none is lost, doubled or cut short."""
    jobs = IDLE.replace("2099-01-01", "*:*:*").replace("work", "work 0.3") + "jitter = 0\n"
    agent.with_agent(machine, jobs)
    for number in range(20 if agent.LONG else 5):
        agent.apply(machine, jobs + f'description = "{number}"\n')
    machine.succeed("hostagent pause idle --reason enough; sleep 1")
    rows, lines = agent.runs(machine), agent.history(machine)
    agent.check_history(lines)
    assert {row["outcome"] for row in rows} <= {"succeeded", "skipped"}
    assert not [r for r in rows if r["outcome"] == "skipped" and "paused" not in r["reason"]]
    assert len([line for line in lines if line.what == "end"]) == len(lines) / 2
    agent.audit(machine)


def test_a_start_in_its_admission_when_the_agent_dies_runs_once(machine: Machine) -> None:
    """The client hangs up, PID 1 skips the start, and the next agent starts the claim again."""
    agent.with_agent(machine, IDLE)
    for _ in range(20 if agent.LONG else 5):
        machine.succeed("systemctl start --no-block hostagent-idle")
        agent.kill_agent(machine)
        agent.wait_for_agent(machine)
    agent.wait_for_runs(machine, "idle", lambda rows: all(row["outcome"] for row in rows))
    agent.check_history(agent.history(machine))
    started = {line.run_id for line in agent.history(machine) if line.what == "start"}
    assert started == {row["run_id"] for row in agent.runs(machine)}
