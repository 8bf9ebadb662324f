"""What a calendar expression means: the days and times it names, and its elapses in a zone.

Reading an expression is ``calendar``'s work. An elapse is computed from its index, so that any
number of them can be counted, and the last one found, without walking through them.
"""

from __future__ import annotations

import calendar as months
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import overload

from hostagent.schedule.zones import MICROSECOND, stretches, zone_of

END = datetime(2200, 1, 1, tzinfo=UTC) - MICROSECOND
"""systemd's calendar reaches from 1970 to here, and so does ours."""

_HOUR, _MINUTE = 3_600_000_000, 60_000_000


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a day that an expression names: every combination, as microseconds, sorted."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]  # in microseconds, below one minute

    def __len__(self) -> int:
        return len(self.hours) * len(self.minutes) * len(self.seconds)

    def __getitem__(self, index: int) -> int:
        rest, second = divmod(index, len(self.seconds))
        hour, minute = divmod(rest, len(self.minutes))
        return self.hours[hour] * _HOUR + self.minutes[minute] * _MINUTE + self.seconds[second]

    def before(self, microseconds: int) -> int:
        """How many of the times lie before that one: the index of the first that does not."""
        return bisect_left(self, microseconds)


@dataclass(frozen=True, slots=True)
class Expression:
    """One parsed expression. ``days`` counts from 1, or back from -1, the month's last day."""

    weekdays: frozenset[int]  # 0 is Monday
    years: tuple[int, ...]
    months: tuple[int, ...]
    days: tuple[int, ...]
    times: Times

    def dates(self, first: date, last: date) -> Iterator[date]:
        """The days on which it elapses, from ``first`` to ``last``, both included."""
        for year in self.years[bisect_left(self.years, first.year) :]:
            for month in self.months:
                if (year, month) < (first.year, first.month):
                    continue
                if (year, month) > (last.year, last.month):
                    return
                length = months.monthrange(year, month)[1]
                counted = (day if day > 0 else length + 1 + day for day in self.days)
                for number in sorted({day for day in counted if 1 <= day <= length}):
                    day = date(year, month, number)
                    if day.weekday() in self.weekdays and first <= day <= last:
                        yield day


class Piece(Sequence[datetime]):
    """The elapses in one stretch of a local day, in UTC, each computed when it is asked for."""

    __slots__ = ("_indexes", "_midnight", "_times")

    def __init__(self, midnight: datetime, times: Times, indexes: range) -> None:
        self._midnight, self._times, self._indexes = midnight, times, indexes

    def __len__(self) -> int:
        return len(self._indexes)

    @overload
    def __getitem__(self, index: int) -> datetime: ...
    @overload
    def __getitem__(self, index: slice) -> Piece: ...
    def __getitem__(self, index: int | slice) -> datetime | Piece:
        if isinstance(index, slice):
            return Piece(self._midnight, self._times, self._indexes[index])
        return self._midnight + timedelta(microseconds=self._times[self._indexes[index]])


def pieces(expression: Expression, zone: str, after: datetime, until: datetime) -> Iterator[Piece]:
    """When it elapses, strictly after ``after``, up to and including ``until``: none is empty."""
    for day in expression.dates(*local_days(zone, after, until)):
        yield from pieces_of_day(expression.times, zone, day, after, until)


def pieces_of_day(
    times: Times, zone: str, day: date, after: datetime, until: datetime
) -> Iterator[Piece]:
    """The part of ``pieces`` that lies on one local day."""
    for part in stretches(zone, day):
        start = max(part.start, (after - part.midnight) // MICROSECOND + 1)
        stop = min(part.stop, (until - part.midnight) // MICROSECOND + 1)
        indexes = range(times.before(start), times.before(stop))
        if indexes:
            yield Piece(part.midnight, times, indexes)


def local_days(zone: str, after: datetime, until: datetime) -> tuple[date, date]:
    """The first and the last local day that hold instants of that range."""
    rules = zone_of(zone)
    return after.astimezone(rules).date(), until.astimezone(rules).date()
