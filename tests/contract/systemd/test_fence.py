"""What ``port.Systemd`` promises of the fence, held against PID 1 of each release.

That it stops jobs, and when, is shown by tests/machine/test_fence.py.
"""

from __future__ import annotations

import time

import pytest

from hostagent.errors import SystemdError
from hostagent.systemd import fence
from hostagent.systemd.manager import Manager
from tests.contract.systemd.contract import HOUR, PRECISION_S, FenceContract
from tests.machine.machine import Machine


def in_an_hour() -> float:
    """A deadline that no test lives to see."""
    return time.monotonic() + HOUR


def timers(machine: Machine) -> list[str]:
    """The fence's timers that are loaded, in whatever state."""
    listed = "systemctl list-units --all --plain --no-legend 'hostagentd-fence@*.timer'"
    return [line.split()[0] for line in machine.succeed(listed).splitlines()]


class TestFence(FenceContract):
    """The contract, on a real PID 1."""


def test_the_deadline_is_told_as_it_was_given(manager: Manager, any_machine: Machine) -> None:
    """To the millisecond and never later, also after PID 1 has read it from its file again."""
    assert manager.fence_deadline_s() is None
    asked = in_an_hour() + 0.000_9
    manager.arm_fence(asked)
    for order in ("true", "systemctl daemon-reload", "systemctl daemon-reexec"):
        any_machine.succeed(order)
        told = manager.fence_deadline_s()
        assert told is not None
        assert 0 <= asked - told <= PRECISION_S + 1e-6
        manager.arm_fence(asked)
        assert timers(any_machine) == ["hostagentd-fence@a.timer"]


def test_one_fence_stands_however_often_it_is_moved(manager: Manager, any_machine: Machine) -> None:
    """Later or earlier: the last deadline is in force, and nothing of the others is left."""
    start = in_an_hour()
    for step in (0, 1, 2, 30, 3, 3, -600):
        manager.arm_fence(start + step)
        assert manager.fence_deadline_s() == pytest.approx(start + step, abs=2 * PRECISION_S)
        assert len(timers(any_machine)) == 1


def test_the_new_fence_stands_before_the_old_one_is_dropped(
    manager: Manager, any_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies between the two leaves both; the next caller leaves one."""
    start = in_an_hour()
    with monkeypatch.context() as dying:
        dying.setattr(fence, "_drop", lambda *_, **__: None)
        for step in (2, 0, 1):
            manager.arm_fence(start + step)
        assert len(timers(any_machine)) == 3
        assert manager.fence_deadline_s() == pytest.approx(start, abs=2 * PRECISION_S)
    manager.arm_fence(start + 9)
    assert len(timers(any_machine)) == 1
    assert manager.fence_deadline_s() == pytest.approx(start + 9, abs=2 * PRECISION_S)


def test_another_process_moves_the_fence_that_it_finds(
    manager: Manager, any_machine: Machine
) -> None:
    """Nothing about the fence is kept but in PID 1."""
    start = in_an_hour()
    manager.arm_fence(start)
    manager.close()
    other = Manager()
    assert other.fence_deadline_s() == pytest.approx(start, abs=2 * PRECISION_S)
    other.arm_fence(start + 1)
    assert len(timers(any_machine)) == 1
    other.disarm_fence()
    other.close()
    assert manager.fence_deadline_s() is None


def test_disarming_leaves_nothing_and_may_be_repeated(
    manager: Manager, any_machine: Machine
) -> None:
    """No unit of the fence is left, not even one that is loaded."""
    manager.disarm_fence()
    manager.arm_fence(in_an_hour())
    for _ in range(2):
        manager.disarm_fence()
        assert manager.fence_deadline_s() is None
        any_machine.wait_until("test -z \"$(systemctl list-units --all -q 'hostagentd-fence*')\"")


def test_a_deadline_that_has_passed_fires_at_once(manager: Manager, any_machine: Machine) -> None:
    """Also one before the boot; and what is armed while it is at work stands beside it."""
    for passed in (time.monotonic() - 1, -1.0):
        manager.arm_fence(passed)
        assert manager.fence_deadline_s() is None
        at_work = manager.loaded("hostagentd-fence@*.service")
        assert list(at_work.values()).count("activating") == 1
        for _ in range(3):
            manager.arm_fence(in_an_hour())
        assert manager.fence_deadline_s() is not None
        manager.disarm_fence()
        name = next(unit for unit, state in at_work.items() if state == "activating")
        assert manager.service(name).active_state == "activating"
        any_machine.wait_until(f"! systemctl list-units --all --plain | grep -q ^{name}")


def test_a_fence_that_cannot_stand_is_an_error_and_the_old_one_stays(
    manager: Manager, any_machine: Machine
) -> None:
    """Without its service there is no fence, and the caller is told so and what to do."""
    start = in_an_hour()
    manager.arm_fence(start)
    any_machine.succeed("systemctl mask --runtime hostagentd-fence@b.service 2>/dev/null")
    with pytest.raises(SystemdError, match=r"hostagentd-fence@b\.service is masked") as refused:
        manager.arm_fence(start + 1)
    assert refused.value.hint
    assert manager.fence_deadline_s() == pytest.approx(start, abs=2 * PRECISION_S)


def test_the_fence_is_armed_while_pid_1_executes_itself_anew(
    manager: Manager, any_machine: Machine
) -> None:
    """A lost answer is settled by reading: one fence stands, with the deadline asked for."""
    start = in_an_hour()
    any_machine.succeed("for n in 1 2 3; do systemctl daemon-reexec; done >/dev/null 2>&1 &")
    for step in range(60):
        manager.arm_fence(start + step)
        assert manager.fence_deadline_s() == pytest.approx(start + step, abs=2 * PRECISION_S)
    assert len(timers(any_machine)) == 1
