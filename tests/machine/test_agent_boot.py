"""A boot after days off: the agent answers for what was missed, and PID 1 asks for none of it."""

from __future__ import annotations

import json

from tests.machine import agent
from tests.machine.guest import Guest
from tests.machine.machine import Machine

DAILY = """
[job.daily]
command = "/usr/local/bin/work"
calendar = "*-*-* {hour:02}:30"
jitter = 0
"""

SAID = "journalctl --sync; journalctl --boot -q -o json _PID=1 UNIT=hostagent-daily.service"
CONDITION = "systemctl show hostagent-daily.service -P"
LAST = "systemctl show hostagent-daily.timer -P LastTriggerUSec"


def boot_after_days_off(machine: Guest) -> None:
    """As far as PID 1 can tell: the clock of a container is the host's."""
    machine.succeed("systemctl stop hostagent-daily.timer")
    machine.succeed("touch -d '5 days ago' /var/lib/systemd/timers/stamp-hostagent-daily.timer")
    machine.reboot()


def said(machine: Guest) -> list[str]:
    """What PID 1 said of the job since the boot."""
    return [json.loads(line)["MESSAGE"] for line in machine.succeed(SAID).splitlines()]


def with_a_daily_job(machine: Guest) -> None:
    """It is due in hours."""
    agent.with_agent(machine, DAILY.format(hour=(agent.now().hour + 12) % 24))


def test_a_timer_does_not_elapse_for_what_the_agent_catches_up(any_machine: Machine) -> None:
    """It starts after the agent, which has told PID 1 before that all until then is its own."""
    with_a_daily_job(any_machine)
    before = agent.now().replace(microsecond=0)
    boot_after_days_off(any_machine)
    agent.wait_for_agent(any_machine)
    any_machine.wait_for_unit("timers.target")
    assert any_machine.succeed("systemctl is-active hostagent-daily.timer").strip() == "active"
    assert said(any_machine) == []
    assert "hostagent-daily.timer" in any_machine.succeed("systemctl list-timers")
    last_at = any_machine.succeed(f'date -d "$({LAST})" +%s')
    assert int(last_at) >= before.timestamp()


def test_without_an_agent_timers_start_and_pid_1_skips_what_they_start(machine: Machine) -> None:
    """Nothing forks then, either; the agent that comes finds it in its ledger."""
    with_a_daily_job(machine)
    machine.succeed("systemctl disable hostagent.service")
    boot_after_days_off(machine)
    machine.wait_for_unit("timers.target")
    machine.wait_until(f"{CONDITION} ConditionTimestampMonotonic | grep -qvx 0")
    assert machine.succeed(f"{CONDITION} ConditionResult").strip() == "no"
    assert not [text for text in said(machine) if text.startswith("Starting ")]
    machine.succeed("systemctl start hostagent.service")
    agent.wait_for_agent(machine)
    assert "hostagent-daily.timer" in machine.succeed("systemctl list-timers")
