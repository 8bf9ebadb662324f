"""Two hundred jobs in one second; and a user's own agent."""

from __future__ import annotations

import json
import time

from tests.machine import agent
from tests.machine.machine import Machine

JOB = """
[job.j{number}]
command = "/usr/local/bin/work"
calendar = "{at}"
jitter = 0
"""


def test_two_hundred_jobs_in_one_second_all_run_once(machine: Machine) -> None:
    """A pulse is worked off: each of its jobs runs, once, as scheduled."""
    agent.with_agent(machine)
    due = time.time() + 15
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(due))
    agent.apply(machine, "".join(JOB.format(number=n, at=at) for n in range(200)))
    assert time.time() < due - 1, "apply took too long for this test"
    agent.wait_for_runs(machine, "", agent.ended(200), timeout=60)
    rows, lines = agent.runs(machine), agent.history(machine)
    agent.check_history(lines)
    assert {row["outcome"] for row in rows} == {"succeeded"}
    assert {row["kind"] for row in rows} == {"scheduled"}
    assert len({row["job"] for row in rows}) == 200
    agent.audit(machine)
    first, last = min(line.at for line in lines), max(line.at for line in lines)
    by_agent = sum("is started by the agent" in line for line in machine.journal().splitlines())
    print(
        f"200 jobs: first start {first - int(due):.2f} s and last end {last - int(due):.2f} s after"
        f" they fell due; {by_agent} started by the second clock"
    )


USER = """
[job.mine]
command = "/bin/sh -c 'echo $HOSTAGENT_RUN_ID >>$HOME/ran'"
calendar = "*:*:0/3"
jitter = 0
"""


def test_a_user_has_jobs_and_an_agent_of_his_own(machine: Machine) -> None:
    """With --user all of it happens in the user's manager, without root, beside the system's."""
    machine.succeed("useradd --create-home anna; loginctl enable-linger anna")
    machine.wait_until("systemctl is-active user@$(id -u anna).service")

    def as_anna(command: str) -> str:
        script = f"export XDG_RUNTIME_DIR=/run/user/$(id -u); cd; {command}"
        machine.write("/tmp/as-anna", script, 0o755)
        return machine.succeed("runuser -u anna -- bash /tmp/as-anna", timeout=30)

    machine.write("/home/anna/.config/hostagent/jobs.toml", USER)
    machine.succeed("chown -R anna: /home/anna")
    as_anna("hostagent agent install --user")
    as_anna("hostagent apply --user")
    as_anna("hostagent run mine --user --wait")
    machine.wait_until("test $(wc -l </home/anna/ran) -ge 3")
    rows = json.loads(as_anna("hostagent runs --user --json"))
    assert {row["kind"] for row in rows} == {"manual", "scheduled"}
    assert {row["outcome"] for row in rows} - {None} == {"succeeded"}
    as_anna("systemctl --user kill -s KILL hostagent; sleep 4; hostagent agent status --user")
    as_anna("hostagent audit --user")
    assert "mine" in as_anna("systemctl --user list-timers 'hostagent-*'")
    # Root may look, anna's neighbours may not even reach the socket.
    machine.fail("runuser -u nobody -- ls /run/user/$(id -u anna)/hostagent")
