"""Who may ask the agent for what: admission is PID 1's, changes are root's, a look is anyone's."""

from __future__ import annotations

import json
import time

import pytest

from tests.machine import agent
from tests.machine.images import VENV
from tests.machine.machine import Machine

JOB = """
[job.idle]
command = "/usr/local/bin/work"
calendar = "2099-01-01"
"""

SOCKET = "/run/hostagent/io.hostagent.Agent"

CALL = f"""{VENV}/bin/python3 -c '
import json, socket, sys
channel = socket.socket(socket.AF_UNIX)
channel.settimeout(5)
channel.connect("{SOCKET}")
call = {{"method": "io.hostagent.Agent." + sys.argv[1], "parameters": json.loads(sys.argv[2])}}
channel.send(json.dumps(call).encode() + b"\\0")
reply = b""
while not reply.endswith(b"\\0"):
    part = channel.recv(65536)
    if not part:
        break
    reply += part
print(reply[:-1].decode())
' """


def call(machine: Machine, method: str, parameters: dict[str, object], prefix: str = "") -> str:
    """Call a method by hand, as somebody else where ``prefix`` says so; the raw reply."""
    return machine.succeed(f"{prefix} {CALL} {method} '{json.dumps(parameters)}'")


ADMIT: dict[str, object] = {"unit": "hostagent-idle.service", "invocation_id": "0" * 32}
OTHERS = {
    "root in a shell": "",
    "root in another unit": "systemd-run --quiet --pipe --wait",
    "root in a unit of a similar name": "systemd-run -q -P --wait -u hostagent-idle.service.x",
    "somebody": "runuser -u nobody --",
    "somebody in a unit of that name of his own": "systemd-run -q --pipe --wait --uid=nobody",
}


def test_admission_is_given_to_the_unit_itself_alone(machine: Machine) -> None:
    """A process outside the unit gets no admission for it, whoever it is; nothing is claimed."""
    agent.with_agent(machine, JOB)
    for who, prefix in OTHERS.items():
        assert "NotPermitted" in call(machine, "Admit", ADMIT, prefix), who
    assert agent.runs(machine) == []


def test_a_job_of_a_user_cannot_ask_admission_for_itself(machine: Machine) -> None:
    """Inside the unit, but not as PID 1's client: a job's own user is refused."""
    machine.write("/usr/local/bin/ask", f"#!/bin/bash\n{CALL} Admit '{json.dumps(ADMIT)}'\n", 0o755)
    agent.with_agent(machine, JOB.replace("work", "ask") + 'user = "nobody"\n')
    machine.succeed("hostagent run idle --wait")
    assert "NotPermitted" in machine.journal("hostagent-idle.service")
    assert len(agent.runs(machine)) == 1


def test_somebody_may_look_but_change_nothing(machine: Machine) -> None:
    """An unprivileged user sees the status; run, pause, resume and reload are refused."""
    agent.with_agent(machine, JOB)
    somebody = "runuser -u nobody --"
    assert '"jobs": 1' in machine.succeed(f"{somebody} hostagent agent status --json")
    for command in ("run idle", "pause idle", "resume idle"):
        assert "may not change" in machine.fail(f"{somebody} hostagent {command}")
    assert "NotPermitted" in call(machine, "Reload", {}, somebody)
    assert agent.runs(machine) == []


def test_a_member_of_the_group_may_run_and_pause(machine: Machine) -> None:
    """The group hostagent is who operates jobs without being root."""
    agent.with_agent(machine, JOB)
    machine.succeed("useradd --groups hostagent anna")
    machine.succeed("runuser -u anna -- hostagent run idle --wait")
    machine.succeed("runuser -u anna -- hostagent pause idle --reason 'by anna'")
    uid = machine.succeed("id -u anna").strip()
    assert f"uid {uid}" in agent.runs(machine)[0]["admission"]


def test_a_member_of_the_group_may_read_the_ledger(machine: Machine) -> None:
    """While the agent is up, after its restart, while it is stopped; nobody else may."""
    agent.with_agent(machine, JOB)
    machine.succeed("useradd --groups hostagent anna; useradd berta; hostagent run idle --wait")
    run_id = agent.runs(machine)[0]["run_id"]
    looks = ("list", "runs", "runs --json", "why idle", f"why {run_id}", "status", "audit")
    for state in ("restart", "stop"):
        for look in looks if state == "restart" else looks[:4]:
            machine.succeed(f"runuser -u anna -- hostagent {look}")
        refused = machine.run("runuser -u berta -- hostagent runs")
        assert (refused.returncode, "member of the group hostagent" in refused.stderr) == (3, True)
        machine.succeed(f"systemctl {state} hostagent.service")
    for look in looks[:4]:
        machine.succeed(f"runuser -u anna -- hostagent {look}")
    assert machine.succeed("stat -c %G /var/lib/hostagent/state.db").strip() == "hostagent"


