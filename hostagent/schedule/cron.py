"""Cron expressions, translated to OnCalendar ones.

Five fields or a nickname, read as Debian's cron does (``cronsim`` checks and reads them): steps,
ranges, names, 7 as Sunday, and the days of month and of week as an OR unless one of the two
fields begins with a star. What the translation names in a zone with clock changes follows
systemd, not cron (docs/explanation/dst.md).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

import cronsim

from hostagent.schedule.errors import CalendarError, quoted

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FIELD = re.compile(r"[0-9A-Za-z*,/-]+")


def to_calendar(cron: str) -> tuple[str, ...]:
    """The OnCalendar expressions, without a zone, whose union is this cron schedule.

    Two where the days of month and of week are an OR, else one. Raises CalendarError.
    """
    text = cron.strip().casefold()
    if text.startswith("@"):
        text = _nickname(text)
    fields = text.split()
    if len(fields) != 5:
        raise _refusal(cron, f"it has {len(fields)} fields", _counted_hint(fields))
    try:
        if not all(map(_FIELD.fullmatch, fields)):
            raise cronsim.CronSimError("an unknown character")
        read = cronsim.CronSim(" ".join(fields), datetime(2026, 1, 1, tzinfo=UTC))
    except cronsim.CronSimError as error:
        raise _refusal(cron, str(error).replace("Bad", "a bad"), _hint(fields)) from error
    weekdays = {(day - 1) % 7 for day in read.weekdays if isinstance(day, int)}
    if min(read.days) < 1 or not weekdays or not all(isinstance(d, int) for d in read.weekdays):
        raise _refusal(cron, "cron knows no L, W or #", 'use calendar, as in "*-*~01 02:00"')

    time = f"{_field(read.hours, 0, 23)}:{_field(read.minutes, 0, 59)}:00"
    month, day = _field(read.months, 1, 12), _field(read.days, 1, 31)
    named = "" if len(weekdays) == 7 else f"{_weekdays(weekdays)} "
    if read.day_and:
        return (f"{named}*-{month}-{day} {time}",)
    if day == "*" or not named:
        return (f"*-{month}-* {time}",)
    return f"*-{month}-{day} {time}", f"{named}*-{month}-* {time}"


def _nickname(text: str) -> str:
    if text == "@reboot":
        raise CalendarError('"@reboot" names no time', "write on_boot = true instead of cron")
    try:
        return _NICKNAMES[text]
    except KeyError:
        raise _refusal(text, "an unknown nickname", f"known: {', '.join(_NICKNAMES)}") from None


def _refusal(cron: str, why: str, hint: str | None) -> CalendarError:
    return CalendarError(f"{quoted(cron)} is not a cron expression: {why}", hint)


def _counted_hint(fields: list[str]) -> str:
    hint = 'write minute, hour, day of month, month, day of week, as in "30 2 * * *"'
    if len(fields) in {6, 7}:
        hint += "; seconds and years need calendar"
    return hint


def _hint(fields: list[str]) -> str | None:
    if re.search(r"-(0|sun)\b", fields[4]):
        return "a range of weekdays that ends on Sunday ends in 7"
    return None


def _field(values: Collection[int], low: int, high: int) -> str:
    """The shortest way systemd writes that set of numbers."""
    numbers = sorted(values)
    if len(numbers) == high - low + 1:
        return "*"
    step = numbers[1] - numbers[0] if len(numbers) > 2 else 0
    if step and numbers == list(range(numbers[0], numbers[-1] + 1, step)):
        if step == 1:
            return f"{numbers[0]:02}..{numbers[-1]:02}"
        end = "" if numbers[-1] + step > high else f"..{numbers[-1]:02}"
        return f"{numbers[0]:02}{end}/{step}"
    return ",".join(f"{number:02}" for number in numbers)


def _weekdays(values: Collection[int]) -> str:
    numbers = sorted(values)
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{_WEEKDAYS[numbers[0]]}..{_WEEKDAYS[numbers[-1]]}"
    return ",".join(_WEEKDAYS[number] for number in numbers)
