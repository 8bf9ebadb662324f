"""A Gantt chart in text: when things were due, and when they ran. Pure.

A lane is a line of cells of equal time. By job, it shows the worst of what fell into each cell; by
host, how many runs went at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hostagent.codec import rfc3339
from hostagent.model import Kind, Outcome, Run
from hostagent.report.runs import state_of
from hostagent.schedule.occurrences import between
from hostagent.store.port import SpecRecord, schedule_of

NOTHING, UNMET, WAITED, LEFT, RAN, RUNS, FAILED = " ┆░-█▶✗"
_WORST = {sign: rank for rank, sign in enumerate((NOTHING, UNMET, WAITED, LEFT, RAN, RUNS, FAILED))}
LEGEND = {
    "job": f"{RAN} ran  {FAILED} failed  {RUNS} runs  {WAITED} waited  {LEFT} skipped, given up  "
    f"{UNMET} due, no record",
    "host": "1-9 runs at once, + more",
}
TICKS = (1, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7 * 1440)
"""Minutes between two marks of the axis."""

TICK_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown: up to ``until``, in so many cells. ``now`` bounds what still runs."""

    since: datetime
    until: datetime
    width: int
    now: datetime

    def cell(self, at: datetime) -> int:
        """The cell of an instant: ``until`` is in the last one, and what is below 0 is before."""
        if at == self.until:
            return self.width - 1
        return math.floor((at - self.since) / (self.until - self.since) * self.width)

    def cells(self, begin: datetime, end: datetime) -> range:
        """Those that a span touches."""
        return range(max(self.cell(begin), 0), min(self.cell(end), self.width - 1) + 1)


@dataclass(frozen=True, slots=True)
class Lane:
    """One line. ``unmet`` are the instants at which something fell ``due`` that has no row."""

    name: str
    runs: tuple[Run, ...]
    unmet: tuple[datetime, ...] = ()
    due: tuple[datetime, ...] = ()


def by_job(
    runs: Iterable[Run], specs: Iterable[SpecRecord], since: datetime, until: datetime
) -> list[Lane]:
    """A lane for each (job, scope) that had a schedule or a run then."""
    rows: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        rows[run.job, run.scope].append(run)
    due = due_between(specs, since, until)
    return [
        Lane(
            f"{job}@{scope}" if scope else job,
            tuple(rows[job, scope]),
            tuple(_unmet(rows[job, scope], due[job, scope])),
            tuple(due[job, scope]),
        )
        for job, scope in sorted({*rows, *due})
    ]


def due_between(
    specs: Iterable[SpecRecord], since: datetime, until: datetime
) -> defaultdict[tuple[str, str], list[datetime]]:
    """What the schedules name after ``since``, up to ``until``, for each (job, scope)."""
    due: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    for spec in specs:
        first = max(spec.valid_from, since)
        last = min(spec.valid_to or until, until)
        if first < last:
            for scope in spec.scopes:
                due[spec.job, scope] += between(schedule_of(spec), first, last)
    return due


def by_host(runs: Iterable[Run]) -> list[Lane]:
    """A lane for each host that had a run."""
    rows = defaultdict(list)
    for run in runs:
        rows[run.host].append(run)
    return [Lane(host, tuple(rows[host])) for host in sorted(rows)]


def _unmet(runs: Sequence[Run], due: Iterable[datetime]) -> Iterator[datetime]:
    scheduled = [run for run in runs if run.kind is Kind.SCHEDULED]
    single = {run.scheduled_for for run in scheduled}
    wide = [(run.covers_from, run.scheduled_for) for run in scheduled if run.covers_from]
    for at in due:
        if at not in single and not any(first <= at <= last for first, last in wide):
            yield at


def cells_of_job(lane: Lane, window: Window) -> str:
    """The worst of each cell."""
    cells = [NOTHING] * window.width

    def put(begin: datetime, end: datetime, sign: str) -> None:
        for cell in window.cells(begin, end):
            cells[cell] = max(cells[cell], sign, key=_WORST.__getitem__)

    for at in lane.unmet:
        put(at, at, UNMET)
    for run in lane.runs:
        begin = run.started_at or run.claimed_at
        if run.attempt == 0 or begin is None:
            put(run.covers_from or run.scheduled_for, run.scheduled_for, LEFT)
            continue
        if run.attempt == 1 and run.kind is Kind.SCHEDULED:
            put(run.scheduled_for, begin, WAITED)
        put(begin, run.ended_at or window.now, RAN)
        if run.outcome is None:
            put(window.now, window.now, RUNS)
        elif run.outcome is not Outcome.SUCCEEDED and run.ended_at:
            put(run.ended_at, run.ended_at, FAILED)
    return "".join(cells)


def cells_of_host(lane: Lane, window: Window) -> str:
    """How many went at once in each cell, at its busiest moment."""
    spans: list[list[tuple[datetime, int]]] = [[] for _ in range(window.width)]
    for run in lane.runs:
        if run.started_at is not None:
            end = run.ended_at or window.now
            for cell in window.cells(run.started_at, end):
                spans[cell] += [(run.started_at, 1), (end, -1)]
    return "".join(_many(_peak(events)) for events in spans)


def _peak(events: list[tuple[datetime, int]]) -> int:
    most = going = 0
    for _, change in sorted(events):  # at one instant, ends come before starts
        going += change
        most = max(most, going)
    return most


def _many(count: int) -> str:
    return " " if count == 0 else str(count) if count < 10 else "+"


def axis(window: Window) -> str:
    """The marks of local time, at round ones, below each of which its cell begins."""
    length = window.until - window.since
    least = length * TICK_WIDTH / window.width
    minutes = next((m for m in TICKS if timedelta(minutes=m) >= least), TICKS[-1])
    step, line = timedelta(minutes=minutes), [" "] * window.width
    at = window.since.astimezone().replace(second=0, microsecond=0, hour=0, minute=0)
    while at <= window.until:
        text = at.strftime("%H:%M" if minutes < 1440 and at.hour + at.minute else "%a %d")
        cell = window.cell(at.astimezone(UTC))
        if at >= window.since and cell + len(text) <= window.width:
            line[cell : cell + len(text)] = text
        at += step  # wall time: marks stay round over a change of the clocks
    return "".join(line).rstrip()


def timeline_json(lanes: Iterable[Lane], by: str, window: Window) -> dict[str, Any]:
    """For ``--json``: spans instead of cells."""

    def at(value: datetime | None) -> str | None:
        return rfc3339(value) if value is not None else None

    return {
        "since": at(window.since),
        "until": at(window.until),
        "by": by,
        "lanes": [
            {
                "name": lane.name,
                "runs": [
                    {
                        "run_id": run.run_id,
                        "attempt": run.attempt,
                        "host": run.host,
                        "scheduled_for": at(run.scheduled_for),
                        "started_at": at(run.started_at),
                        "ended_at": at(run.ended_at),
                        "state": state_of(run),
                    }
                    for run in lane.runs
                ],
                "due_without_a_run": [at(instant) for instant in lane.unmet],
            }
            for lane in lanes
        ],
    }