def test_a_ledger_from_before_is_given_to_the_group(machine: Machine) -> None:
    """An upgrade mends the files of an agent that kept them for root alone."""
    agent.with_agent(machine, JOB)
    machine.succeed(
        "systemctl stop hostagent.socket hostagent.service; useradd --groups hostagent anna;"
        " chgrp -R root /var/lib/hostagent; chmod 0755 /var/lib/hostagent;"
        " hostagent agent install"
    )
    machine.succeed("runuser -u anna -- hostagent runs")


def test_nonsense_at_the_socket_gets_an_error_and_nothing_more(machine: Machine) -> None:
    """Unknown methods, wrong types, impossible times: an answer, no bug, and the agent goes on."""
    agent.with_agent(machine, JOB)
    pid = agent.agent_pid(machine)
    nonsense: list[tuple[str, dict[str, object]]] = [
        ("Nonsense", {}),
        ("Admit", {"unit": 7, "invocation_id": []}),
        ("Admit", {}),
        ("Run", {"job": "idle", "scope": "", "as_of": "yesterday"}),
        ("Run", {"job": "idle", "scope": "", "as_of": "2026-01-01T00:00:00"}),
        ("Pause", {"target": "moon", "name": "", "until": None, "reason": ""}),
        ("Pause", {"target": "job", "name": "idle", "until": "soon", "reason": ""}),
        ("Pause", {"target": "job", "name": "idle", "until": "2026-01-01T00:00:00", "reason": ""}),
        ("Resume", {"target": "moon", "name": ""}),
        ("Wait", {"run_id": "nothing"}),
    ]
    for method, parameters in nonsense:
        assert '"error"' in call(machine, method, parameters), (method, parameters)
    machine.succeed(f"head -c 3000000 /dev/urandom | timeout 5 nc -U {SOCKET} || true")
    machine.succeed("hostagent run idle --wait")
    assert agent.agent_pid(machine) == pid
    assert "Traceback" not in machine.journal("hostagent.service")


FLOODS = {
    "connections": """
        channel = connect(blocking=False)
        held.append(channel)
        held = held[-4500:]
    """,
    "a message without an end": """
        for channel in held or [connect() for _ in range(8)]:
            channel.send(b"x" * 65536)
    """,
    "answers that nobody reads": """
        held = held or [connect(blocking=False) for _ in range(8)]
        for channel in held:
            channel.send(b'{"method":"io.hostagent.Agent.Status"}\\0' * 100)
    """,
}

FLOOD = f"""
import resource, socket, sys, time

def connect(blocking=True):
    channel = socket.socket(socket.AF_UNIX)
    channel.setblocking(blocking)
    channel.connect("{SOCKET}")
    return channel

held = []
while True:
    try:
BODY
    except OSError:
        time.sleep(0.001)
"""


@pytest.mark.parametrize("body", FLOODS.values(), ids=FLOODS.keys())
def test_somebody_who_floods_the_socket_stops_no_job(machine: Machine, body: str) -> None:
    """Connections, bytes or calls without end by a user neither starve nor bloat the agent."""
    agent.with_agent(machine, JOB)
    machine.write("/tmp/flood.py", FLOOD.replace("BODY", body.rstrip()))
    flood = f"{VENV}/bin/python3 /tmp/flood.py"
    machine.succeed(f"systemd-run -q --unit=flood --uid=nobody -p LimitNOFILE=5000 {flood}")
    time.sleep(3)
    machine.succeed("timeout 5 systemctl start hostagent-idle; test -s /root/history")
    machine.succeed("timeout 5 hostagent agent status")
    rss_kb = machine.succeed(f"awk '/VmRSS/ {{print $2}}' /proc/{agent.agent_pid(machine)}/status")
    assert int(rss_kb) < 70_000
    assert len(machine.journal("hostagent.service").splitlines()) < 100
    machine.succeed("systemctl is-active flood")
