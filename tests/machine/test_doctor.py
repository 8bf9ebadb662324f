"""The doctor names each thing that is broken on a host, with what mends it; and the fix does."""

from __future__ import annotations

import json

import pytest

from tests.machine import agent
from tests.machine.machine import Machine

JOBS = """
[job.idle]
command = "/usr/local/bin/work"
calendar = "2099-01-01"
"""

MASK = "rm /etc/systemd/system/hostagent-idle.timer; systemctl mask --now hostagent-idle.timer"

BROKEN = {
    "the socket is stopped": ("systemctl stop hostagent.socket", "hostagent.socket", "inactive"),
    "the agent is stopped": ("systemctl stop hostagent.service", "hostagent.service", "inactive"),
    "the agent is not enabled": (
        "systemctl disable hostagent.service hostagent.socket",
        "hostagent.service",
        "next boot",
    ),
    "the fence is gone": (
        "rm /etc/systemd/system/hostagentd-once.target; systemctl daemon-reload",
        "hostagentd-once.target",
        "not installed",
    ),
    "agent.toml is wrong": ("echo stroe=1 >/etc/hostagent/agent.toml", "agent.toml", "unknown key"),
    "the ledger is foreign": (
        "systemctl stop hostagent; echo nonsense >/var/lib/hostagent/state.db",
        "store",
        "not a database",
    ),
    "a directory is everybody's": (
        "chmod 0777 /etc/hostagent",
        "trust",
        "/etc/hostagent can be written by everybody (mode 0777)",
    ),
    "the ledger is somebody's": (
        "chown nobody /var/lib/hostagent/state.db",
        "trust",
        "/var/lib/hostagent/state.db belongs to uid 65534",
    ),
    "a timer is stopped": ("systemctl stop hostagent-idle.timer", "drift", "not active"),
    "a timer is masked": (MASK, "drift", "hostagent-idle.timer: masked"),
    "a unit is edited": (
        "echo Nice=5 >>/etc/systemd/system/hostagent-idle.service",
        "drift",
        "hostagent-idle.service: edited",
    ),
    "ready is gone": ("rm /run/hostagent/up/ready", "agent", "PID 1 skips every start"),
}


def ill(machine: Machine) -> list[tuple[str, str, str, str]]:
    """(verdict, what, sentence, fix) of all that is not ok, but for what a container lacks."""
    found = json.loads(machine.run("hostagent doctor --json").stdout)
    every = [(one["verdict"], one["what"], one["sentence"], one["fix"]) for one in found]
    return [one for one in every if one[0] != "ok" and one[1] not in {"cgroup", "pressure"}]


def test_a_host_that_is_well_passes(any_machine: Machine) -> None:
    """Exit 0; that a container has no controllers is no more than a warning."""
    agent.with_agent(any_machine, JOBS)
    assert ill(any_machine) == []
    shown = any_machine.succeed("hostagent doctor")
    assert "ok       systemd" in shown
    assert " wrong" not in shown.replace("0 wrong", "")


@pytest.mark.parametrize(("harm", "what", "sentence"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_named_and_its_fix_mends_it(
    machine: Machine, harm: str, what: str, sentence: str
) -> None:
    """Exit 1 when something is wrong. To look changes nothing: what was stopped stays so."""
    agent.with_agent(machine, JOBS)
    machine.succeed(harm)
    found = ill(machine)
    assert ill(machine) == found
    assert [one for one in found if one[1] == what and sentence in one[2]], found
    code = machine.run("hostagent doctor").returncode
    assert code == any(verdict == "wrong" for verdict, *_ in found)
    assert all(fix for *_, fix in found), found


TYPED = [name for name in BROKEN if name not in {"agent.toml is wrong", "the ledger is foreign"}]


@pytest.mark.parametrize("name", TYPED)
def test_the_fix_is_what_to_type(machine: Machine, name: str) -> None:
    """All that the doctor says, typed as it stands, makes the host well."""
    agent.with_agent(machine, JOBS)
    machine.succeed(BROKEN[name][0])
    for _ in range(3):
        for *_, fix in ill(machine):
            machine.succeed(fix.partition(" puts it back")[0].partition(" arms it")[0])
    agent.wait_for_agent(machine)
    assert ill(machine) == []


def test_a_user_without_lingering_is_told(machine: Machine) -> None:
    """And how jobs run without a login."""
    machine.succeed("useradd --create-home anna; loginctl enable-linger anna")
    machine.wait_until("systemctl is-active user@$(id -u anna).service")

    def as_anna(command: str) -> str:
        script = f"export XDG_RUNTIME_DIR=/run/user/$(id -u); cd; {command}"
        machine.write("/tmp/as-anna", script, 0o755)
        return machine.run("runuser -u anna -- bash /tmp/as-anna").stdout

    as_anna("hostagent agent install --user")
    said = {one["what"]: one for one in json.loads(as_anna("hostagent doctor --user --json"))}
    assert {said[name]["verdict"] for name in ("linger", "hostagent.service", "store")} == {"ok"}
    machine.succeed("rm /var/lib/systemd/linger/anna")
    said = {one["what"]: one for one in json.loads(as_anna("hostagent doctor --user --json"))}
    assert said["linger"]["fix"] == "loginctl enable-linger anna"
