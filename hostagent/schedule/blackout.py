"""Blackout ranges: times in which an occurrence is skipped.

A range is one of these, in wall time of the schedule's zone:

- ``2026-12-24..2027-01-02``: from the start of the first day to the end of the last;
  ``2026-12-24`` alone is that day.
- ``2026-12-24T08:00..2026-12-24T18:00``: the end is outside. A date without a time means the
  start of that day on the left and the end of it on the right.
- ``08:00..18:00``: every day, the end outside; ``22:00..06:00`` goes over midnight, ``24:00`` is
  the end of the day.
- ``Mon..Fri 08:00..18:00``, ``Sat,Sun 22:00..06:00``: on those days; a range over midnight
  belongs to the day on which it begins.
- ``Sat,Sun``: those days, whole.

Days are weekdays as systemd writes them: names, whole or of three letters, lists and ranges.
An hour that a clock change repeats is covered in both passes, since its wall time is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from hostagent.schedule import calendar, zones
from hostagent.schedule.errors import CalendarError, quoted
from hostagent.schedule.expression import local_days
from hostagent.schedule.zones import MICROSECOND, zone_of

_DAY = timedelta(days=1)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_EXAMPLE = 'as in "2026-12-24..2027-01-02", "Mon..Fri 08:00..18:00", "22:00..06:00" or "Sat,Sun"'


@dataclass(frozen=True, slots=True)
class _Dates:
    """From ``start`` until ``stop``, which is outside; wall time."""

    start: datetime
    stop: datetime

    def covers(self, wall: datetime) -> bool:
        return self.start <= wall < self.stop

    def edges(self, _: datetime) -> tuple[datetime, ...]:
        """When it begins and ends, whatever the day."""
        return self.start, self.stop


@dataclass(frozen=True, slots=True)
class _Window:
    """On each of the weekdays (0 is Monday) from ``start`` until ``stop`` after its midnight."""

    weekdays: frozenset[int]
    start: timedelta
    stop: timedelta  # more than a day: it ends on the next

    def covers(self, wall: datetime) -> bool:
        since = wall - datetime.combine(wall, time())
        today, yesterday = wall.weekday(), (wall.weekday() - 1) % 7
        return (today in self.weekdays and self.start <= since < self.stop) or (
            yesterday in self.weekdays and since + _DAY < self.stop
        )

    def edges(self, midnight: datetime) -> tuple[datetime, ...]:
        """When it begins on the day of that midnight, and when what began then ends."""
        return midnight + self.start, midnight + self.stop


def check(text: str, zone: str) -> None:
    """Raise CalendarError unless the text is a blackout range and the zone is one."""
    zone_of(zone)
    _parse(text)


def covering(ranges: Iterable[str], zone: str, at: datetime) -> str | None:
    """The first of the ranges that covers that instant, as it was written; else None."""
    wall = at.astimezone(zone_of(zone)).replace(tzinfo=None)
    return next((text for text in ranges if _parse(text).covers(wall)), None)


def stretches(
    ranges: Sequence[str], zone: str, after: datetime, until: datetime
) -> Iterator[tuple[datetime, str | None]]:
    """``covering`` for all instants after ``after``, up to ``until``, without asking for each.

    Each stretch with its last instant and what covers it; they ascend, and the last one ends at
    ``until``. Neighbours differ in what covers them.
    """
    rules, (first, last) = zone_of(zone), local_days(zone, after, until)
    near = [datetime.combine(first, time()) - _DAY, datetime.combine(last, time()) + 2 * _DAY]
    edges = set[datetime]()
    for number in range(first.toordinal() - 1, last.toordinal() + 1):
        day = date.fromordinal(number)
        midnight = datetime.combine(day, time())
        for part in zones.stretches(zone, day):  # a clock change is an edge, too
            edges |= {part.midnight + edge * MICROSECOND for edge in (part.start, part.stop)}
        walls = {wall for text in ranges for wall in _parse(text).edges(midnight)}
        for wall in (wall for wall in walls if near[0] <= wall <= near[1]):
            edges |= {wall.replace(tzinfo=rules, fold=fold).astimezone(UTC) for fold in (0, 1)}
    text = covering(ranges, zone, after + MICROSECOND)
    for edge in sorted(edge for edge in edges if after + MICROSECOND < edge <= until):
        then = covering(ranges, zone, edge)
        if then != text:
            yield edge - MICROSECOND, text
            text = then
    yield until, text


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> _Dates | _Window:
    try:
        if text[:1].isdigit() and "-" in text:
            return _dates(text.strip())
        return _window(text)
    except (ValueError, OverflowError) as error:
        raise CalendarError(f"{quoted(text)} is not a blackout range: {error}", _EXAMPLE) from error


def _dates(text: str) -> _Dates:
    left, dots, right = text.partition("..")
    start, _ = _instant(left)
    stop, has_time = _instant(right if dots else left)
    if not dots and has_time:
        raise ValueError("it has no end")
    if not has_time:
        stop += _DAY
    if stop <= start:
        raise ValueError("it ends before it begins")
    return _Dates(start, stop)


def _instant(text: str) -> tuple[datetime, bool]:
    """The wall time and whether it was written with its time of day."""
    has_time = "T" in text
    form = "%Y-%m-%dT%H:%M" if has_time else "%Y-%m-%d"
    return datetime.strptime(text, form), has_time  # noqa: DTZ007 -- wall time is meant


def _window(text: str) -> _Window:
    words = text.split()
    clock = words.pop() if words and ":" in words[-1] else "00:00..24:00"
    days = "".join(words)
    if not text.strip() or (days and not days[0].isalpha()):
        raise ValueError("it names neither days nor times")
    weekdays = calendar.parse_weekdays(days) if days else frozenset(range(7))
    left, dots, right = clock.partition("..")
    if not dots:
        raise ValueError("it has no end")
    start, stop = _clock(left), _clock(right)
    if start in {stop, _DAY}:
        raise ValueError("it is empty")
    return _Window(weekdays, start, stop if stop > start else stop + _DAY)


def _clock(text: str) -> timedelta:
    if not _CLOCK.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a time such as 08:00")
    return timedelta(hours=int(text[:2]), minutes=int(text[3:]))
