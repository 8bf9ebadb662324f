"""What ``port.Systemd`` promises of services and of the fence, for every implementation of it.

``test_manager.py`` and ``test_fence.py`` hold the bus client against PID 1 of each release,
``test_fake.py`` the simulation's. What only a real one can show stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import pytest

from hostagent.errors import SystemdError
from hostagent.systemd.port import ServiceState, Systemd

HOUR = 3600.0
PRECISION_S = 0.001

ENDS = {
    "success": ("ExecStart=/bin/true", "inactive", "success", 0, None),
    "exit": ("ExecStart=/bin/sh -c 'exit 3'", "failed", "exit-code", 3, None),
    "clean-exit": (
        "SuccessExitStatus=3\nExecStart=/bin/sh -c 'exit 3'",
        "inactive",
        "success",
        3,
        None,
    ),
    "killed": ("ExecStart=/bin/sh -c 'kill -9 $$$$'", "failed", "signal", None, "KILL"),
    "timeout": (
        "TimeoutStartSec=200ms\nExecStart=/bin/sleep 60",
        "failed",
        "timeout",
        None,
        "TERM",
    ),
    "no-such-program": ("ExecStart=/nonexistent", "failed", "exit-code", 203, None),
}
NEVER_STARTED = {
    "refused": (
        "ExecCondition=/bin/false\nExecStart=/bin/true",
        "inactive",
        "exec-condition",
    ),
    "no-resources": ("EnvironmentFile=/nonexistent\nExecStart=/bin/true", "failed", "resources"),
}


class Rig(Protocol):
    """A PID 1 to try things on."""

    @property
    def systemd(self) -> Systemd:
        """The implementation."""

    def service(self, name: str, *lines: str) -> str:
        """Install a oneshot service; its unit's name."""

    def wait_for(self, fact: Callable[[], bool]) -> None:
        """Until it is so."""

    def now(self) -> datetime:
        """The host's wall clock."""

    def monotonic_s(self) -> float:
        """The host's CLOCK_MONOTONIC."""

    def again(self) -> Systemd:
        """Another process's connection."""


def run(rig: Rig, unit: str) -> ServiceState:
    """Start, wait for the end whatever it is, keep PID 1 from forgetting."""
    systemd = rig.systemd
    systemd.ref(unit)
    systemd.start([unit])
    rig.wait_for(lambda: not (s := systemd.service(unit)).is_running and not s.job_pending)
    return systemd.service(unit)


