"""What the keys of a job promise on one host, under a real PID 1."""

from __future__ import annotations

import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

from tests.machine import agent
from tests.machine.machine import Machine

EVERY = """
[job.{name}]
command = "/usr/local/bin/work {takes}"
calendar = "{calendar}"
jitter = 0
timeout = "20s"
{more}
"""


def job(takes: float = 0, more: str = "", name: str = "tick", calendar: str = "*:*:0/2") -> str:
    """A job of every second second."""
    return EVERY.format(takes=takes, more=more, name=name, calendar=calendar)


def of(rows: list[dict[str, Any]], outcome: str) -> list[dict[str, Any]]:
    """The rows with this outcome."""
    return [row for row in rows if row["outcome"] == outcome]


OVERLAPS = ("skip", "queue", "replace")


def test_overlap_on_one_host(machine: Machine) -> None:
    """skip: not beside a run; queue: right after it; replace: instead of it. Never two at once."""
    agent.with_agent(machine, "".join(job(2.5, f'overlap = "{o}"', name=o) for o in OVERLAPS))
    agent.wait_for_runs(machine, "queue", agent.ended(4), timeout=30)
    machine.succeed("hostagent pause --host --reason enough")
    agent.check_history(agent.history(machine))
    starts = {
        o: [line.at for line in agent.history(machine, o) if line.what == "start"] for o in OVERLAPS
    }
    rows = {o: agent.runs(machine, o) for o in OVERLAPS}

    assert "is still running" in of(rows["skip"], "skipped")[0]["reason"]
    assert all(3.5 < b - a < 4.9 for a, b in pairwise(starts["skip"])), starts
    assert not of(rows["skip"], "abandoned")

    assert all(2.4 < b - a < 3.8 for a, b in pairwise(starts["queue"])), starts

    assert "replaced by the occurrence" in of(rows["replace"], "abandoned")[0]["reason"]
    *replaced, _ = [line for line in agent.history(machine, "replace") if line.what == "start"]
    ended = {line.run_id for line in agent.history(machine, "replace") if line.what == "end"}
    assert not ended & {line.run_id for line in replaced}  # the last one nobody replaces: a pause
    assert all(1.2 < b - a < 2.8 for a, b in pairwise(starts["replace"])), starts
    agent.audit(machine)


def test_overlap_of_manual_runs(machine: Machine) -> None:
    """A manual run obeys overlap as an occurrence does."""
    never = "2099-01-01"
    jobs = [job(1.5, f'overlap = "{o}"', name=o, calendar=never) for o in OVERLAPS]
    agent.with_agent(machine, "".join(jobs))
    for overlap in OVERLAPS:
        machine.succeed(f"hostagent run {overlap}; sleep 0.3")
        if overlap == "skip":
            assert "is active" in machine.fail("hostagent run skip --wait")
            continue
        machine.succeed(f"hostagent run {overlap} --wait")
        first, second = agent.runs(machine, overlap)
        assert second["outcome"] == "succeeded"
        assert first["outcome"] == ("succeeded" if overlap == "queue" else "abandoned")
        assert second["started_at"] > first["ended_at"]


def test_a_start_past_its_deadline_is_skipped(machine: Machine) -> None:
    """What comes later than start_deadline is skipped: one record for all, with their figures."""
    agent.with_agent(machine, job(more='start_deadline = "3s"'))
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    machine.succeed("systemctl stop hostagent.service; sleep 12; systemctl start hostagent.service")
    rows = agent.wait_for_runs(machine, "tick", lambda rows: bool(of(rows, "skipped")))
    (skipped,) = of(rows, "skipped")
    assert skipped["covers"] >= 4
    assert " to " in skipped["reason"]
    assert "allowed are 3s" in skipped["reason"]
    agent.audit(machine)


def test_as_many_missed_ones_run_as_catch_up_max_allows(machine: Machine) -> None:
    """The older ones are one record; of what is left, none is dropped while the chain goes."""
    agent.with_agent(machine, job(more='missed = "all"\ncatch_up_max = 5'))
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    machine.succeed("systemctl stop hostagent.service 'hostagent-*.timer'; sleep 30")
    left = len(agent.runs(machine, "tick"))
    machine.succeed("systemctl start hostagent.service")
    rows = agent.wait_for_runs(machine, "tick", agent.ended(left + 8))[left:]
    (dropped,) = of(rows, "skipped")
    assert "were missed, allowed are 5" in dropped["reason"]
    ran = [agent.instant(row["scheduled_for"]) for row in rows if row["attempt"]]
    assert {b - a for a, b in pairwise(ran)} == {timedelta(seconds=2)}
    late = [row for row in rows if 'missed = "all"' in row["admission"]]
    assert len(late) >= 5
    agent.audit(machine)


