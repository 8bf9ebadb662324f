"""Reading OnCalendar expressions, as systemd.time(7) defines them.

The rules are those of systemd's own parser (252 to 262 read alike), so that what ``check``
accepts a timer accepts, and both mean the same: a test compares the two. ``oncalendar`` is not
used here: it takes steps that systemd refuses, and refuses fractions of seconds and some names.
Three things systemd takes are refused: ``@`` timestamps (that is what ``at`` is for), a zone
inside the expression (it is the schedule's), and more than ten elapses a second.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from decimal import Decimal

from hostagent.schedule import hints
from hostagent.schedule.errors import CalendarError, quoted
from hostagent.schedule.expression import END, Expression, Times, pieces
from hostagent.schedule.zones import EPOCH, MICROSECOND, is_zone

__all__ = ["CalendarError", "check", "for_timer", "parse", "parse_weekdays", "split_zone"]

_SECOND = 1_000_000
_SPECIALS = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",
}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_NUMBERS = {name[:length]: n for n, name in enumerate(_WEEKDAYS) for length in (3, None)}
_NUMBER = r"(\d{1,9}(?:\.\d{1,6})?)"
_COMPONENT = re.compile(rf"{_NUMBER}(?:\.\.{_NUMBER})?(?:/{_NUMBER})?", re.ASCII)
_DATE = re.compile(r"(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    unit: int = 1  # what a written 1 is in the field's own numbers

    def read(self, text: str, *, complete: bool = False) -> int:
        """The number in the field's own unit; ``complete``: years of two digits are completed."""
        if self.unit == 1 and "." in text:
            raise ValueError(f"{quoted(text)} is not a valid {self.name}")
        number = int(Decimal(text) * self.unit)
        if complete and self.low == 1970 and number < 100:
            number += 2000 if number < 70 else 1900
        return number


_YEAR, _MONTH, _DAY = _Field("year", 1970, 2199), _Field("month", 1, 12), _Field("day", 1, 31)
_LAST_DAY = _Field("day before the end of the month", 1, 28)
_HOUR, _MINUTE = _Field("hour", 0, 23), _Field("minute", 0, 59)
_SECONDS = _Field("second", 0, 60 * _SECOND - 1, _SECOND)
_MOST_VALUES = 600


@dataclass(frozen=True, slots=True)
class _Parts:
    """An expression's fields as written."""

    weekdays: str
    year: str
    month: str
    mark: str  # "-", or "~" before a day counted from the end of the month
    day: str
    hour: str
    minute: str
    second: str


@functools.lru_cache(maxsize=4096)
def parse(expression: str) -> Expression:
    """What an expression without a zone means; raises CalendarError."""
    try:
        return _parse(expression.strip(" "))
    except ValueError as error:
        message = f"{quoted(expression)} is not a calendar expression: {error}"
        raise CalendarError(message, hints.for_calendar(expression)) from error


def for_timer(expression: str) -> str:
    """The same occurrences, so written that no systemd loses any of them.

    A step without an end, as in 02/4:37, makes systemd (all of 252 to 262) count beyond the end
    of the field; where a clock change is near it then skips days or gives the timer up with
    "Resource deadlock avoided". With its end, 02..22/4:37, it does not.
    """
    parse(expression)
    text = expression.strip(" ")
    parts = _split(text)
    days = _LAST_DAY if parts.mark == "~" else _DAY
    written = (parts.year, parts.month, parts.day, parts.hour, parts.minute, parts.second)
    fields = (_YEAR, _MONTH, days, _HOUR, _MINUTE, _SECONDS)
    closed = tuple(map(_closed, written, fields))
    if closed == written:
        return text
    year, month, day, hour, minute, second = closed
    date, time = f"{year}-{month}{parts.mark}{day}", f"{hour}:{minute}:{second}"
    mended = " ".join(filter(None, (parts.weekdays, date, time)))
    try:
        parse(mended)
    except CalendarError:  # a list of days from the end that systemd takes in this order only
        return text
    return mended


def _closed(text: str, field: _Field) -> str:
    """The components, with an end for each step that has none."""
    return ",".join(
        _with_end(part, field) if "/" in part and ".." not in part else part
        for part in text.split(",")
    )


def _with_end(component: str, field: _Field) -> str:
    start, _, step = component.partition("/")
    end = f"{Decimal(_component(component, field)[-1]) / field.unit:f}"
    return f"{end}..{start}/{step}" if field is _LAST_DAY else f"{start}..{end}/{step}"


def check(expr: str, zone: str) -> None:
    """Raise CalendarError unless the expression can be read and elapses at least once."""
    if next(pieces(parse(expr), zone, EPOCH - MICROSECOND, END), None) is None:
        raise CalendarError(
            f"{quoted(expr)} never elapses", "no day from 1970 to 2199 is named by it"
        )


