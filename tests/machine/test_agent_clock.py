"""The second clock, promise 5 end to end, and promise 6 for intervals."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.machine import agent
from tests.machine.machine import Machine

TICK = """
[job.tick]
command = "/usr/local/bin/work"
calendar = "*:*:0/3"
jitter = 0
"""


def test_the_agent_starts_what_a_stopped_timer_does_not(machine: Machine) -> None:
    """Without its timer a job still runs, five seconds later: two clocks watch each job."""
    agent.with_agent(machine, TICK)
    agent.wait_for_runs(machine, "tick", agent.ended(1))
    machine.succeed("systemctl stop hostagent-tick.timer")
    rows = agent.wait_for_runs(machine, "tick", agent.ended(4), timeout=30)
    lates = [agent.instant(r["started_at"]) - agent.instant(r["scheduled_for"]) for r in rows[-2:]]
    assert all(timedelta(seconds=2) < late < timedelta(seconds=6) for late in lates), lates
    agent.audit(machine)
    agent.check_history(agent.history(machine))


def test_a_masked_service_fails_with_its_reason_and_does_not_loop(machine: Machine) -> None:
    """What cannot be started is failed, once for each occurrence, and the reason names why."""
    agent.with_agent(machine, TICK)
    unit = "/etc/systemd/system/hostagent-tick.service"
    machine.succeed(f"systemctl stop hostagent-tick.timer; ln -sf /dev/null {unit}")
    machine.succeed("systemctl daemon-reload")
    rows = agent.wait_for_runs(machine, "tick", agent.ended(2, "failed"), timeout=30)
    assert "masked" in rows[-1]["reason"]
    time.sleep(3)
    rows = agent.runs(machine, "tick")
    assert len(rows) <= 6
    assert len(machine.journal("hostagent.service").splitlines()) < 60
    agent.audit(machine)


YEARLY = """
[job.{name}]
command = "/usr/local/bin/work"
calendar = "{calendar}"
jitter = 0
{more}
"""


def yearly(calendar: str = "2099-01-01", more: str = "", name: str = "idle") -> str:
    """A job that never runs by itself, unless ``calendar`` says so."""
    return YEARLY.format(calendar=calendar, more=more, name=name)


def soon(seconds: float) -> str:
    """An instant from now, as a calendar expression."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + seconds))


def every_edit(past: str) -> dict[str, str]:
    """Twenty edits of a job (see ``yearly``) after which ``past`` is an elapse that lies behind."""
    both = f'["{past}", "2099-01-01"]'
    hour = f'["{past}", "2099-01-01 {{}}:00"]'
    return {
        "calendar to the past": yearly(past),
        "a list with the past": yearly().replace('"2099-01-01"', both),
        "another calendar": yearly().replace('"2099-01-01"', hour.format("01")),
        "missed all": yearly(more='missed = "all"').replace('"2099-01-01"', both),
        "missed skip": yearly(more='missed = "skip"').replace('"2099-01-01"', both),
        "missed latest again": yearly().replace('"2099-01-01"', both),
        "minutely of the past": yearly(f"{past[:17]}00,{past[17:]}"),
        "a zone": yearly(more='timezone = "Europe/Berlin"').replace(
            '"2099-01-01"', f'["{past}", "2099-01-01", "*-*-* *:00:00"]'
        ),
        "a zone back": yearly().replace('"2099-01-01"', both),
        "at": yearly().replace('calendar = "2099-01-01"', f'at = "{past.replace(" ", "T")}Z"'),
        "every": yearly().replace(
            'calendar = "2099-01-01"', 'every = "1d"\nanchor = "2020-01-01T00:00:00Z"'
        ),
        "another anchor": yearly().replace(
            'calendar = "2099-01-01"', f'every = "1d"\nanchor = "{past.replace(" ", "T")}Z"'
        ),
        "cron": yearly().replace('calendar = "2099-01-01"', 'cron = "0 0 * * *"'),
        "jitter": yearly().replace('"2099-01-01"', both).replace("jitter = 0", 'jitter = "1s"'),
        "jitter back": yearly().replace('"2099-01-01"', both),
        "command": yearly().replace('"2099-01-01"', both).replace("work", "work 0"),
        "limits": yearly(more='memory_max = "1G"').replace('"2099-01-01"', both),
        "overlap": yearly(more='overlap = "queue"').replace('"2099-01-01"', both),
        "on_boot": yearly(more='run_on = "each"').replace(
            'calendar = "2099-01-01"', "on_boot = true"
        ),
        "away": yearly(name="other"),
        "back again": yearly(past) + yearly(past, name="third"),
        "a new job with a past": yearly() + yearly(past, name="fourth"),
    }


