"""What a service outside hears of runs: their ping_url, asked by PID 1 beside the agent."""

from __future__ import annotations

import pytest

from tests.machine import agent
from tests.machine.cluster import Cluster
from tests.machine.fixtures import Roots
from tests.machine.guest import Guest
from tests.machine.images import VENV
from tests.machine.machine import Machine
from tests.machine.test_alarms import SCRIPT, TELL, TOLD
from tests.machine.test_alarms import told as messages

GOT, SERVICE, PORT = "/root/got", "/opt/service.py", 8000
PROGRAM = f"""
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with open("{GOT}", "a") as file:
            print(self.path, body, file=file)
        if "hangs" in self.path:
            time.sleep(3600)
        self.send_response(404 if "gone" in self.path else 200, self.path)
        self.end_headers()

    def log_message(self, *words):
        pass

ThreadingHTTPServer(("127.0.0.1", {PORT}), Handler).serve_forever()
"""
JOB = f"""
[job.{{name}}]
command = {{command}}
calendar = "*:*:0/2"
jitter = 0
ping_url = "http://127.0.0.1:{PORT}/secret/{{name}}"
"""


def with_service(machine: Machine, jobs: str) -> Guest:
    """A machine with these jobs, and a service that writes down what it is told."""
    serve(machine)
    return agent.with_agent(machine, jobs)


def serve(machine: Machine) -> None:
    """Have the service of that machine listen."""
    machine.write(SERVICE, PROGRAM)
    machine.succeed(f"systemd-run --unit=service {VENV}/bin/python3 {SERVICE}")
    machine.wait_until(f"grep -q {PORT:04X} /proc/net/tcp")


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

    And each success is told to who is named in on_success; where the service hangs, runs go on.
    """
    machine.write(TELL, SCRIPT, 0o755)
    good = JOB.format(name="good", command='"/bin/true"') + f'on_success = "{TELL}"\n'
    bad = JOB.format(name="bad", command="\"/bin/sh -c 'exit 3'\"")
    others = [JOB.format(name=name, command='"/bin/true"') for name in ("gone", "hangs")]
    with_service(machine, "".join([good, bad, *others]))
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
        f"good succeeded: {row['run_id']} on {row['host']} {row['reason']}; see: hostagent why good"
        for row in succeeded
    ]
    said = "ping_url of gone was not told: gone.*answered 404 Not Found"
    machine.wait_until(f"journalctl -b -t hostagent -o cat | grep -q '^{said}'")
    assert "secret/" not in machine.succeed("journalctl -b -o export")
    rows = agent.wait_for_runs(machine, "hangs", agent.ended(3))
    assert [row["outcome"] for row in rows[:3]] == ["succeeded"] * 3
    (ping,) = set(told(machine, "hangs"))
    assert ping[0] == "/start"
    assert ping[2].startswith(rows[0]["run_id"])


@pytest.mark.skipif(not agent.LONG, reason="it boots three machines: HOSTAGENT_LONG=1")
def test_the_host_that_ran_it_tells_and_no_other(roots: Roots) -> None:
    """Each run of the cluster's: its start and its end, once, from where the ledger says it ran."""
    jobs = "".join(JOB.format(name=name, command='"/bin/true"') for name in "abcdefgh")
    with Cluster(roots, hosts=2) as cluster:
        for name in cluster.hosts:
            serve(cluster[name])
        cluster.deploy(jobs)
        for name in "abcdefgh":
            agent.wait_for_runs(cluster["host1"], name, agent.ended(3), timeout=60)
        cluster.everywhere(lambda name: cluster[name].succeed(agent.PAUSED), cluster.hosts)
        rows = agent.wait_for_runs(
            cluster["host1"], "", lambda found: all(row["outcome"] for row in found)
        )
        rows = [row for row in rows if row["outcome"] == "succeeded"]
        assert {row["host"] for row in rows} == {*cluster.hosts}
        for name in cluster.hosts:
            here = [row["run_id"] for row in rows if row["host"] == name]
            cluster[name].wait_until(f"test $(wc -l <{GOT}) -ge {2 * len(here)}", 30)
            heard = [(text.split()[0], signal) for signal, _, text in told(cluster[name], "")]
            assert {run for run, _ in heard} == {*here}
            for run in here:
                assert [signal[2:] for one, signal in heard if one == run] == ["start", ""]
