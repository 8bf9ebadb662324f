"""A range of a job's past is run by order of a person, under a real PID 1."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from typing import Any

from tests.machine import agent
from tests.machine.machine import Machine

JOB = """
[job.past]
command = "/usr/local/bin/work {takes}"
calendar = "{calendar}"
jitter = 0
"""
TEN = "*:0/10"


def asked(machine: Machine, options: str) -> list[dict[str, Any]]:
    """What ``hostagent backfill`` says that it runs."""
    due: list[dict[str, Any]] = json.loads(
        machine.succeed(f"hostagent backfill past {options} --json")
    )
    return due


def backlog(machine: Machine) -> list[dict[str, Any]]:
    """The backfills under way."""
    told: list[dict[str, Any]] = json.loads(machine.succeed("hostagent backlog list --json"))[
        "backfills"
    ]
    return told


def backfilled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The backfill's runs, in the order in which they began."""
    found = [row for row in rows if row["kind"] == "backfill"]
    return sorted(found, key=lambda row: str(row["started_at"]))


def test_a_range_is_run_oldest_first_and_once(machine: Machine) -> None:
    """What --dry-run lists, one after the other; what has succeeded is not run again."""
    agent.with_agent(machine, JOB.format(takes=0.2, calendar=TEN))
    listed = asked(machine, "--from 1h --dry-run")
    assert 5 <= len(listed) <= 7
    assert agent.runs(machine) == []
    due = [one["scheduled_for"] for one in asked(machine, "--from 1h")]
    assert set(due) <= {one["scheduled_for"] for one in listed}
    rows = backfilled(agent.wait_for_runs(machine, "past", agent.ended(len(due))))
    assert [row["scheduled_for"] for row in rows] == due == sorted(due)
    assert {row["outcome"] for row in rows} == {"succeeded"}
    assert all(a["ended_at"] <= b["started_at"] for a, b in pairwise(rows))
    assert "backfill by uid 0" in rows[0]["admission"]
    assert rows[0]["run_id"].endswith(".backfill")
    machine.wait_until("hostagent backlog list --json | grep -q '\"backfills\": \\[\\]'")
    assert asked(machine, "--from 1h --to 10s --dry-run") == []
    assert "Nothing is left" in machine.succeed("hostagent backfill past --from 1h --to 10s")
    (event,) = json.loads(machine.succeed("hostagent audit-log past --json"))
    assert (event["action"], event["target"]) == ("backfill", "job past")
    agent.check_history(agent.history(machine))
    agent.audit(machine)


def test_a_backfill_costs_no_scheduled_occurrence(machine: Machine) -> None:
    """What falls due beside a run of it comes right after, though overlap is "skip"."""
    agent.with_agent(machine, JOB.format(takes=1.2, calendar="*:*:0/4"))
    due = asked(machine, "--from 40s")
    assert len(due) >= 9
    rows = agent.wait_for_runs(machine, "past", agent.ended(len(due) + 5), timeout=60)
    scheduled = [row for row in rows if row["kind"] == "scheduled" and row["outcome"]]
    assert len(scheduled) >= 3
    assert {row["outcome"] for row in scheduled} == {"succeeded"}
    assert not any("catch-up" in row["admission"] for row in scheduled)
    assert len(backfilled(rows)) == len(due)
    machine.succeed(agent.PAUSED)
    agent.audit(machine)
    agent.check_history(agent.history(machine))


def test_a_backfill_outlives_the_agent_and_is_given_up(machine: Machine) -> None:
    """After a kill it goes on, nothing twice; once given up, nothing of it starts any more."""
    agent.with_agent(machine, JOB.format(takes=0.7, calendar="*:0/2"))
    due = [one["scheduled_for"] for one in asked(machine, "--from 2h")]
    assert len(due) >= 59
    assert "is being backfilled" in machine.fail("hostagent backfill past --from 1h")
    agent.wait_for_runs(machine, "past", agent.ended(2))
    agent.kill_agent(machine)
    agent.wait_for_agent(machine)
    rows = agent.wait_for_runs(machine, "past", agent.ended(4))
    begun = [row["scheduled_for"] for row in backfilled(rows)]
    assert begun == due[: len(begun)]
    (one,) = backlog(machine)
    assert 0 < one["left"] < len(due)
    assert "backfill: past, " in machine.succeed("hostagent backlog list")
    told = machine.succeed("hostagent backlog abandon past --reason 'not needed'")
    assert "backfill of past: " in told
    assert backlog(machine) == []
    agent.wait_for_runs(machine, "past", lambda rows: all(row["outcome"] for row in rows))
    begun_by_now = len(backfilled(agent.runs(machine, "past")))
    time.sleep(2)
    assert len(backfilled(agent.runs(machine, "past"))) == begun_by_now
    agent.check_history(agent.history(machine))


def test_a_backfill_waits_while_its_job_is_paused(machine: Machine) -> None:
    """Nothing of it is skipped for that: it goes on when the pause ends."""
    agent.with_agent(machine, JOB.format(takes=0, calendar=TEN))
    machine.succeed("hostagent pause past --until 4s --reason later")
    due = asked(machine, "--from 1h")
    time.sleep(1.5)
    assert agent.history(machine) == []
    (one,) = backlog(machine)
    assert one["left"] == len(due)
    rows = agent.wait_for_runs(machine, "past", agent.ended(len(due)))
    assert {row["outcome"] for row in backfilled(rows)} == {"succeeded"}


def test_only_what_has_failed_or_only_what_is_missing(machine: Machine) -> None:
    """After a first backfill that failed half-way: the two halves."""
    failing = JOB.format(takes=0, calendar=TEN).replace(
        "/usr/local/bin/work 0", "/bin/sh -c 'test -e /root/mended'"
    )
    agent.with_agent(machine, failing)
    older = asked(machine, "--from 1h --to 30min")
    agent.wait_for_runs(machine, "past", agent.ended(len(older)))
    machine.wait_until("hostagent backlog list --json | grep -q '\"backfills\": \\[\\]'")
    machine.succeed("touch /root/mended")
    missing = asked(machine, "--from 1h --only missing --dry-run")
    failed = asked(machine, "--from 1h --only failed")
    assert failed == older
    assert not {one["scheduled_for"] for one in missing} & {one["scheduled_for"] for one in older}
    rows = agent.wait_for_runs(machine, "past", agent.ended(len(older), "succeeded"))
    assert len(rows) == 2 * len(older)


def test_what_cannot_be_backfilled_says_why(machine: Machine) -> None:
    """Bad input is exit 2; a job that names no instants, a range with too many, exit 3."""
    boot = '[job.boot]\ncommand = "/bin/true"\non_boot = true\nrun_on = "each"\n'
    agent.with_agent(machine, JOB.format(takes=0, calendar="*:*:*") + boot)
    for options in (
        "past --from nonsense",
        "past --from 1h --only skipped",
        "past --from 1h --to 2h",
    ):
        assert machine.run(f"hostagent backfill {options}").returncode == 2, options
    assert "names no instants" in machine.fail("hostagent backfill boot --from 1h")
    said = machine.fail("hostagent backfill past --from 30d")
    assert "more than 10000 occurrences" in said
    assert 'there is no job "none"' in machine.fail("hostagent backfill none --from 1h")
    as_nobody = "runuser -u nobody -- hostagent backfill past --from 1h"
    assert "may not change" in machine.fail(as_nobody)
