"""A host that goes to sleep: PID 1 starts no job until it is awake, without asking for it."""

from __future__ import annotations

from tests.machine import agent
from tests.machine.machine import Machine

TICK = """
[job.tick]
command = "/usr/local/bin/work"
calendar = "*:*:*"
jitter = 0
"""
READY = "/run/hostagent/up/ready"
SUSPEND = "/etc/systemd/system/systemd-suspend.service.d/instead.conf"
"""A container cannot sleep: something else happens where the host would."""

INSTEAD = """
[Service]
ExecStart=
ExecStart=/bin/bash -c '{}'
"""
ASLEEP = (
    "echo $EPOCHREALTIME >/fell; sleep 2.5;"
    " systemctl show -P ConditionResult hostagent-tick >/seen;"
    " echo $EPOCHREALTIME >/woke"
)


def sleeping(machine: Machine, what: str) -> str:
    """The command that puts it to sleep, when that means to run ``what``."""
    machine.write(SUSPEND, INSTEAD.format(what.replace("$", "$$")))
    return "systemctl daemon-reload; systemctl start suspend.target"


def test_nothing_forks_for_what_elapses_until_the_host_is_awake(any_machine: Machine) -> None:
    """PID 1 skips it by itself; what fell due is found afterwards, and starts go on."""
    agent.with_agent(any_machine, TICK)
    agent.wait_for_runs(any_machine, "tick", agent.ended(2))
    any_machine.succeed(sleeping(any_machine, ASLEEP))
    fell, woke = (float(any_machine.read(place)) for place in ("/fell", "/woke"))
    assert any_machine.read("/seen") == "no\n"
    starts = [x.at for x in agent.history(any_machine) if x.what == "start"]
    assert not [at for at in starts if fell + 0.5 < at < woke]
    any_machine.wait_until(f"test $(grep -c start {agent.HISTORY}) -gt {len(starts) + 2}")

    any_machine.fail(sleeping(any_machine, "exit 1"))  # the kernel, or somebody, refused
    any_machine.wait_until(f"test -e {READY}")
    woken = any_machine.succeed(f"grep -c start {agent.HISTORY}").strip()
    any_machine.wait_until(f"test $(grep -c start {agent.HISTORY}) -gt {int(woken) + 2}")
    agent.audit(any_machine)


def test_who_sleeps_without_an_agent_wakes_up_without_one(machine: Machine) -> None:
    """That jobs may start is never said by anybody but an agent that is up."""
    agent.with_agent(machine, TICK)
    machine.succeed("systemctl stop hostagent.socket hostagent.service")
    machine.succeed(sleeping(machine, "exit 0"))
    machine.succeed("systemctl start suspend.target")
    machine.fail(f"test -e {READY}")
    assert machine.succeed("systemctl --failed --no-legend") == ""
