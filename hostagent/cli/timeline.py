"""The command that draws what was due and what ran."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import Job, Json, User, open_ledger, paths_of
from hostagent.cli.out import emit_json, now, parse_past

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostagent.report.timeline import Lane, Window

NAMES = 24
"""No name takes more columns."""

COLOURS = {"█": "green", "✗": "red", "▶": "cyan", "░": "yellow", "-": "yellow", "┆": "red"}


def timeline(
    job: Job = None,
    *,
    since: Annotated[
        str, typer.Option("--since", help="From then on: a time, or how long ago (2h).")
    ] = "24h",
    until: Annotated[
        str | None, typer.Option("--until", help="Up to then, told likewise [default: now].")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="A line for each job, or for each host.")] = "job",
    user: User = False,
    as_json: Json = False,
) -> None:
    """Draw when jobs were due, ran, waited, failed, were skipped."""
    from hostagent.errors import InputError
    from hostagent.report import timeline as report

    if by not in report.LEGEND:
        raise InputError(f'there is no --by "{by}"', f"known: {', '.join(report.LEGEND)}")
    at = now()
    begin, end = parse_past(since), parse_past(until) if until else at
    if end <= begin:
        raise InputError(f"--until {until or 'now'} is not after --since {since}", "exchange them")
    ledger = open_ledger(paths_of(user=user))
    runs = ledger.going_on(begin, end, job)
    if by == "host":
        lanes = report.by_host(runs)
    else:
        specs = [spec for spec in ledger.specs() if job in {None, spec.job}]
        lanes = report.by_job(runs, specs, begin, min(end, at))
    names = min(max((len(lane.name) for lane in lanes), default=0), NAMES)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    window = report.Window(begin, end, max(columns - names - 2, 20), at)
    if as_json:
        emit_json(report.timeline_json(lanes, by, window))
        return
    if not lanes:
        print("Nothing was due then, and nothing ran.")
        return
    _draw(lanes, by, window, names)


def _draw(lanes: Sequence[Lane], by: str, window: Window, names: int) -> None:
    from hostagent.report import timeline as report

    print(f"{'':{names}}  {report.axis(window)}")
    for lane in lanes:
        name = lane.name if len(lane.name) <= names else f"{lane.name[: names - 1]}…"
        draw = report.cells_of_job if by == "job" else report.cells_of_host
        typer.echo(f"{name:{names}}  {_coloured(draw(lane, window).rstrip())}")
    print(report.LEGEND[by])


def _coloured(cells: str) -> str:
    if not sys.stdout.isatty():
        return cells
    return "".join(typer.style(cell, fg=COLOURS.get(cell)) for cell in cells)
