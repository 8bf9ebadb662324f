"""The page of a real agent, served by the service of the docs under a real PID 1."""

from __future__ import annotations

import re
from pathlib import Path

from tests.machine import agent
from tests.machine.machine import Machine

DOC = Path(__file__).parents[2] / "docs/how-to/page.md"

JOBS = """
[job.long]
command = "/usr/local/bin/work 60"
calendar = "hourly"
[job.short]
command = "/usr/local/bin/work"
calendar = "2099-01-01"
"""

LISTENS = "until bash -c ': </dev/tcp/127.0.0.1/8470' 2>/dev/null; do sleep 0.1; done"

READ = """/usr/bin/python3 - <<'EOF'
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:8470/").read().decode())
EOF"""


def test_the_service_of_the_docs_serves_what_goes_on(machine: Machine) -> None:
    """With none of root's powers and nothing to write to; with the agent, and without it."""
    (unit,) = re.findall(r"^```ini\n(.*?)^```$", DOC.read_text(), re.MULTILINE | re.DOTALL)
    agent.with_agent(machine, JOBS)
    machine.succeed("hostagent run short --wait; hostagent run long")
    machine.succeed("hostagent pause --all --reason 'the disk is moved'")
    machine.write("/etc/systemd/system/hostagent-web.service", unit)
    assert machine.succeed("systemd-analyze verify --man=no hostagent-web.service 2>&1") == ""
    machine.succeed("systemctl daemon-reload && systemctl start hostagent-web.service")
    machine.succeed(LISTENS)
    shown = machine.succeed(READ)
    assert "the disk is moved" in shown
    (running,) = re.findall(r'<section id="now">.*?</section>', shown, re.DOTALL)
    assert '<a href="#job-long">long</a>' in running
    assert 'id="job-short"' in shown
    assert "Nothing needs attention." in shown
    machine.succeed("systemctl stop hostagent.socket hostagent.service; sleep 2.1")
    shown = machine.succeed(READ)
    assert "no agent is up on this host" in shown
    assert 'id="job-short"' in shown
    assert machine.succeed("hostagent page --out /srv/page").startswith("wrote /srv/page/index.ht")
    machine.succeed("grep -q 'no agent is up on this host' /srv/page/index.html")
