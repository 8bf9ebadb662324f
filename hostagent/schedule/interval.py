"""Intervals: occurrences ``anchor + k * every``, and the calendar that wakes a timer for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import datetime, timedelta

from hostagent.schedule.zones import EPOCH, MICROSECOND

_SECOND = timedelta(seconds=1)
_MINUTE, _HOUR, _DAY, _WEEK = 60, 3600, 86_400, 604_800
_MOST = 24
"""More OnCalendar lines than this in one timer, and a coarser grid is the better price."""
_WEEKDAYS = ("Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed")  # 1970-01-01 was a Thursday


def default_anchor(job: str, every: timedelta) -> datetime:
    """The anchor of an interval written without one: 1970 plus a stable part of the period.

    It depends on the job's name and the period alone, so every host and every restart agrees,
    and jobs of one period are spread over it. Whole seconds where the period is.
    """
    unit = MICROSECOND if every % _SECOND else _SECOND
    number = int.from_bytes(hashlib.sha256(job.encode()).digest()[:8])
    return EPOCH + number % (every // unit) * unit


def instants(
    every: timedelta, anchor: datetime, after: datetime, until: datetime | None
) -> Iterator[datetime]:
    """``anchor + k * every`` for all whole k, strictly after ``after``, up to ``until``."""
    at = anchor + ((after - anchor) // every + 1) * every
    while until is None or at <= until:
        yield at
        at += every


def timer_calendar(every: timedelta, anchor: datetime) -> tuple[tuple[str, ...], bool]:
    """OnCalendar expressions (UTC) that elapse at every ``anchor + k * every``; and only then?

    Where a week is a whole number of periods a few expressions say exactly that. Else they name
    the coarsest grid that holds all of them, and admission refuses the elapses in between.
    Whole seconds only (the spec refuses others).
    """
    seconds, rest = divmod(every, _SECOND)
    phase, part = divmod(anchor - EPOCH, _SECOND)
    assert seconds > 0, "a positive interval"
    assert not rest + part, "an interval and an anchor of whole seconds"
    for grid in _divisors(math.gcd(seconds, _WEEK)):
        lines = _expressions(grid, phase % grid)
        if lines:
            return lines, grid == seconds
    raise AssertionError("a grid of one second is one expression")


def _divisors(number: int) -> Iterator[int]:
    """All divisors, the largest first."""
    return (number // k for k in range(1, number + 1) if number % k == 0)


def _expressions(grid: int, phase: int) -> tuple[str, ...]:
    """Expressions for ``phase + k * grid``, none if they would be too many; grid divides a week."""
    unit = next(u for u in (_MINUTE, _HOUR, _DAY, _WEEK) if u % grid == 0)
    below = {_MINUTE: 1, _HOUR: _MINUTE, _DAY: _HOUR, _WEEK: _DAY}[unit]
    step = math.lcm(grid, below)  # after so much the smaller units repeat
    if step // grid > _MOST:
        return ()
    return tuple(_line(unit, start, step) for start in range(phase, step, grid))


def _line(unit: int, start: int, step: int) -> str:
    """One expression: ``start + k * step`` seconds within each ``unit``."""
    minute, second = start // _MINUTE % 60, start % 60
    if unit == _MINUTE:
        return f"*-*-* *:*:{_field(start, step, 60)}"
    if unit == _HOUR:
        return f"*-*-* *:{_field(minute, step // _MINUTE, 60)}:{second:02}"
    if unit == _DAY:
        return f"*-*-* {_field(start // _HOUR, step // _HOUR, 24)}:{minute:02}:{second:02}"
    days = sorted({at // _DAY % 7 for at in range(start, start + _WEEK, step)})
    prefix = "" if len(days) == 7 else ",".join(_WEEKDAYS[day] for day in days) + " "
    return f"{prefix}*-*-* {start // _HOUR % 24:02}:{minute:02}:{second:02}"


def _field(start: int, step: int, size: int) -> str:
    if step == 1:
        return "*"
    return f"{start:02}" if step == size else f"{start:02}/{step}"
