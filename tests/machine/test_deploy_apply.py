"""apply on a real PID 1: what it writes, arms and leaves alone."""

from __future__ import annotations

from tests.machine.deploying import deploy, job, ran, timers, tree
from tests.machine.machine import Machine


def test_a_second_apply_does_nothing(any_machine: Machine) -> None:
    """0 writes, 0 reloads, 0 restarts when nothing differs."""
    jobs = [job("one"), job("two", for_each=("eu", "us/east"))]
    first = deploy(any_machine, jobs)
    assert first["exit"] == 0, first
    assert first["counts"] == {"reload": 1, "start": 1, "stop": 0}
    assert timers(any_machine) == {
        "hostagent-one.timer": "active",
        "hostagent-two@eu.timer": "active",
        "hostagent-two@us-east.timer": "active",
    }
    before = tree(any_machine)
    second = deploy(any_machine, jobs)
    assert second["out"]["is_unchanged"]
    assert second["counts"] == {"reload": 0, "start": 0, "stop": 0}
    assert tree(any_machine) == before
    assert not ran(any_machine)
