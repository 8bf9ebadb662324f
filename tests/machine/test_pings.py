"""What a service outside hears of runs: their ping_url, asked by PID 1 beside the agent."""

from __future__ import annotations

from tests.machine import agent
from tests.machine.guest import Guest
from tests.machine.images import VENV
from tests.machine.machine import Machine
from tests.machine.test_alarms import SCRIPT, TELL, TOLD
from tests.machine.test_alarms import told as messages

GOT, SERVICE = "/root/got", "/opt/service.py"
PROGRAM = f"""
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("{GOT}", "a") as file:
            print(self.path, body, file=file)
        if "hangs" in self.path:
            time.sleep(3600)
        self.send_response(200)
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
JOB = """
[job.{name}]
command = {command}
calendar = "*:*:0/2"
jitter = 0
ping_url = "http://127.0.0.1:8000/secret/{name}"
"""


def with_service(machine: Machine, jobs: str) -> Guest:
    """A machine with these jobs, and a service that writes down what it is told."""
    machine.write(SERVICE, PROGRAM)
    machine.succeed(f"systemd-run --unit=service {VENV}/bin/python3 {SERVICE}")
    machine.wait_until("ss -ltn | grep -q :8000 || grep -q :1F40 /proc/net/tcp")
    return agent.with_agent(machine, jobs)


def told(machine: Guest, name: str) -> list[tuple[str, str, str]]:
    """What came of a job, in order: the signal, the run's UUID, the text."""
    found = []
    for line in machine.run(f"cat {GOT} 2>/dev/null").stdout.splitlines():
        path, text = line.split(" ", 1)
        address, rid = path.split("?rid=")
        if address.startswith(f"/secret/{name}"):
            found.append((address.removeprefix(f"/secret/{name}"), rid, text))
    return found


def test_a_service_hears_of_each_run_in_order(machine: Machine) -> None:
    """Its start before its end, both with the run's id; failures as what they are; no secret.

    And each success is told to who is named in on_success.
    """
    machine.write(TELL, SCRIPT, 0o755)
    good = JOB.format(name="good", command='"/bin/true"') + f'on_success = "{TELL}"\n'
    bad = JOB.format(name="bad", command="\"/bin/sh -c 'exit 3'\"")
    with_service(machine, good + bad)
    for name, end in (("good", ""), ("bad", "/3")):
        machine.wait_until(f"test $(grep -c 'secret/{name}' {GOT}) -ge 4", 20)
        rows = [row for row in agent.runs(machine, name) if row["outcome"] is not None]
        first, last, third, fourth = told(machine, name)[:4]
        assert [first[0], last[0], third[0], fourth[0]] == ["/start", end, "/start", end]
        assert first[1] == last[1] != third[1] == fourth[1]
        assert first[2].startswith(f"{rows[0]['run_id']} starts on {rows[0]['host']}: ")
        said = f"{rows[0]['outcome']} on {rows[0]['host']}: {rows[0]['reason']}"
        assert last[2] == f"{rows[0]['run_id']} {said}"
    machine.wait_until(f"test $(wc -l <{TOLD}) -ge 2")
    succeeded = [row for row in agent.runs(machine, "good") if row["outcome"] is not None][:2]
    assert [message["text"] for message in messages(machine)[:2]] == [
        f"good succeeded: {row['run_id']} on {row['host']} {row['reason']}" for row in succeeded
    ]
    machine.succeed("systemctl stop service")
    machine.wait_until("journalctl -b -t hostagent -o cat | grep -q '^ping_url of bad was not'", 30)
    journal = machine.succeed("journalctl -b -o export")
    assert "Connection refused" in journal
    assert "secret/" not in journal


def test_a_service_that_hangs_holds_no_job_up(machine: Machine) -> None:
    """Its runs start and end one after the other, while it still has the first ping of them."""
    with_service(machine, JOB.format(name="hangs", command='"/bin/true"'))
    rows = agent.wait_for_runs(machine, "hangs", agent.ended(3))
    assert [row["outcome"] for row in rows[:3]] == ["succeeded"] * 3
    (ping,) = set(told(machine, "hangs"))
    assert ping[0] == "/start"
    assert ping[2].startswith(rows[0]["run_id"])
