"""A host's clocks, which can be set and suspended; and the timer that waits on one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hostagent.host.clock import Clock, Fired, WallTimer
from tests.simulation.loop import MICROS, VirtualLoop

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def instant(micros: int) -> datetime:
    """Microseconds since the epoch as a datetime."""
    return EPOCH + timedelta(microseconds=micros)


def micros(at: datetime) -> int:
    """The inverse of ``instant``."""
    return (at - EPOCH) // MICROSECOND


class HostClock(Clock):
    """One kernel's clocks. ``offset`` is by how many microseconds its wall clock is ahead.

    ``on_step`` are told when the wall clock is set, and after a suspend.
    """

    def __init__(self, loop: VirtualLoop, offset: int = 0) -> None:
        self.loop = loop
        self.offset = offset
        self.on_step: list[Callable[[], None]] = []
        self._booted = loop.now
        self._slept = 0
        self._sleeps_since: int | None = None

    def now(self) -> datetime:
        """The wall clock."""
        return instant(self.loop.true_now + self.offset)

    def boottime_s(self) -> float:
        """Elapsed since the boot."""
        return (self.loop.now - self._booted) / MICROS

    def monotonic_s(self) -> float:
        """Without what was slept through."""
        until = self.loop.now if self._sleeps_since is None else self._sleeps_since
        return (until - self._booted - self._slept) / MICROS

    def true(self, at: datetime) -> int:
        """The true time at which the wall clock shows ``at``, if it is not set before."""
        return micros(at) - self.offset

    def boot(self) -> None:
        """Begin anew; the wall clock is the battery's and goes on."""
        self._booted, self._slept, self._sleeps_since = self.loop.now, 0, None
        self.on_step.clear()

    def step(self, offset: int) -> None:
        """Set the wall clock to so many microseconds ahead of true time."""
        self.offset = offset
        self._tell()

    def suspend(self) -> None:
        """CLOCK_MONOTONIC stands still from here on."""
        self._sleeps_since = self.loop.now

    def resume(self) -> None:
        """And goes on. To the kernel's timers the wall clock was set."""
        assert self._sleeps_since is not None
        self._slept += self.loop.now - self._sleeps_since
        self._sleeps_since = None
        self._tell()

    def _tell(self) -> None:
        for listener in list(self.on_step):
            listener()


class FakeWallTimer(WallTimer):
    """See ``WallTimer``: what reads its descriptor is woken by the loop."""

    def __init__(self, clock: HostClock) -> None:
        self._clock = clock
        self._descriptor = clock.loop.descriptor()
        self._at: datetime | None = None
        self._pending: asyncio.Handle | None = None
        self._is_due = self._was_set = False
        clock.on_step.append(self._step)

    def fileno(self) -> int:
        """A descriptor of the loop's."""
        return self._descriptor

    def arm(self, at: datetime | None) -> None:
        """See ``WallTimer``."""
        if at != self._at or self._pending is None:
            self._at, self._is_due = at, False
            self._arm()
        if self._was_set:
            self._wake()

    def read(self) -> Fired:
        """See ``WallTimer``."""
        if self._was_set:
            self._was_set = self._is_due = False
            return Fired.CLOCK_CHANGED
        if self._is_due:
            self._is_due = False
            return Fired.DUE
        return Fired.NOTHING

    def close(self) -> None:
        """See ``WallTimer``."""
        if self._pending is not None:
            self._pending.cancel()
        if self._step in self._clock.on_step:
            self._clock.on_step.remove(self._step)

    @property
    def is_readable(self) -> bool:
        """Whether ``select`` would tell of it."""
        return self._is_due or self._was_set

    def _arm(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._at is not None:
            at = max(self._clock.true(self._at), self._clock.loop.true_now)
            self._pending = self._clock.loop.call_at_true(at, self._fire)

    def _fire(self) -> None:
        self._pending = None
        self._is_due = True
        self._wake()

    def _step(self) -> None:
        self._was_set = True
        self._arm()
        self._wake()

    def _wake(self) -> None:
        self._clock.loop.make_readable(self._descriptor)
