"""The file server's clock, told apart within its ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_TICK = timedelta(milliseconds=20)
_LEAST = timedelta(microseconds=1)


class Clock:
    """Stamps of files move in the kernel's ticks of some milliseconds; ours by a microsecond.

    What this process sees one after the other gets times one after the other. Where the server's
    clock is set back, ours goes with it.
    """

    def __init__(self) -> None:
        self._latest = datetime.min.replace(tzinfo=UTC)

    def saw(self, stamp: datetime) -> None:
        """What comes later is told later than ``stamp``."""
        self._latest = max(self._latest, stamp)

    def at(self, stamp: datetime) -> datetime:
        """The time of a file that was made just now."""
        if stamp <= self._latest < stamp + _TICK:
            stamp = self._latest + _LEAST
        self._latest = stamp
        return stamp
