"""Durations as systemd.time(7) writes them: ``5min 20s``, ``1h30m``, ``90`` (seconds)."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Any

from hostagent.spec.values import WrongValueError, shown

_UNITS_US: dict[str, int] = {}
for _us, _names in (
    (1, "usec us µs μs"),
    (1_000, "msec ms"),
    (1_000_000, "seconds second sec s"),
    (60_000_000, "minutes minute min m"),
    (3_600_000_000, "hours hour hr h"),
    (86_400_000_000, "days day d"),
    (604_800_000_000, "weeks week w"),
    (2_629_800_000_000, "months month M"),  # 30.4375 days
    (31_557_600_000_000, "years year y"),  # 365.25 days
):
    _UNITS_US |= dict.fromkeys(_names.split(), _us)

_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµμ]*)")
_MOST = timedelta(days=36525)
_EXAMPLE = 'write for example "90s", "5min" or "1h 30min"'


def parse_span(value: Any) -> timedelta:
    """A duration: a string as systemd.time(7), or whole seconds as an integer.

    Raises:
        WrongValueError: it is not one, is negative, infinite, or longer than 100 years.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise WrongValueError(f"{shown(value)} is not a duration", _EXAMPLE)
    text = value.strip()
    if text.lower() in {"infinity", "inf", "never"}:
        raise WrongValueError(f"{shown(value)}: it has to end some time", _EXAMPLE)
    if text.startswith("-"):
        raise WrongValueError(f"{shown(value)} is negative", _EXAMPLE)
    total, at = Fraction(0), 0
    while at < len(text):
        part = _PART.match(text, at)
        if not part or len(part[1]) > 25:
            raise WrongValueError(f"{shown(value)} is not a duration", _EXAMPLE)
        unit = _UNITS_US.get(part[2] or "s")
        if unit is None:
            raise WrongValueError(f"{shown(value)}: no unit is called {shown(part[2])}", _EXAMPLE)
        total += Fraction(part[1]) * unit
        at = part.end()
    if not text:
        raise WrongValueError("is empty", _EXAMPLE)
    if total > _MOST // timedelta(microseconds=1):
        raise WrongValueError(f"{shown(value)} is longer than 100 years")
    return timedelta(microseconds=int(total))


def format_span(span: timedelta) -> str:
    """The exact form in days and below, such as ``1d 2h 30min``; parses back to ``span``."""
    rest = span // timedelta(microseconds=1)
    if rest < 0:
        return "-" + format_span(-span)
    parts = []
    for unit in ("d", "h", "min", "s", "ms", "us"):
        count, rest = divmod(rest, _UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"
