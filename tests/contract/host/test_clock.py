"""The wall timer, on this kernel."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.host.clock import Clock, Fired, WallTimer


@pytest.fixture
def timer() -> Iterator[WallTimer]:
    """A timer that is armed for no instant."""
    with closing(WallTimer()) as one:
        yield one


def readable(timer: WallTimer, seconds: float) -> bool:
    """Whether the timer wakes us within ``seconds``."""
    return bool(select.select([timer.fileno()], [], [], seconds)[0])


own_clock = pytest.mark.skipif(
    "HOSTAGENT_OWN_CLOCK" not in os.environ,
    reason="sets the clock: only in a VM, which sets HOSTAGENT_OWN_CLOCK (others share this one)",
)


def set_clock_to_itself() -> None:
    """A step of no length: the kernel tells of it as of any other."""
    time.clock_settime_ns(time.CLOCK_REALTIME, time.clock_gettime_ns(time.CLOCK_REALTIME))


def test_the_timer_fires_at_its_instant_and_not_before(timer: WallTimer) -> None:
    """``DUE`` comes at or after the instant, and promptly."""
    at = datetime.now(UTC) + timedelta(milliseconds=150)
    timer.arm(at)
    assert readable(timer, 5)
    assert at <= datetime.now(UTC) < at + timedelta(seconds=2)
    assert timer.read() is Fired.DUE
    assert timer.read() is Fired.NOTHING


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=3), timedelta(days=30_000)])
def test_an_instant_that_has_passed_fires_at_once(timer: WallTimer, ago: timedelta) -> None:
    """Also one before the epoch."""
    timer.arm(datetime.now(UTC) - ago)
    assert readable(timer, 2)
    assert timer.read() is Fired.DUE


def test_arming_replaces_the_earlier_instant(timer: WallTimer) -> None:
    """Neither the old instant nor an unread one is left over."""
    timer.arm(datetime.now(UTC))
    assert readable(timer, 2)
    timer.arm(None)
    assert not readable(timer, 0.05)
    assert timer.read() is Fired.NOTHING


@own_clock
def test_a_step_of_the_clock_wakes(timer: WallTimer) -> None:
    """Even with nothing due, and again after it was armed anew."""
    for at in (None, datetime.now(UTC) + timedelta(days=1)):
        timer.arm(at)
        set_clock_to_itself()
        assert readable(timer, 2)
        assert timer.read() is Fired.CLOCK_CHANGED


@own_clock
def test_a_step_that_was_not_read_is_not_lost_by_arming(timer: WallTimer) -> None:
    """Arming in the same turn as the step still leaves ``CLOCK_CHANGED`` to be read, once."""
    set_clock_to_itself()
    timer.arm(datetime.now(UTC) + timedelta(days=1))
    assert readable(timer, 2)
    assert timer.read() is Fired.CLOCK_CHANGED
    timer.arm(datetime.now(UTC) + timedelta(days=1))
    assert not readable(timer, 0.05)


def test_the_clocks_agree_with_the_kernel() -> None:
    """Aware UTC; the boot clock includes what the monotonic one leaves out."""
    clock = Clock()
    assert abs(clock.now().timestamp() - time.time()) < 1
    assert clock.now().tzinfo is UTC
    monotonic_s = clock.monotonic_s()
    assert 0 < monotonic_s <= clock.boottime_s()
