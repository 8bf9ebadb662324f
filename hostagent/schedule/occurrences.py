"""The occurrences of a schedule: which instants it names, in what order, how many.

Nothing here knows the present: every bound is an argument. All results are aware and in UTC.
Blackout ranges do not matter here: what they cover is an occurrence that policy skips.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from hostagent.model import Form, Schedule
from hostagent.schedule import calendar, interval
from hostagent.schedule.expression import END, Expression, Times, local_days, pieces, pieces_of_day
from hostagent.schedule.row import Row, Steps
from hostagent.schedule.zones import EPOCH, MICROSECOND

_BASE = datetime(2026, 1, 1, tzinfo=UTC)
_FIRST = 100
_LOOKED_BACK = (1, 32, 9 * 366)  # what elapses often is not counted for years
_MIDNIGHT = Times((0,), (0,), (0,))


@dataclass(frozen=True, slots=True)
class Span:
    """Some occurrences in a row: the first, the last, and how many they are."""

    first: datetime
    last: datetime
    count: int


def between(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """The occurrences strictly after ``after``, up to and including ``until``, ascending.

    Each once, however many expressions name it; only those in ``not_before <= t < not_after``.
    An ``on_boot`` schedule has none here: its occurrences are boots.
    """
    after, until = _bounds(schedule, after, until)
    if schedule.form is Form.EVERY and schedule.every is not None:
        return interval.instants(schedule.every, _anchor(schedule), after, until)
    if schedule.form is Form.AT and schedule.at is not None:
        at = schedule.at.astimezone(UTC)
        return iter((at,) if after < at <= until else ())
    return _merged(map(calendar.parse, schedule.calendar), schedule.zone, after, until)


def _merged(
    expressions: Iterable[Expression], zone: str, after: datetime, until: datetime
) -> Iterator[datetime]:
    found = (pieces(expression, zone, after, until) for expression in expressions)
    merged = heapq.merge(*map(itertools.chain.from_iterable, found))
    return (at for at, _ in itertools.groupby(merged))


def next_after(schedule: Schedule, after: datetime) -> datetime | None:
    """The first occurrence strictly after ``after``; None when there is none until 2200."""
    return next(between(schedule, after, END), None)


def last_until(schedule: Schedule, until: datetime) -> datetime | None:
    """The last occurrence at or before ``until``; None: there is none in the nine years before."""
    for days in _LOOKED_BACK:
        if found := latest(schedule, until - timedelta(days=days), until):
            return found.last
    return None


def latest(schedule: Schedule, after: datetime, until: datetime) -> Span | None:
    """The occurrences of ``between``, summed up without enumerating them; None: there are none."""
    after, until = _bounds(schedule, after, until)
    span: Span | None = None
    for part in _parts(schedule, after, until):
        first_at = span.first if span else part[0]
        span = Span(first_at, part[-1], (span.count if span else 0) + len(part))
    return span


def row(schedule: Schedule, after: datetime, until: datetime) -> Sequence[datetime]:
    """The occurrences of ``between``, to be counted and picked from without enumerating them.

    Only the days on which several expressions of one calendar elapse are listed.
    """
    parts = list(_parts(schedule, *_bounds(schedule, after, until)))
    return parts[0] if len(parts) == 1 else Row(parts)


def period(schedule: Schedule) -> timedelta | None:
    """The smallest gap among the first hundred occurrences from 2026 on (else from 1970 on).

    Counted in wall time, so that no clock change makes a daily job's period 23 hours, and
    without the bounds ``not_before`` and ``not_after``. None: there is no second occurrence.
    """
    if schedule.form is Form.EVERY:
        return schedule.every
    expressions = tuple(map(calendar.parse, schedule.calendar))
    if len(expressions) == 1 and len(expressions[0].times) == 1:  # it is the days that count
        expressions = (replace(expressions[0], times=_MIDNIGHT),)
    return _smallest_gap(expressions)


@functools.lru_cache(maxsize=4096)
def _smallest_gap(expressions: tuple[Expression, ...]) -> timedelta | None:
    """Fleets have few patterns of days for many jobs."""
    for base in (_BASE, EPOCH):
        every = _merged(expressions, "UTC", base - MICROSECOND, END)
        first = itertools.islice(every, _FIRST)
        gaps = [later - earlier for earlier, later in itertools.pairwise(first)]
        if gaps:
            return min(gaps)
    return None


def timer_expressions(schedule: Schedule) -> tuple[str, ...]:
    """What a timer needs behind ``OnCalendar=`` to elapse at every occurrence, zone included."""
    if schedule.form is Form.EVERY and schedule.every is not None:
        lines, _ = interval.timer_calendar(schedule.every, _anchor(schedule))
        return tuple(f"{line} UTC" for line in lines)
    if schedule.form is Form.AT and schedule.at is not None:
        at = schedule.at.astimezone(UTC).replace(tzinfo=None)
        return (f"{at.isoformat(' ')} UTC",)
    return tuple(f"{calendar.for_timer(line)} {schedule.zone}" for line in schedule.calendar)


def _bounds(schedule: Schedule, after: datetime, until: datetime) -> tuple[datetime, datetime]:
    """The bounds in UTC, narrowed to ``not_before <= t < not_after`` and the calendar's end."""
    after = max(after.astimezone(UTC), EPOCH - MICROSECOND)
    until = min(until.astimezone(UTC), END)
    if schedule.not_before is not None:
        after = max(after, schedule.not_before.astimezone(UTC) - MICROSECOND)
    if schedule.not_after is not None:
        until = min(until, schedule.not_after.astimezone(UTC) - MICROSECOND)
    return after, until


def _anchor(schedule: Schedule) -> datetime:
    assert schedule.anchor is not None, "the spec gives every interval its anchor"
    return schedule.anchor.astimezone(UTC)


def _parts(schedule: Schedule, after: datetime, until: datetime) -> Iterator[Sequence[datetime]]:
    """The occurrences in ascending, disjoint parts, none empty; of a calendar none over a day."""
    if schedule.form is Form.EVERY and schedule.every is not None:
        every, anchor = schedule.every, _anchor(schedule)
        numbers = range((after - anchor) // every + 1, (until - anchor) // every + 1)
        if numbers:
            yield Steps(anchor, every, numbers)
        return
    if not schedule.calendar:
        if found := list(between(schedule, after, until)):
            yield found
        return
    yield from _parts_of_calendar(schedule, after, until)


def _parts_of_calendar(
    schedule: Schedule, after: datetime, until: datetime
) -> Iterator[Sequence[datetime]]:
    zone = schedule.zone
    days = local_days(zone, after, until)
    matches = [_matches(calendar.parse(text), *days) for text in schedule.calendar]
    for day, group in itertools.groupby(heapq.merge(*matches, key=_day), key=_day):
        kinds = dict.fromkeys(times for _, times in group)
        each = (list(pieces_of_day(times, zone, day, after, until)) for times in kinds)
        found = [parts for parts in each if parts]
        if len(found) == 1:
            yield from found[0]
        elif found:
            merged = heapq.merge(*map(itertools.chain.from_iterable, found))
            yield [at for at, _ in itertools.groupby(merged)]


def _matches(expression: Expression, first: date, last: date) -> Iterator[tuple[date, Times]]:
    return ((day, expression.times) for day in expression.dates(first, last))


def _day(match: tuple[date, Times]) -> date:
    return match[0]
