"""What to write instead of a calendar expression that cannot be read."""

from __future__ import annotations

import difflib
import re

_WORDS = [
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "yearly",
    "annually",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
]
_UNITS = {
    "minute": ('"minutely"', "*:0/{}"),
    "hour": ('"hourly"', "0/{}:00"),
    "day": ('"daily" or "*-*-* 02:00"', ""),
    "night": ('"*-*-* 02:00"', ""),
    "week": ('"weekly" or "Sun 02:00"', ""),
    "month": ('"monthly" or "*-*-01 02:00"', ""),
    "quarter": ('"quarterly"', ""),
    "year": ('"yearly"', ""),
    "weekday": ('"Mon..Fri 02:00"', ""),
    "workday": ('"Mon..Fri 02:00"', ""),
    "weekend": ('"Sat,Sun 02:00"', ""),
}
_WHOLE = {"minute": 60, "hour": 24}
_EVERY = re.compile(r"(?:every|each|once an?|once every)\s+(\d+)?\s*([a-z]+?)s?\b", re.IGNORECASE)
_CLOCK = re.compile(r"\b(\d{1,2})(?::(\d\d))?\s*([ap])\.?m\b", re.IGNORECASE)


def for_calendar(text: str) -> str:
    """One sentence with a valid expression near to what was meant."""
    text = text.strip()
    lower = text.casefold()
    if every := _EVERY.match(text):
        return _every(every[1], every[2].casefold())
    if lower.startswith("@"):
        return _at_sign(lower)
    if len(lower.split()) == 5 and re.fullmatch(r"[0-9a-z*,/ -]+", lower):
        return f'five fields are cron\'s: write cron = "{text}"'
    if clock := _CLOCK.search(text):
        return f'write "{_of_day(int(clock[1]), clock[2] or "00", clock[3].casefold())}"'
    if "24:00" in text:
        return 'a day ends before 24:00: write "00:00" of the next day'
    if re.search(r"\*/\d", text):
        return f'systemd writes steps as 0/N or 1/N: write "{_steps(text)}"'
    if re.search(r"\d-\d+:", text) or re.search(r":\d+-\d", text):
        return "write ranges of numbers with two dots, as in 08..18:00"
    return _nearest(lower)


def _every(count: str | None, unit: str) -> str:
    if unit in _UNITS and count in {None, "1"}:
        return f"write {_UNITS[unit][0]}"
    if unit in _WHOLE and count and int(count) and _WHOLE[unit] % int(count) == 0:
        return f'write "{_UNITS[unit][1].format(count)}", or every = "{count}{unit[:-2]}" instead'
    return 'write "daily" or "*-*-* 02:00", or an interval: every = "36h" instead of calendar'


def _at_sign(text: str) -> str:
    if text[1:].isdigit():
        return "for one instant, write at = … instead of calendar"
    if text == "@reboot":
        return "write on_boot = true instead of calendar"
    return f'"{text}" is cron\'s: write cron = "{text}", or "{text[1:]}" here'


def _of_day(hour: int, minute: str, half: str) -> str:
    return f"*-*-* {hour % 12 + (12 if half == 'p' else 0):02}:{minute}"


def _steps(text: str) -> str:
    """The same with ``*/N`` mended: days and months begin at 1, times of day at 0."""
    words = text.split()
    return " ".join(re.sub(r"\*/", "0/" if ":" in word else "1/", word) for word in words)


def _nearest(text: str) -> str:
    first = text.partition(" ")[0]
    if near := difflib.get_close_matches(first, _WORDS, n=1, cutoff=0.75):
        return f'did you mean "{near[0]}"?'
    return 'write "daily" or "*-*-* 02:00"; systemd.time(7) has the rules'