def split_zone(expr: str) -> tuple[str, str | None]:
    """The expression and the zone behind it, if it ends in one."""
    text = expr.strip(" ")
    head, _, last = text.rpartition(" ")
    if head and is_zone(last):
        return head.rstrip(" "), last
    return text, None


def parse_weekdays(text: str) -> frozenset[int]:
    """A list of weekdays and ranges of them, 0 for Monday; raises ValueError."""
    found: set[int] = set()
    for part in text.lower().removesuffix(",").split(","):
        first, dots, last = part.replace("-", "..", 1).partition("..")
        start = _weekday(first)
        stop = _weekday(last) if dots else start
        if stop < start:
            raise ValueError(f'the days "{part}" run backwards; a week begins on Monday')
        found.update(range(start, stop + 1))
    return frozenset(found)


def _weekday(name: str) -> int:
    try:
        return _DAY_NUMBERS[name]
    except KeyError:
        raise ValueError(f"{quoted(name)} is not a weekday") from None


def _parse(text: str) -> Expression:
    parts = _split(text)
    if parts.mark == "~" and parts.day != "*":
        days = _days_from_the_end(parts.day)
    else:
        days = _values(parts.day, _DAY)
    return Expression(
        parse_weekdays(parts.weekdays) if parts.weekdays else frozenset(range(7)),
        _values(parts.year, _YEAR),
        _values(parts.month, _MONTH),
        days,
        Times(
            _values(parts.hour, _HOUR),
            _values(parts.minute, _MINUTE),
            _values("0/1" if parts.second == "*" else parts.second, _SECONDS),
        ),
    )


def _split(text: str) -> _Parts:
    words = [word for word in _SPECIALS.get(text.lower(), text).split(" ") if word]
    if not words:
        raise ValueError("it is empty")
    if not text.isascii():
        raise ValueError("it holds a character that is not ASCII")
    weekdays = words.pop(0) if words[0][0].isalpha() else ""
    date = words.pop(0) if words and ":" not in words[0] else "*-*"
    time = words.pop(0) if words else "00:00"
    if words:
        raise ValueError(f"{quoted(words[0])} is one part too many")
    dated = _DATE.fullmatch(date)
    if not dated:
        raise ValueError(f"{quoted(date)} is neither a weekday, a date nor a time")
    year, month, mark, day = dated.groups()
    timed = time.split(":")
    if len(timed) not in {2, 3}:
        raise ValueError(f"{quoted(time)} is not a time such as 02:00 or 02:00:30")
    hour, minute, second = [*timed, "00"][:3]
    return _Parts(weekdays, year or "*", month, mark, day, hour, minute, second)


def _days_from_the_end(text: str) -> tuple[int, ...]:
    """-1 for the last day of the month, and so on.

    systemd (all of 252 to 262) lowers its bound by three with every element of a list.
    """
    elements = {_component(part, _LAST_DAY) for part in text.split(",")}
    in_order = sorted(elements, key=lambda e: (e[0], e[-1] if e[-1] > e[0] else 0, abs(e.step)))
    for position, element in enumerate(in_order):
        if max(element) > _LAST_DAY.high - 3 * position:
            raise ValueError(f'"~{text}" goes back too far: systemd refuses it')
    return tuple(sorted(-number for number in set().union(*elements)))


def _values(text: str, field: _Field) -> tuple[int, ...]:
    """The numbers that a list of components names, ascending."""
    if text == "*":
        return tuple(range(field.low, field.high + 1))
    found: set[int] = set()
    for part in text.split(","):
        numbers = _component(part, field)
        if len(numbers) > _MOST_VALUES:
            raise ValueError("it elapses more than ten times a second")
        found.update(numbers)
    return tuple(sorted(found))


def _component(text: str, field: _Field) -> range:
    """One of ``start[..stop][/step]``; days from the end step down to the last."""
    parts = _COMPONENT.fullmatch(text)
    if not parts:
        raise ValueError(f"{quoted(text)} is not a valid {field.name}")
    start = field.read(parts[1], complete=True)
    stop = field.read(parts[2], complete=True) if parts[2] else None
    step = field.read(parts[3]) if parts[3] else None
    if step == 0:
        raise ValueError(f'"{text}" has a step of 0')
    if stop is None and step is not None:
        down = field is _LAST_DAY
        numbers = range(start, 0, -step) if down else range(start, field.high + 1, step)
    elif stop is None:
        numbers = range(start, start + 1)
    else:
        numbers = range(start, stop + 1, step or field.unit)
        if field is _SECONDS and not step and stop - start < _SECOND:
            raise ValueError(f'"{text}" is shorter than a second: systemd refuses it')
    if not numbers or not all(field.low <= number <= field.high for number in (start, numbers[-1])):
        raise ValueError(f'"{text}" is not within {field.low} to {field.high // field.unit}')
    if parts[3] and not parts[2] and len(numbers) == 1:
        raise ValueError(f'"{text}" has a step that leads beyond {field.high // field.unit}')
    return numbers
