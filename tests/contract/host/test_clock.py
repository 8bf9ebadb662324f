"""The clocks and the wall timer: this kernel's, and the simulation's."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.host.clock import Clock, Fired, WallTimer
from tests.simulation.clocks import FakeWallTimer, HostClock, micros
from tests.simulation.loop import VirtualLoop


class Kernel:
    """This kernel's clocks, which only a VM of our own may set."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.timer = WallTimer()

    def readable(self, seconds: float) -> bool:
        """Whether the timer wakes us within ``seconds``."""
        return bool(select.select([self.timer.fileno()], [], [], seconds)[0])

    def step(self) -> None:
        """Set the clock to itself: the kernel tells of it as of any other step."""
        if "HOSTAGENT_OWN_CLOCK" not in os.environ:
            pytest.skip("sets the clock: only in a VM, which sets HOSTAGENT_OWN_CLOCK")
        time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))


class Simulated:
    """The simulation's clocks."""

    def __init__(self) -> None:
        self._loop = VirtualLoop(micros(datetime.now(UTC)))  # type: ignore[abstract]
        self.clock = HostClock(self._loop, offset=123_456)
        self.timer = FakeWallTimer(self.clock)

    def readable(self, seconds: float) -> bool:
        """Whether the timer wakes us within ``seconds``."""
        self._loop.add_reader(self.timer.fileno(), lambda: None)

        async def wait() -> bool:
            for _ in range(round(seconds * 1000)):
                if self.timer.is_readable:
                    break
                await asyncio.sleep(0.001)
            return self.timer.is_readable

        return self._loop.run(wait())

    def step(self) -> None:
        """Set the clock to itself."""
        self.clock.step(self.clock.offset)


Rig = Kernel | Simulated


@pytest.fixture(params=[Kernel, Simulated])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Clocks, and a timer that is armed for no instant."""
    one: Rig = request.param()
    with closing(one.timer):
        yield one


def test_the_timer_fires_at_its_instant_and_not_before(rig: Rig) -> None:
    """``DUE`` comes at or after the instant, and promptly."""
    at = rig.clock.now() + timedelta(milliseconds=150)
    rig.timer.arm(at)
    assert rig.readable(5)
    assert at <= rig.clock.now() < at + timedelta(seconds=2)
    assert rig.timer.read() is Fired.DUE
    assert rig.timer.read() is Fired.NOTHING


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=3), timedelta(days=30_000)])
def test_an_instant_that_has_passed_fires_at_once(rig: Rig, ago: timedelta) -> None:
    """Also one before the epoch."""
    rig.timer.arm(rig.clock.now() - ago)
    assert rig.readable(2)
    assert rig.timer.read() is Fired.DUE


def test_arming_replaces_the_earlier_instant(rig: Rig) -> None:
    """Neither the old instant nor an unread one is left over."""
    rig.timer.arm(rig.clock.now())
    assert rig.readable(2)
    rig.timer.arm(None)
    assert not rig.readable(0.05)
    assert rig.timer.read() is Fired.NOTHING


def test_a_step_of_the_clock_wakes(rig: Rig) -> None:
    """Even with nothing due, and again after it was armed anew."""
    for at in (None, rig.clock.now() + timedelta(days=1)):
        rig.timer.arm(at)
        rig.step()
        assert rig.readable(2)
        assert rig.timer.read() is Fired.CLOCK_CHANGED


def test_a_step_that_was_not_read_is_not_lost_by_arming(rig: Rig) -> None:
    """Arming in the same turn as the step still leaves ``CLOCK_CHANGED`` to be read, once."""
    rig.step()
    rig.timer.arm(rig.clock.now() + timedelta(days=1))
    assert rig.readable(2)
    assert rig.timer.read() is Fired.CLOCK_CHANGED
    rig.timer.arm(rig.clock.now() + timedelta(days=1))
    assert not rig.readable(0.05)


def test_the_clocks_of_a_host_go_together(rig: Rig) -> None:
    """Aware UTC; the boot clock includes what the monotonic one leaves out."""
    before = rig.clock.boottime_s(), rig.clock.monotonic_s()
    rig.timer.arm(None)
    assert not rig.readable(0.05)
    assert rig.clock.now().tzinfo is UTC
    went = rig.clock.boottime_s() - before[0], rig.clock.monotonic_s() - before[1]
    assert 0.05 <= went[0] == pytest.approx(went[1], abs=0.001)
    assert rig.clock.monotonic_s() <= rig.clock.boottime_s()


def test_the_clocks_agree_with_the_kernel() -> None:
    """Aware UTC; the boot clock includes what the monotonic one leaves out."""
    clock = Clock()
    assert abs(clock.now().timestamp() - time.time()) < 1
    assert clock.now().tzinfo is UTC
    monotonic_s = clock.monotonic_s()
    assert 0 < monotonic_s <= clock.boottime_s()


def test_a_suspend_is_a_step_and_stands_still_for_one_clock() -> None:
    """The simulation's: CLOCK_BOOTTIME goes on, and the wall timer says that the clock was set."""
    rig = Simulated()
    rig.timer.arm(rig.clock.now() + timedelta(seconds=1))
    boottime_s, monotonic_s = rig.clock.boottime_s(), rig.clock.monotonic_s()
    rig.clock.suspend()
    rig.readable(10)
    rig.clock.resume()
    assert rig.timer.read() is Fired.CLOCK_CHANGED
    assert rig.clock.boottime_s() - boottime_s >= 1
    assert rig.clock.monotonic_s() == monotonic_s
