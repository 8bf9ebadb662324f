"""Hung or slow, under a real PID 1: who stands still is marked, and goes on all the same.

Most containers count no I/O: what does a little of it is seen by the CPU time that it costs.
"""

from __future__ import annotations

from typing import Any

from tests.machine import agent
from tests.machine.machine import Machine

AFTER_S = 8
SETTINGS = f"hung_after = {AFTER_S}\n"

JOB = """
[job.{name}]
command = "{command}"
calendar = "2099-01-01"
timeout = "10min"
on_failure = "/bin/sh -c 'echo $HOSTAGENT_ALARM $HOSTAGENT_JOB >>/root/told'"
{more}
"""
WORK = "until test -e /root/end; do head -c 5M /dev/zero | md5sum >/dev/null; sleep 0.2; done"
BUSY = f"/bin/sh -c '{WORK}'"
AFTER_GO = f"/bin/sh -c 'read line </root/go; {WORK}'"
"""Waits for a line, then is busy."""
A_LITTLE = (
    "/bin/sh -c 'until test -e /root/end; do date >>/root/dates; sync /root/dates; sleep 1; done'"
)
BEATS = "/bin/sh -c 'until test -e /root/end; do systemd-notify WATCHDOG=1; sleep 20; done'"

HUNG = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c08"
MOVES_ON = "4b1f0cbd2b3c4f0b9d6f3d2f6a7e1c09"


def told(machine: Machine, message_id: str) -> list[str]:
    """The agent's records of this kind."""
    text = machine.succeed(f"journalctl --sync; journalctl -q -o cat MESSAGE_ID={message_id}")
    return text.splitlines()


def alarms(machine: Machine) -> list[str]:
    """What those who are to be told have heard by now."""
    return sorted(machine.succeed("cat /root/told").splitlines())


def row(machine: Machine, job: str) -> dict[str, Any]:
    """The one run of a job."""
    (found,) = agent.runs(machine, job)
    return found


def test_who_stands_still_is_marked_and_goes_on(machine: Machine) -> None:
    """The mark goes when the run moves; who is busy, or does a little, or has a heartbeat has none.

    While it lasts it is an alarm, which a restart of the agent neither ends nor repeats: that only
    has it look anew. No run is stopped.
    """
    agent.with_agent(machine, settings=SETTINGS)
    machine.succeed("mkfifo /root/go")
    commands = {
        "still": AFTER_GO,
        "sleeper": "/bin/sleep infinity",
        "busy": BUSY,
        "little": A_LITTLE,
    }
    jobs = "".join(JOB.format(name=name, command=one, more="") for name, one in commands.items())
    agent.apply(machine, jobs + JOB.format(name="beats", command=BEATS, more='heartbeat = "5min"'))
    names = [*commands, "beats"]
    for name in names:
        machine.succeed(f"hostagent run {name}")
    ids = {name: row(machine, name)["run_id"] for name in names}
    pids = {name: machine.succeed(f"systemctl show -P MainPID hostagent-{name}") for name in names}

    machine.wait_until("test $(hostagent status | grep -c 'hung?') = 2", timeout=60)
    machine.succeed(f"sleep {AFTER_S}")  # in which nobody else is marked
    status = agent.status(machine)
    assert sorted(status["hung"]) == sorted([ids["still"], ids["sleeper"]])
    assert set(status["running"]) == set(ids.values())
    for why in status["hung_because"]:
        assert why.startswith("has used no CPU time")
    assert f"{ids['still']}  hung?" in machine.succeed("hostagent why still")
    marked = {name: row(machine, name)["hung_since"] is not None for name in names}
    assert marked == {name: name in {"still", "sleeper"} for name in names}
    assert "2 hung?" in machine.succeed("systemctl show -P StatusText hostagent.service")
    assert sorted(line.split()[0] for line in told(machine, HUNG)) == sorted(status["hung"])
    assert alarms(machine) == ["hung sleeper", "hung still"]

    machine.succeed("echo >/root/go")
    machine.wait_until("test $(hostagent status | grep -c 'hung?') = 1", timeout=60)
    (moved,) = told(machine, MOVES_ON)
    assert moved.startswith(f"{ids['still']} moves on, after ")
    assert len(told(machine, HUNG)) == 2
    machine.wait_until("grep -qx 'recovered still' /root/told", timeout=20)

    assert agent.status(machine)["hung"] == [ids["sleeper"]]
    machine.succeed("systemctl restart hostagent.service")
    agent.wait_for_agent(machine)
    machine.wait_until("hostagent why sleeper | grep -q 'hung?'", timeout=60)
    now = {name: machine.succeed(f"systemctl show -P MainPID hostagent-{name}") for name in names}
    assert now == pids
    assert [row(machine, name)["outcome"] for name in names] == [None] * 5
    assert alarms(machine) == ["hung sleeper", "hung still", "recovered still"]

    machine.succeed("touch /root/end")
    machine.succeed("systemctl stop hostagent-sleeper.service")
    agent.wait_for_runs(machine, "", agent.ended(5), timeout=60)
    assert agent.status(machine)["hung"] == []
    machine.wait_until("grep -qx 'recovered sleeper' /root/told", timeout=20)
    agent.audit(machine)
