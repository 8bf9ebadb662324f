"""The clocks, and one timer that also notices when the wall clock is set.

The only place that asks the kernel for the time.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from datetime import UTC, datetime, timedelta
from enum import Enum

# timerfd_create(2), bits/timerfd.h; Python has them from 3.13 on.
_TFD_NONBLOCK, _TFD_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_TFD_TIMER_ABSTIME, _TFD_TIMER_CANCEL_ON_SET = 1, 2
_EPOCH = datetime.fromtimestamp(0, UTC)
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


class Clock:
    """The time, as the rest of the project is handed it."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def boottime_s(self) -> float:
        """Seconds since boot, suspend included (CLOCK_BOOTTIME): never set, never steps."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def monotonic_s(self) -> float:
        """Seconds since boot, suspend not included (CLOCK_MONOTONIC): PID 1's timestamps."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)


class Fired(Enum):
    """Why a ``WallTimer`` woke us."""

    DUE = "due"
    CLOCK_CHANGED = "clock changed"
    NOTHING = "nothing"


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


_libc = ctypes.CDLL(None, use_errno=True)


class WallTimer:
    """A timer at an instant of the wall clock; its descriptor becomes readable.

    It fires at that instant of whatever the clock then says, and at once when the clock is
    stepped (settimeofday, a time daemon's step, a resume with another time): the kernel's
    TFD_TIMER_CANCEL_ON_SET. A slewed clock is no step.
    """

    def __init__(self) -> None:
        self._fd: int = _libc.timerfd_create(time.CLOCK_REALTIME, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._step_seen = False
        self.arm(None)

    def fileno(self) -> int:
        """The descriptor for an event loop."""
        return self._fd

    def arm(self, at: datetime | None) -> None:
        """Fire at ``at`` (at once when it has passed), instead of an instant armed before.

        None: fire only when the clock is stepped.
        """
        microseconds = max(1, ((at or _NEVER) - _EPOCH) // timedelta(microseconds=1))
        if not self._set(microseconds):
            # A step that nobody has read yet; the kernel tells it once. Wake up now to pass it on.
            self._step_seen = True
            self._set(1)

    def _set(self, microseconds: int) -> bool:
        """Arm at that time since the epoch; False: armed, and the clock was stepped before."""
        at = _Timespec(microseconds // 10**6, microseconds % 10**6 * 1000)
        new = _Itimerspec(_Timespec(0, 0), at)
        flags = _TFD_TIMER_ABSTIME | _TFD_TIMER_CANCEL_ON_SET
        if _libc.timerfd_settime(self._fd, flags, ctypes.byref(new), None) == 0:
            return True
        number = ctypes.get_errno()
        if number != errno.ECANCELED:
            raise OSError(number, "timerfd_settime")
        return False

    def read(self) -> Fired:
        """Why the descriptor is readable. After ``CLOCK_CHANGED`` it must be armed anew."""
        if self._step_seen:
            self._step_seen = False
            return Fired.CLOCK_CHANGED
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return Fired.NOTHING
        except OSError as error:
            if error.errno == errno.ECANCELED:
                return Fired.CLOCK_CHANGED
            raise
        return Fired.DUE

    def close(self) -> None:
        """Close the descriptor. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
