"""The fence: at its deadline PID 1 stops the jobs that run once in the cluster, whoever is alive.

The jobs write down every 10 ms that they live. Their clock and the test's are the same: a
container has its host's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.machine.agent import apply, ended, kill_agent, runs, wait_for_runs, with_agent
from tests.machine.guest import Guest
from tests.machine.images import VENV
from tests.machine.machine import Machine

pytestmark = pytest.mark.alone

PRECISION_S = 0.1
BUDGET_S = 3.0
"""From the deadline to the end of what ignores TERM: 2 s of grace, 1 s for all the rest."""

BEAT = "/usr/local/bin/beat"
_BEAT = """#!/bin/bash
# beat NAME [stubborn]: writes down that it lives, whatever is done to its children.
[ -z "$2" ] || trap '' TERM
while :; do
    sleep 0.01
    echo "$EPOCHREALTIME" >>"/root/beats-$1"
done
"""
JOBS = """
[job.good]
command = "/usr/local/bin/beat good"
calendar = "2090-01-01"

[job.stubborn]
command = "/usr/local/bin/beat stubborn stubborn"
calendar = "2090-01-01"
stop_timeout = "5min"

[job.fan]
command = "/usr/local/bin/beat fan stubborn"
calendar = "2090-01-01"
stop_timeout = "5min"
for_each = ["a-b"]

[job.each]
command = "/usr/local/bin/beat each stubborn"
calendar = "2090-01-01"
run_on = "each"
stop_timeout = "2s"
"""
ONCE = ("good", "stubborn", "fan")
ARM = "from hostagent.systemd.manager import Manager; m = Manager(); "


@pytest.fixture
def fenced(any_machine: Machine) -> Machine:
    """A machine on which all of these jobs run."""
    any_machine.write(BEAT, _BEAT, 0o755)
    with_agent(any_machine, JOBS)
    start(any_machine, *ONCE, "each")
    return any_machine


def start(machine: Guest, *jobs: str) -> None:
    """Start jobs by hand, and see them live."""
    for job in jobs:
        machine.succeed(f"rm -f /root/beats-{job}; hostagent run {job} >/dev/null 2>&1 &")
    for job in jobs:
        machine.wait_until(f"test -s /root/beats-{job}")


def last_beat(machine: Guest, job: str) -> float:
    """When the job lived last, on the clock of deadlines."""
    at = float(machine.succeed(f"tail -n 1 /root/beats-{job}"))
    return at - time.time() + time.monotonic()


def lives(machine: Guest, job: str) -> bool:
    """Whether the job does something at this moment."""
    size = f"stat -c %s /root/beats-{job}"
    return machine.succeed(f"{size}; sleep 0.3; {size}").split()[0] != machine.succeed(size).strip()


def arm(machine: Guest, deadline: float) -> None:
    """Arm the fence by a process that is killed as soon as it has."""
    code = f"{ARM}m.arm_fence({deadline!r}); import os; os.kill(os.getpid(), 9)"
    assert machine.run(f"exec {VENV}/bin/python -c '{code}'").returncode == -9


def manage(machine: Guest, call: str) -> str:
    """What a method of the port returns in the machine."""
    return machine.succeed(f"{VENV}/bin/python -c '{ARM}print(m.{call})'").strip()


def sleep_until(at: float) -> None:
    """On the clock of deadlines."""
    time.sleep(max(0.0, at - time.monotonic()))


def check_ends(machine: Guest, deadline: float) -> None:
    """Wait for the fence's work to be done, then see that it held to the figures."""
    sleep_until(deadline + BUDGET_S)
    dead = {job: last_beat(machine, job) - deadline for job in ONCE}
    assert abs(dead["good"]) <= PRECISION_S, dead
    assert 2 - PRECISION_S <= dead["stubborn"] <= BUDGET_S, dead
    assert 2 - PRECISION_S <= dead["fan"] <= BUDGET_S, dead
    assert not any(lives(machine, job) for job in ONCE)


def test_the_deadline_holds_whatever_happens_to_pid_1_and_the_agent(fenced: Machine) -> None:
    """To 0.1 s, through the death of who armed it, a reload, a re-execution and an apply."""
    deadline = time.monotonic() + 8
    arm(fenced, deadline)
    kill_agent(fenced)
    fenced.succeed("systemctl daemon-reload")
    fenced.succeed("systemctl daemon-reexec")
    apply(fenced, JOBS.replace("5min", "6min"))
    assert time.monotonic() < deadline - 0.5, "the window is too short for this machine"
    check_ends(fenced, deadline)
    assert lives(fenced, "each")
    assert manage(fenced, "fence_deadline_s()") == "None"


