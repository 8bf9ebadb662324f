"""Hung or slow on a kernel that counts I/O: what writes now and then is not taken for hung."""

from __future__ import annotations

import json

import pytest
from vm import VM

from tests.machine import agent

SETTINGS = agent.SETTLE_NOT.replace("[gate]", "hung_after = 12\n[gate]")

WRITES = """
import os, time
file = os.open("/root/file", os.O_WRONLY | os.O_CREAT)
while True:
    os.pwrite(file, os.urandom(4096), 0)
    os.fsync(file)
    time.sleep(2)
"""

JOBS = f"""
[defaults]
calendar = "2099-01-01"

[job.still]
command = "/bin/sleep infinity"

[job.writes]
command = ["/usr/bin/python3", "-c", {json.dumps(WRITES)}]
"""


@pytest.mark.skipif(not agent.LONG, reason="the container has the same test, but for I/O")
def test_what_writes_now_and_then_moves_and_what_sleeps_does_not(vm: VM) -> None:
    """And of the sleeper it is known that it used no I/O."""
    vm.write("/etc/hostagent/agent.toml", SETTINGS)
    vm.succeed("systemctl restart hostagent.service")
    agent.wait_for_agent(vm)
    agent.apply(vm, JOBS)
    vm.succeed("hostagent run still; hostagent run writes")
    vm.wait_until("hostagent status | grep -q 'hung?'", timeout=120)
    vm.succeed("sleep 15")
    status = agent.status(vm)
    assert [run.split(".")[0] for run in status["hung"]] == ["still"]
    (why,) = status["hung_because"]
    assert why.startswith("has used no CPU time and no I/O, and has printed nothing, for ")
    written = vm.succeed("systemctl show -P IOWriteBytes hostagent-writes")
    assert int(written) > 0
    assert [row["outcome"] for row in agent.runs(vm)] == [None, None]
