"""A job asks the agent whether its run still holds its claim: hostagent token check."""

from __future__ import annotations

import time

from tests.machine import agent
from tests.machine.images import VENV
from tests.machine.machine import Machine

JOB = """
[job.holder]
command = "/usr/local/bin/holder"
calendar = "2099-01-01"
user = "nobody"
"""

HOLDER = f"""#!/bin/bash
# Asks while it runs, as a command and in Python; with another's token; then waits to be let go.
say() {{ echo "$@" >>/tmp/asked; }}
hostagent token check; say own $?
HOSTAGENT_TOKEN=$((HOSTAGENT_TOKEN - 1)) hostagent token check; say older $?
HOSTAGENT_SCOPE=x hostagent token check; say scope $?
HOSTAGENT_JOB=other hostagent token check; say other $?
{VENV}/bin/python3 -c 'import sys
sys.path.insert(0, "/opt/hostagent/src")
from hostagent.token import check
print("python", check(), check(token=0))' >>/tmp/asked
env | grep ^HOSTAGENT_ >/tmp/environment
touch /tmp/asked.done
while [ ! -e /tmp/go ]; do sleep 0.1; done
"""

CHECK = "set -a; . /tmp/environment; hostagent token check"


def test_a_run_holds_its_token_until_its_end(machine: Machine) -> None:
    """While it runs: its own and no other. After its end, and for its successor: not any more."""
    machine.write("/usr/local/bin/holder", HOLDER, 0o755)
    agent.with_agent(machine, JOB)
    machine.succeed("hostagent run holder")
    machine.wait_until("test -e /tmp/asked.done", 20)
    assert machine.read("/tmp/asked").splitlines() == [
        "own 0",
        "older 1",
        "scope 1",
        "other 1",
        "python True False",
    ]
    assert "not the holder's" in machine.journal("hostagent-holder.service")
    machine.succeed(CHECK)
    agent.kill_agent(machine)
    machine.wait_until(CHECK)  # its successor knows the run

    machine.succeed("touch /tmp/go")
    agent.wait_for_runs(machine, "holder", agent.ended(1, "succeeded"))
    assert machine.run(CHECK).returncode == 1
    machine.succeed("rm /tmp/go /tmp/asked.done; hostagent run holder")
    machine.wait_until("test -e /tmp/asked.done", 20)
    machine.succeed(CHECK)
    older = "set -a; . /tmp/environment; HOSTAGENT_TOKEN=1; hostagent token check"
    assert machine.run(older).returncode == 1


def test_an_agent_that_does_not_answer_means_no(machine: Machine) -> None:
    """Hung: no after five seconds. Stopped: no at once. The job that asks is told why."""
    machine.write("/usr/local/bin/holder", HOLDER, 0o755)
    agent.with_agent(machine, JOB)
    machine.succeed("hostagent run holder")
    machine.wait_until("test -e /tmp/asked.done", 20)
    machine.succeed("systemctl kill --signal=STOP --kill-whom=main hostagent.service")
    started = time.monotonic()
    assert "does not answer within 5 s" in machine.fail(CHECK)
    assert 5 <= time.monotonic() - started < 8
    machine.succeed("systemctl kill --signal=CONT --kill-whom=main hostagent.service")
    machine.succeed(CHECK)
    machine.succeed("systemctl stop hostagent.socket hostagent.service")
    assert "the agent does not answer" in machine.fail(CHECK)