def test_a_fenced_job_ends_as_failed_and_can_run_again(fenced: Machine) -> None:
    """Its run has its outcome; a later start needs nothing mended, and starts no other job."""
    deadline = time.monotonic() + 2
    arm(fenced, deadline)
    check_ends(fenced, deadline)
    (row,) = wait_for_runs(fenced, "good", ended(1))
    assert row["outcome"] == "failed", row
    start(fenced, "good")
    assert [len(runs(fenced, job)) for job in ("good", "stubborn", "fan")] == [2, 1, 1]
    assert lives(fenced, "good")
    assert not lives(fenced, "stubborn")
    deadline = time.monotonic() + 1
    arm(fenced, deadline)
    sleep_until(deadline + BUDGET_S)
    assert abs(last_beat(fenced, "good") - deadline) <= PRECISION_S


def test_a_run_that_begins_while_the_fence_is_at_work_goes_on(fenced: Machine) -> None:
    """The KILL is for what ran at the deadline: a new run has a lease of its own."""
    deadline = time.monotonic() + 2
    arm(fenced, deadline)
    fenced.wait_until("! systemctl -q is-active hostagentd-once.target")
    wait_for_runs(fenced, "good", ended(1), timeout=1.5)
    start(fenced, "good")
    assert time.monotonic() < deadline + 2, "too late to be at work still"
    sleep_until(deadline + BUDGET_S)
    assert not lives(fenced, "stubborn")
    assert lives(fenced, "good")


def test_the_fence_moves_and_can_be_dropped(fenced: Machine) -> None:
    """Only the last deadline counts; after a disarm there is none, and nothing is left of it."""
    first = time.monotonic() + 2
    arm(fenced, first)
    second = first + 3
    arm(fenced, second)
    third = time.monotonic() + 60
    sleep_until(first + 0.5)
    assert lives(fenced, "good")
    arm(fenced, third)
    manage(fenced, "disarm_fence()")
    sleep_until(second + 0.5)
    assert all(lives(fenced, job) for job in (*ONCE, "each"))
    left = "systemctl list-units --all --no-legend 'hostagentd-fence*'"
    assert fenced.succeed(left) == ""


def _without_a_bus(machine: Machine, deadline: float) -> None:
    machine.succeed("systemctl stop dbus.socket dbus.service 2>/dev/null")
    check_ends(machine, deadline)


def _while_it_shuts_down(machine: Machine, deadline: float) -> None:
    machine.shut_down(timeout=30)  # or it would wait for 5 minutes
    dead = [float(machine.read(f"/root/beats-{job}").split()[-1]) for job in ("stubborn", "fan")]
    at = deadline + time.time() - time.monotonic()
    assert all(2 - PRECISION_S <= end - at <= BUDGET_S for end in dead)


def _with_jobs_of_an_older_version(machine: Machine, deadline: float) -> None:
    machine.succeed("systemctl stop --job-mode=ignore-dependencies hostagentd-once.target")
    assert lives(machine, "good")
    check_ends(machine, deadline)


@pytest.mark.parametrize(
    "circumstance", [_without_a_bus, _while_it_shuts_down, _with_jobs_of_an_older_version]
)
def test_the_fence_needs_little(
    fenced: Machine, circumstance: Callable[[Machine, float], None]
) -> None:
    """No bus, no host that stays up, no target that is up: the jobs are dead in time."""
    deadline = time.monotonic() + 3
    arm(fenced, deadline)
    circumstance(fenced, deadline)


def test_nothing_done_to_the_target_starts_a_job(fenced: Machine) -> None:
    """Its stop is the stop of the jobs; a restart is refused; a start comes with a job's only."""
    target = "hostagentd-once.target"
    fenced.succeed("systemctl is-active " + target)
    for verb in ("restart", "try-restart", "start"):
        fenced.fail(f"systemctl {verb} {target}")
    assert all(lives(fenced, job) for job in ONCE)
    fenced.succeed(f"systemctl stop {target}")
    wait_for_runs(fenced, "good", ended(1))
    fenced.succeed("systemctl kill --signal=KILL hostagent-stubborn 'hostagent-fan@*.service'")
    for job in ("stubborn", "fan"):
        wait_for_runs(fenced, job, ended(1))
    start(fenced, "good")
    fenced.succeed("systemctl is-active " + target)
    assert [len(runs(fenced, job)) for job in (*ONCE, "each")] == [2, 1, 1, 1]
