"""The simulation's PID 1 keeps the same contract as the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from random import Random

import pytest

from tests.contract.systemd.contract import FenceContract, Rig, ServiceContract
from tests.simulation.clocks import HostClock
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.pid1 import Behaviour, Connection, Pid1, UnitFile

COMMANDS = {
    "/bin/true": Behaviour(0.001),
    "/bin/sh -c 'exit 3'": Behaviour(0.001, exit_code=3),
    "/bin/sh -c 'kill -9 $$$$'": Behaviour(0.001, signal="KILL"),
    "/bin/sleep 60": Behaviour(60),
    "/nonexistent": Behaviour(0.001, exit_code=203),
}
"""What the contract's commands do."""


class FakeRig:
    """``contract.Rig`` and ``pid1.Program``: unit files are understood as far as it needs."""

    def __init__(self, place: Path) -> None:
        self.loop = VirtualLoop(10**15)  # type: ignore[abstract]
        self._clock = HostClock(self.loop)
        self._place = place
        self._units: dict[str, dict[str, str]] = {}
        kernel = Process(self.loop, "kernel")
        self._pid1 = Pid1(
            self.loop, self._clock, Random(1), kernel, place, self, self._admit, lambda: True
        )
        self.systemd = Connection(self._pid1)

    def service(self, name: str, *lines: str) -> str:
        unit = f"{name}.service"
        pairs = [line.split("=", 1) for line in "\n".join(lines).splitlines()]
        keys = self._units[unit] = dict(pairs)
        if "EnvironmentFile" not in keys:
            (self._place / f"{name}.env").write_text("")
        file = UnitFile(
            unit,
            timeout_s=0.2 if "TimeoutStartSec" in keys else 60,
            success_exit_status=frozenset({0, int(keys.get("SuccessExitStatus", 0))}),
            is_admitted="ExecCondition" in keys or "EnvironmentFile" in keys,
        )
        self._pid1.deploy([file])
        return unit

    def wait_for(self, fact: Callable[[], bool]) -> None:
        async def until() -> None:
            while not fact():
                await asyncio.sleep(0.02)
                assert self.loop.now < 60_000_000, "did not come true"

        self.loop.run(until())

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def again(self) -> Connection:
        return Connection(self._pid1)

    def start(self, unit: str, env: Mapping[str, str]) -> Behaviour:
        return COMMANDS[self._units[unit]["ExecStart"]]

    def stop(self, unit: str, *, is_end: bool) -> None:
        """Nobody keeps a history."""

    def is_queued(self, unit: str) -> None:
        """Nobody asks."""

    def _admit(self, unit: str, invocation: str) -> asyncio.Future[bool]:
        answer: asyncio.Future[bool] = self.loop.create_future()
        condition = self._units[unit].get("ExecCondition", "/bin/true")
        if condition != "/bin/sleep 60":
            answer.set_result(condition == "/bin/true")
        return answer


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """The simulation's PID 1."""
    return FakeRig(tmp_path)


class TestServices(ServiceContract):
    """The contract, on the simulation's PID 1."""


class TestFence(FenceContract):
    """The contract, on the simulation's PID 1."""


def test_the_fence_stops_and_then_kills_what_it_found(tmp_path: Path) -> None:
    """Two seconds after its deadline a job that ignores TERM is gone; one begun since stays."""
    rig = FakeRig(tmp_path)
    unit, later = rig.service("old", "ExecStart=/bin/sleep 60"), "new.service"
    rig.systemd.ref(unit)
    rig.systemd.start([unit])
    rig.wait_for(lambda: rig.systemd.service(unit).started_at is not None)
    rig.systemd.arm_fence(rig.monotonic_s() + 5)
    began = rig.monotonic_s()
    rig.wait_for(lambda: not rig.systemd.service(unit).is_running)
    assert 5 <= rig.monotonic_s() - began < 5.1
    rig.service("new", "ExecStart=/bin/sleep 60")
    rig.systemd.ref(later)
    rig.systemd.start([later])
    rig.wait_for(lambda: rig.monotonic_s() - began > 8)
    assert rig.systemd.service(later).is_running
