"""What the commands print: aligned tables, local and relative times, JSON for scripts.

Colour only where it means something, and none when piped; a table that is piped is not cut.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from hostagent.errors import HostagentError, Problem
from hostagent.policy.words import ago

STYLES = {
    "succeeded": "green",
    "failed": "red",
    "abandoned": "yellow",
    "quarantined": "red",
    "skipped": "yellow",
    "running": "cyan",
    "starting": "cyan",
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
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows:
        print(empty)
        return
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if not sys.stdout.isatty():
        _plain(headings, rows)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        grid.add_column(heading, overflow="fold", no_wrap=heading != "REASON")
    for row in rows:
        grid.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    console.print(grid)


def _plain(headings: Sequence[str], rows: list[Sequence[str]]) -> None:
    widths = [
        max(len(line[column]) for line in [headings, *rows]) for column in range(len(headings))
    ]
    for line in [headings, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


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


def parse_time(text: str, *, past: bool = False) -> datetime:
    """RFC 3339, a date, or a span such as ``2h`` meaning that long from now (``past``: ago).

    Raises:
        InputError: it is none of them.
    """
    from hostagent.errors import InputError
    from hostagent.spec.spans import parse_span

    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            span = parse_span(text)
            return now() - span if past else now() + span
        except ValueError:
            raise InputError(
                f'"{text}" is not a time', 'write "2026-11-21T02:00:00Z", or a span such as "2h"'
            ) from None
    return at if at.tzinfo is not None else at.astimezone()