def test_what_fell_due_while_no_agent_was_up(machine: Machine) -> None:
    """After an absence: skip runs none of it, latest once for all, all each, oldest first.

    What failed is tried again before the next one that was missed.
    """
    policies = ("skip", "latest", "all")
    jobs = "".join(job(more=f'missed = "{m}"', name=m) for m in policies)
    again = job(more='missed = "all"\nretries = 1\nbackoff = ["1s"]', name="again")
    second = "/bin/sh -c 'test $HOSTAGENT_ATTEMPT = 2'"
    agent.with_agent(machine, jobs + again.replace("/usr/local/bin/work 0", second))
    agent.wait_for_runs(machine, "", agent.ended(5))
    machine.succeed("systemctl stop hostagent.service 'hostagent-*.timer'; sleep 20")
    left = {m: len(agent.runs(machine, m)) for m in (*policies, "again")}
    machine.succeed("systemctl start hostagent.service")
    time.sleep(2.5)
    rows = {m: agent.runs(machine, m)[left[m] :] for m in left}

    ran = [row for row in rows["all"] if row["attempt"]]
    assert len(ran) >= 9
    dues = [agent.instant(row["scheduled_for"]) for row in ran]
    assert {b - a for a, b in pairwise(dues)} == {timedelta(seconds=2)}

    latest = [row for row in rows["latest"] if row["attempt"]]
    assert latest[0]["covers"] >= 9
    assert len(latest) <= 2

    assert rows["skip"][0]["outcome"] == "skipped"
    assert 'missed = "skip"' in rows["skip"][0]["reason"]

    attempts = [row["attempt"] for row in sorted(rows["again"], key=lambda row: row["token"])]
    assert len(attempts) >= 3
    assert attempts == [1 + number % 2 for number in range(len(attempts))]
    assert not [row for row in rows["again"] if "superseded" in row["reason"]]
    agent.audit(machine)
    agent.check_history(agent.history(machine))


def test_a_latest_run_carries_the_range_it_stands_for(machine: Machine) -> None:
    """HOSTAGENT_MISSED_FROM, _TO and _COUNT say what a catch-up run stands for."""
    agent.with_agent(machine, job().replace("/usr/local/bin/work 0", "/bin/sh -c 'env >/root/env'"))
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    machine.succeed("systemctl stop hostagent.service; sleep 7; rm /root/env")
    machine.succeed("systemctl start hostagent.service")
    machine.wait_until("grep -q HOSTAGENT_MISSED_COUNT=[34] /root/env")
    seen = dict(line.partition("=")[::2] for line in machine.read("/root/env").splitlines())
    first, last = (agent.instant(seen[f"HOSTAGENT_MISSED_{end}"]) for end in ("FROM", "TO"))
    assert last - first == timedelta(seconds=2) * (int(seen["HOSTAGENT_MISSED_COUNT"]) - 1)


def test_a_pause_holds_with_its_reason_until_it_is_lifted(machine: Machine) -> None:
    """While paused, what falls due is skipped, says by whom and why; then it goes on by itself."""
    agent.with_agent(machine, job())
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    machine.succeed("hostagent pause tick --until 5s --reason 'the disk is full'")
    rows = agent.wait_for_runs(machine, "tick", lambda rows: len(of(rows, "skipped")) >= 2)
    assert "the disk is full" in of(rows, "skipped")[0]["reason"]
    ran = len(agent.history(machine))
    agent.kill_agent(machine)  # a pause outlives the agent
    agent.wait_for_runs(machine, "tick", lambda rows: rows[-1]["outcome"] == "succeeded")
    assert len(agent.history(machine)) > ran
    machine.succeed("hostagent pause tick --reason again")
    assert "again; lift it: hostagent resume tick\n" in machine.succeed("hostagent why tick")
    assert ", paused" in machine.succeed("hostagent list")
    machine.succeed("sleep 4.5; hostagent resume tick")
    assert ", paused" not in machine.succeed("hostagent list")
    machine.fail("hostagent resume tick")
    agent.wait_for_runs(machine, "tick", lambda rows: rows[-1]["outcome"] == "succeeded")
    assert len(of(agent.runs(machine, "tick"), "skipped")) >= 4
    agent.audit(machine)


def test_a_blackout_skips_what_lies_in_it(machine: Machine) -> None:
    """Inside a blackout range nothing starts, and the reason names the range."""
    agent.with_agent(machine, job(more='blackout = ["00:00..12:00", "12:00..24:00"]'))
    rows = agent.wait_for_runs(machine, "tick", agent.ended(2))
    assert {row["outcome"] for row in rows} == {"skipped"}
    assert "blackout" in rows[0]["reason"]
    assert agent.history(machine) == []
    agent.audit(machine)


ON_BOOT = """
[job.boot]
command = "/usr/local/bin/work"
on_boot = true
run_on = "each"
missed = "skip"
"""


def test_on_boot_runs_once_for_each_boot_and_never_by_apply(machine: Machine) -> None:
    """Neither apply nor a restart of the agent starts it; each boot does, once, however slow."""
    agent.with_agent(machine, ON_BOOT)
    machine.succeed("systemctl restart hostagent.service; sleep 0.5")
    assert agent.history(machine) == []
    for boots in (1, 2):
        machine.reboot()
        machine.wait_until("test -s /root/history")
        machine.succeed("systemctl restart hostagent.service; systemctl daemon-reexec")
        agent.apply(machine, ON_BOOT + f'description = "{boots}"\n')
        agent.kill_agent(machine)
        agent.wait_for_agent(machine)
        assert len(agent.history(machine)) == 2 * boots
    if not agent.LONG:
        return
    machine.succeed("systemctl disable hostagent.service hostagent.socket")
    machine.reboot()
    machine.succeed("sleep 17; systemctl start hostagent.service; sleep 1")
    assert len(agent.history(machine)) == 6
