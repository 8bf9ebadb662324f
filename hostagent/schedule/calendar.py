"""OnCalendar expressions: what one means, and whether it can be used.

The grammar is systemd.time(7)'s without a zone inside the expression; ``oncalendar`` reads it,
and this module mends or refuses what systemd reads differently.
"""

from __future__ import annotations

import calendar as months
import functools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import overload

import oncalendar

from hostagent.schedule.errors import CalendarError
from hostagent.schedule.zones import EPOCH, MICROSECOND, is_zone, stretches, zone_of

__all__ = ["END", "CalendarError", "Expression", "Piece", "Times", "check", "parse", "split_zone"]

_HOUR, _MINUTE, _SECOND = 3_600_000_000, 60_000_000, 1_000_000
END = datetime(2200, 1, 1, tzinfo=UTC) - MICROSECOND
"""systemd's calendar reaches from 1970 to here, and so does ours."""


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


@functools.lru_cache(maxsize=4096)
def parse(expression: str) -> Expression:
    """What an expression without a zone means; raises CalendarError."""
    try:
        read = oncalendar.BaseIterator(expression, datetime(1970, 1, 1))  # noqa: DTZ001 -- unused
    except (oncalendar.OnCalendarError, ValueError, IndexError) as error:
        raise CalendarError(f'"{expression}" is not a calendar expression') from error
    return Expression(
        frozenset(read.weekdays),
        tuple(sorted(read.years)),
        tuple(sorted(read.months)),
        tuple(sorted(read.days)),
        Times(
            tuple(sorted(read.hours)),
            tuple(sorted(read.minutes)),
            tuple(second * _SECOND for second in sorted(read.seconds)),
        ),
    )


def check(expr: str, zone: str) -> None:
    """Raise CalendarError unless the expression can be read and elapses at least once."""
    if next(pieces(parse(expr), zone, EPOCH - MICROSECOND, END), None) is None:
        raise CalendarError(f'"{expr}" never elapses')


def split_zone(expr: str) -> tuple[str, str | None]:
    """The expression and the zone behind it, if it ends in one."""
    head, _, last = expr.strip().rpartition(" ")
    if head and is_zone(last):
        return head.rstrip(), last
    return expr.strip(), None


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
