"""What ``hostagent top`` shows of a real PID 1, on a real terminal."""

from __future__ import annotations

import json

from tests.machine import agent
from tests.machine.machine import Machine

BUSY = "/bin/sh -c 'while :; do :; done'"

JOBS = f"""
[pool.db]
max = 1

[job.busy]
command = "{BUSY}"
calendar = "yearly"
timeout = "5min"
pool = "db"
lane = "critical"

[job.waits]
command = "/bin/true"
calendar = "*:*:*"
jitter = 0
pool = "db"
"""

WATCH = """
import os, pty, sys

pid, terminal = pty.fork()
if not pid:
    os.environ["TERM"] = "xterm"
    os.execvp("hostagent", ["hostagent", "top", "--interval", "1s"])
shown = b""
while not all(text.encode() in shown for text in sys.argv[1:]):
    shown += os.read(terminal, 65536)
os.write(terminal, b"q")
while b"\\x1b[?1049l" not in shown:
    shown += os.read(terminal, 65536)
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_top_shows_what_runs_with_what_it_uses_and_what_is_held_and_why(machine: Machine) -> None:
    """A run that takes the one place of its pool, and a fresh occurrence that waits for it."""
    agent.with_agent(machine, JOBS)
    run = machine.succeed("hostagent run busy").split()[0]
    machine.wait_until("hostagent backlog list | grep -q 'places are taken by'", timeout=20)
    machine.write("/root/watch.py", WATCH)
    why = "pool db: 1 of 1 places are taken by busy"
    shown = machine.succeed(f"python3 /root/watch.py {run} '{why}' 'db: 1 of 1 places, 1 held'")
    assert "critical: 1 running; normal: 1 held" in shown
    told = json.loads(machine.succeed("hostagent top --json"))
    (busy,) = told["runs"]
    assert (busy["unit"], busy["lane"], busy["pool"]) == (
        "hostagent-busy.service",
        "critical",
        "db",
    )
    assert busy["cpu_s"] > 0
    assert run in machine.succeed("hostagent top")