def test_no_edit_starts_a_job(machine: Machine) -> None:
    """After every kind of edit with an elapse between the last run and now, nothing starts."""
    agent.with_agent(machine, yearly(soon(7)))
    (last,) = agent.wait_for_runs(machine, "idle", agent.ended(1), timeout=15)
    time.sleep(2.5)
    past = soon(-1)
    assert last["scheduled_for"] < past.replace(" ", "T")
    before = agent.history(machine)
    for name, jobs in every_edit(past).items():
        agent.apply(machine, jobs)
        time.sleep(0.2)
        assert agent.history(machine) == before, name
    machine.succeed("systemctl daemon-reload; systemctl daemon-reexec")
    machine.succeed("systemctl restart hostagent.service 'hostagent-*.timer'")
    time.sleep(7)  # the second clock has looked, too
    assert agent.history(machine) == before
    assert [row["outcome"] for row in agent.runs(machine)].count("succeeded") == 1
    agent.audit(machine)


def test_nothing_done_to_units_starts_a_job(machine: Machine) -> None:
    """Re-enabled, reloaded, restarted, with an old stamp: what is not due does not start."""
    agent.with_agent(machine, yearly("*-*-* 00:00:00", more='catch_up_window = "10d"'))
    old = "touch -d '3 days ago' /var/lib/systemd/timers/stamp-hostagent-idle.timer"
    for command in (
        "systemctl daemon-reload",
        "systemctl daemon-reexec",
        "systemctl restart hostagent-idle.timer",
        f"systemctl stop hostagent-idle.timer; {old}; systemctl start hostagent-idle.timer",
        f"{old}; systemctl restart hostagent-idle.timer",
        "rm /var/lib/systemd/timers/stamp-*; systemctl restart hostagent-idle.timer",
        "systemctl disable --now hostagent-idle.timer; systemctl enable --now hostagent-idle.timer",
        "systemctl restart hostagent.service",
        "systemctl stop hostagent.service; systemctl start hostagent.service",
        f"{old}; systemctl daemon-reexec; systemctl restart hostagent-idle.timer",
        "systemctl reload hostagent.service",
        "hostagent agent install",
    ):
        machine.run(command)
        time.sleep(0.4)
        assert agent.history(machine) == [], command
    machine.reboot()
    agent.wait_for_agent(machine)
    machine.succeed(f"{old}; systemctl restart hostagent-idle.timer")
    time.sleep(6)
    assert agent.history(machine) == []
    assert "no occurrence fell due" in machine.succeed("hostagent why idle")


@pytest.mark.parametrize("way", ["kill", "systemctl restart"])
def test_an_interval_moves_with_no_restart(machine: Machine, way: str) -> None:
    """every = "24h": restarts of the agent, applies and reboots move the next run by 0 s."""
    jobs = yearly().replace('calendar = "2099-01-01"', 'every = "24h"')
    agent.with_agent(machine, jobs)
    due = agent.next_of(machine, "idle")
    for _ in range(50 if agent.LONG else 3):
        if way == "kill":
            agent.kill_agent(machine)
            time.sleep(0.2)
        else:
            machine.succeed("systemctl restart hostagent.service")
    agent.wait_for_agent(machine)
    for number in range(10 if agent.LONG else 1):
        agent.apply(machine, jobs + f'description = "number {number}"\n')
        assert agent.instant(agent.status(machine)["next_at"]) == due
    for _ in range(5 if agent.LONG else 1):
        machine.reboot()
        agent.wait_for_agent(machine)
        assert agent.instant(agent.status(machine)["next_at"]) == due
    assert agent.next_of(machine, "idle") == due
    assert agent.runs(machine) == []
