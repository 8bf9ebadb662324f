"""What the commands print: aligned tables, local and relative times, JSON for scripts.

Colour only where it means something, and none when piped; a table that is piped is not cut.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta

from hostagent.errors import HostagentError, Problem
from hostagent.policy.words import ago
from hostagent.report.columns import aligned

STYLES = {
    "succeeded": "green",
    "failed": "red",
    "abandoned": "yellow",
    "quarantined": "red",
    "skipped": "yellow",
    "running": "cyan",
    "starting": "cyan",
    "hung?": "yellow",
}
"""The colour of each state, where there is a terminal."""


@contextmanager
def errors_explained() -> Iterator[None]:
    """Never a traceback for what a person can act on: the message, the hint, the exit code."""
    try:
        yield
    except HostagentError as error:
        print(
            f"hostagent: {error.message}" if "\n" not in error.message else error.message,
            file=sys.stderr,
        )
        if error.hint:
            print(f"  hint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def warn(warnings: Iterable[Problem]) -> None:
    """Print lint's warnings to standard error."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)


def emit_json(value: object) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """An aligned table; ``empty`` is said when there is no row."""
    rows = list(rows)
    if not rows:
        print(empty)
        return
    if not sys.stdout.isatty():
        print("\n".join(aligned([headings, *rows])))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, overflow="fold", no_wrap=heading != "REASON")
    for row in rows:
        grid.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(grid)


def named(job: str, scope: str) -> str:
    """``JOB``, or ``JOB@SCOPE``."""
    return f"{job}@{scope}" if scope else job


def moment(at: datetime | None, now: datetime) -> str:
    """Local time and how far off: ``Sat 2026-11-21 02:00:00 CET (in 3h 12min)``."""
    if at is None:
        return "-"
    local = at.astimezone()
    text = local.strftime("%a %Y-%m-%d %H:%M:%S %Z")
    return f"{text} ({relative(at, now)})"


def relative(at: datetime, now: datetime) -> str:
    """``3h 12min ago`` or ``in 5min``."""
    return f"in {ago(at - now)}" if at > now else f"{ago(now - at)} ago"


def now() -> datetime:
    """The one clock of the command line."""
    return datetime.now(UTC)


def parse_time(text: str) -> datetime:
    """RFC 3339, a date, a time of day, or a span such as ``2h`` meaning that long from now.

    Without a date a time is today's; ``yesterday``, ``today`` and ``tomorrow`` alone are their
    midnights, and may stand before a time. Without a zone it is local. A span leads to a whole
    second, and is never shorter than it says.

    Raises:
        InputError: it is none of them.
    """
    at = _instant(text)
    if at is not None:
        return at
    at = now() + _span(text)
    return at.replace(microsecond=0) + timedelta(seconds=at.microsecond > 0)


def parse_future(option: str, text: str) -> datetime:
    """As ``parse_time``, for an order's end.

    Raises:
        InputError: it is none, or is past.
    """
    from hostagent.errors import InputError

    at = parse_time(text)
    if at <= now():
        hint = 'write a date, too, "tomorrow 06:00", or a span such as "8h"'
        raise InputError(f"{option} {text} is past: {moment(at, now())}", hint)
    return at


def parse_past(text: str) -> datetime:
    """As ``parse_time``, but a span means so long ago."""
    at = _instant(text)
    return at if at is not None else (now() - _span(text)).replace(microsecond=0)


_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def _instant(text: str) -> datetime | None:
    """The point in time that is written; None: it may be a span."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            at = _of_day(text)
        except ValueError:
            return None
    return at if at.tzinfo is not None else at.astimezone()


def _of_day(text: str) -> datetime:
    """A day's name, a time of day, or both; local.

    Raises:
        ValueError: it is neither.
    """
    words = text.split()
    day = _DAYS[words.pop(0)] if words and words[0] in _DAYS else 0
    today = now().astimezone().date()
    clock = "00:00" if not words and text.strip() else " ".join(words)
    if not re.fullmatch(r"\d\d?:\d\d(:\d\d)?", clock):
        raise ValueError(text)
    return datetime.combine(today + timedelta(days=day), time.fromisoformat(clock.zfill(5)))


def _span(text: str) -> timedelta:
    from hostagent.errors import InputError
    from hostagent.spec.spans import parse_span

    try:
        return parse_span(text)
    except ValueError:
        raise InputError(
            f'"{text}" is not a time',
            'write "2026-11-21T02:00:00Z", "2026-11-21 02:00", "02:00" (today), "yesterday", '
            '"yesterday 02:00", or a span such as "2h"',
        ) from None