class ServiceContract:
    """Starts and ends."""

    def test_that_all_units_are_read_anew_is_told(self, rig: Rig) -> None:
        """Whoever has it done, and only then."""
        told: list[str] = []
        systemd = rig.systemd
        systemd.watch("told", told.append, lambda: told.append("reloaded"))
        systemd.dispatch()
        assert told == []
        rig.again().reload()

        def is_told() -> bool:
            systemd.dispatch()
            return told != []

        rig.wait_for(is_told)
        assert set(told) == {"reloaded"}

    @pytest.mark.parametrize("case", ENDS)
    def test_how_the_main_process_ended_is_told(self, rig: Rig, case: str) -> None:
        """Result, exit code or signal, and both instants, as PID 1 saw them."""
        lines, active_state, result, exit_code, signal = ENDS[case]
        before = rig.now()
        state = run(rig, rig.service(f"end-{case}", lines))
        assert (state.load_state, state.active_state, state.result) == (
            "loaded",
            active_state,
            result,
        )
        assert (state.exit_code, state.signal) == (exit_code, signal)
        assert state.started_at
        assert state.ended_at
        assert before <= state.started_at <= state.ended_at <= rig.now()
        assert state.invocation_id
        assert len(state.invocation_id) == 32
        assert state.usage.cpu_s is not None

    def test_memory_of_a_unit_that_is_not_up_is_not_told(self, rig: Rig) -> None:
        """Nor of one that there is not."""
        assert rig.systemd.memory(rig.service("memory", "ExecStart=/bin/true")) is None
        assert rig.systemd.memory("no-such-unit.service") is None

    def test_usage_of_a_unit_that_is_up_is_told_while_it_runs(self, rig: Rig) -> None:
        """Also of one that sleeps: it stands still, it does not fall back."""
        unit = rig.service("usage", "ExecStart=/bin/sleep 60")
        rig.systemd.start([unit])
        rig.wait_for(lambda: rig.systemd.service(unit).started_at is not None)
        first = rig.systemd.usage(unit).cpu_s
        assert first is not None
        second = rig.systemd.usage(unit).cpu_s
        assert second is not None
        assert 0 <= first <= second < 60
        rig.systemd.stop([unit])

    def test_usage_of_a_unit_that_was_never_started_is_not_told(self, rig: Rig) -> None:
        """Nor of one that there is not."""
        assert rig.systemd.usage(rig.service("unused", "ExecStart=/bin/true")).cpu_s is None
        assert rig.systemd.usage("no-such-unit.service").cpu_s is None

    @pytest.mark.parametrize("case", NEVER_STARTED)
    def test_a_command_that_was_never_executed_has_no_start(self, rig: Rig, case: str) -> None:
        """An invocation that ended before ExecStart has an end, but neither start nor status."""
        lines, active_state, result = NEVER_STARTED[case]
        state = run(rig, rig.service(f"never-{case}", lines))
        assert (state.active_state, state.result) == (active_state, result)
        assert state.invocation_id
        assert (state.started_at, state.exit_code, state.signal) == (None, None, None)
        assert state.ended_at

    def test_a_start_that_was_stopped_while_admission_was_asked_for_has_no_start(
        self, rig: Rig
    ) -> None:
        """PID 1 calls it a signal; the command was not executed."""
        unit = rig.service("asking", "ExecCondition=/bin/sleep 60\nExecStart=/bin/true")
        rig.systemd.ref(unit)
        rig.systemd.start([unit])
        rig.wait_for(lambda: rig.systemd.service(unit).sub_state == "condition")
        rig.systemd.stop([unit])
        rig.wait_for(lambda: not rig.systemd.service(unit).is_running)
        state = rig.systemd.service(unit)
        assert (state.active_state, state.result) == ("failed", "signal")
        assert (state.started_at, state.exit_code, state.signal) == (None, None, None)
        assert state.ended_at

    def test_a_command_that_was_stopped_was_killed(self, rig: Rig) -> None:
        """TERM is no clean end for a oneshot service, whoever sent it."""
        unit = rig.service("stopped", "ExecStart=/bin/sleep 60")
        rig.systemd.ref(unit)
        rig.systemd.start([unit])
        rig.wait_for(lambda: rig.systemd.service(unit).started_at is not None)
        rig.systemd.stop([unit])
        rig.wait_for(lambda: not rig.systemd.service(unit).is_running)
        state = rig.systemd.service(unit)
        assert (state.active_state, state.result, state.signal) == ("failed", "signal", "TERM")

    def test_what_does_not_exist_is_not_found(self, rig: Rig) -> None:
        """Services and timers without a file are ``not-found``, no error."""
        state = rig.systemd.service("nothing.service")
        found = (state.load_state, state.invocation_id, state.is_running)
        assert found == ("not-found", None, False)
        assert rig.systemd.timer("nothing.timer").load_state == "not-found"

    def test_one_refusal_does_not_hold_up_the_others(self, rig: Rig) -> None:
        """All units are tried, then one error names those that PID 1 refused."""
        unit = rig.service("works", "ExecStart=/bin/true")
        rig.systemd.ref(unit)
        with pytest.raises(SystemdError, match=r"start of nothing\.service: .*not found"):
            rig.systemd.start(["nothing.service", unit])
        rig.wait_for(lambda: rig.systemd.service(unit).exit_code == 0)

    def test_stopping_and_forgetting_the_unknown_is_no_error(self, rig: Rig) -> None:
        """What is not there needs no stop and has no failure."""
        rig.systemd.stop(["nothing.service"])
        rig.systemd.reset_failed(["nothing.service"])
        rig.systemd.unref("nothing.service")

    def test_without_a_reference_a_finished_unit_is_forgotten(self, rig: Rig) -> None:
        """And with one, not before that is given back."""
        unit = rig.service("held", "ExecStart=/bin/true")
        assert run(rig, unit).invocation_id
        rig.systemd.unref(unit)
        rig.systemd.unref(unit)
        rig.wait_for(lambda: rig.systemd.service(unit).invocation_id is None)


class FenceContract:
    """Arming and disarming; that it stops jobs is shown by tests/machine and the simulation."""

    def test_one_fence_stands_however_often_it_is_moved(self, rig: Rig) -> None:
        """Later or earlier: the last deadline is in force."""
        assert rig.systemd.fence_deadline_s() is None
        start = rig.monotonic_s() + HOUR
        for step in (0, 1, 2, 30, 3, 3, -600):
            rig.systemd.arm_fence(start + step)
            told = rig.systemd.fence_deadline_s()
            assert told == pytest.approx(start + step, abs=2 * PRECISION_S)

    def test_another_process_moves_the_fence_that_it_finds(self, rig: Rig) -> None:
        """Nothing about the fence is kept but in PID 1."""
        start = rig.monotonic_s() + HOUR
        rig.systemd.arm_fence(start)
        rig.systemd.close()
        other = rig.again()
        assert other.fence_deadline_s() == pytest.approx(start, abs=2 * PRECISION_S)
        other.arm_fence(start + 1)
        other.disarm_fence()
        assert other.fence_deadline_s() is None
        other.close()

    def test_disarming_may_be_repeated(self, rig: Rig) -> None:
        """Also where there is nothing to disarm."""
        rig.systemd.disarm_fence()
        rig.systemd.arm_fence(rig.monotonic_s() + HOUR)
        for _ in range(2):
            rig.systemd.disarm_fence()
            assert rig.systemd.fence_deadline_s() is None

    def test_a_deadline_that_has_passed_stands_no_more(self, rig: Rig) -> None:
        """It fires at once; what is armed after it stands."""
        for passed in (rig.monotonic_s() - 1, -1.0):
            rig.systemd.arm_fence(passed)
            assert rig.systemd.fence_deadline_s() is None
            rig.systemd.arm_fence(rig.monotonic_s() + HOUR)
            assert rig.systemd.fence_deadline_s() is not None
            rig.systemd.disarm_fence()
