"""A boot after days off: the agent answers for what was missed, and PID 1 asks for none of it."""

from __future__ import annotations

import json

import pytest

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
LAST = "systemctl show hostagent-daily.timer -P LastTriggerUSec"


def boot_after_days_off(machine: Guest) -> None:
    """As far as PID 1 can tell: the clock of a container is the host's."""
    machine.succeed("systemctl stop hostagent-daily.timer")
    machine.succeed("touch -d '5 days ago' /var/lib/systemd/timers/stamp-hostagent-daily.timer")
    machine.reboot()


def said(machine: Guest) -> list[str]:
    """What PID 1 said of the job since the boot."""
    return [json.loads(line)["MESSAGE"] for line in machine.succeed(SAID).splitlines()]


@pytest.fixture
def host(any_machine: Machine) -> Guest:
    """One with a job that is due in hours."""
    hour = (agent.now().hour + 12) % 24
    return agent.with_agent(any_machine, DAILY.format(hour=hour))


def test_a_timer_does_not_elapse_for_what_the_agent_catches_up(host: Guest) -> None:
    """It starts after the agent, which has told PID 1 before that all until then is its own."""
    boot_after_days_off(host)
    agent.wait_for_agent(host)
    host.wait_for_unit("timers.target")
    assert host.succeed("systemctl is-active hostagent-daily.timer").strip() == "active"
    assert said(host) == []
    assert "hostagent-daily.timer" in host.succeed("systemctl list-timers")
    up_at = host.succeed("stat -c %Y /proc/1").strip()
    last_at = host.succeed(f'date -d "$({LAST})" +%s').strip()
    assert int(last_at) >= int(up_at)


def test_without_an_agent_timers_start_and_pid_1_skips_what_they_start(host: Guest) -> None:
    """Nothing forks then, either; the agent that comes finds it in its ledger."""
    host.succeed("systemctl disable hostagent.service")
    boot_after_days_off(host)
    host.wait_for_unit("timers.target")
    host.wait_until("systemctl show hostagent-daily.service -P ConditionResult | grep -qx no")
    (skipped,) = said(host)
    assert "was skipped" in skipped
    host.succeed("systemctl start hostagent.service")
    agent.wait_for_agent(host)
    assert "hostagent-daily.timer" in host.succeed("systemctl list-timers")
