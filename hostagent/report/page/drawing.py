"""The timeline and the plots of durations, as the data of SVG paths. Pure.

A drawing is stretched to the width that there is, its strokes are not: so a bar begins and ends
where it should on every screen, and a dot stays round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hostagent.model import Kind, Outcome, Run
from hostagent.policy.words import span_text
from hostagent.report.timeline import Lane

MINUTE = timedelta(minutes=1)
SPARSE, CLOSE = 6, 4
"""Minutes: how long a bar is at least, where there is room; how near each other marks may be."""

MIDDLE = 14
"""Where a lane's bars are, of its 24 units."""

WIDE, HIGH = 1000, 200
"""The units of a plot of durations."""

GRID_S = (0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400)
"""Durations that have a line, if they are within the plot."""


@dataclass(frozen=True, slots=True)
class Bars:
    """A lane of the timeline: what was planned above, what became of it below."""

    planned: str
    unmet: str
    waited: str
    left: str
    ran: str
    failed: str
    runs: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A text beside a line, so far from the left or the top, in percent."""

    at: str
    text: str


@dataclass(frozen=True, slots=True)
class Plot:
    """Durations of a job's runs, on a logarithmic scale, against its interval."""

    succeeded: str
    failed: str
    others: str
    runs: str
    grid: str
    marks: tuple[Mark, ...]
    interval: str
    interval_mark: Mark | None


def strokes(found: Iterable[tuple[int, int, int, int]]) -> str:
    """Straight lines: from where, and how far to the right or down; of no length, it is a dot.

    Each says how far it is from the last one's end, which takes half the bytes.
    """
    path, x, y = [], 0, 0
    for begin, top, width, height in found:
        down = top - y
        path.append(f"m{begin - x}{'' if down < 0 else ' '}{down}")
        path.append(f"v{height}" if height else f"h{width}")
        x, y = begin + width, top + height
    return "".join(path)


def bars(lane: Lane, since: datetime, now: datetime, ahead: Sequence[datetime]) -> Bars:
    """One unit is a minute after ``since``. ``ahead`` are occurrences after ``now``."""

    def x(at: datetime) -> int:
        return max(0, round((at - since) / MINUTE))

    waited, left, spans = [], [], []
    for run in lane.runs:
        begin = run.started_at or run.claimed_at
        if run.attempt == 0 or begin is None:
            left.append((x(run.covers_from or run.scheduled_for), x(run.scheduled_for)))
            continue
        if run.attempt == 1 and run.kind is Kind.SCHEDULED and x(begin) - x(run.scheduled_for) > 1:
            waited.append((x(run.scheduled_for), x(begin)))
        spans.append((x(begin), x(run.ended_at or now), run.outcome))
    going = [(begin, end) for begin, end, outcome in spans if outcome is None]
    won = [(begin, end) for begin, end, outcome in spans if outcome is Outcome.SUCCEEDED]
    lost = [(b, e) for b, e, outcome in spans if outcome not in {None, Outcome.SUCCEEDED}]
    return Bars(
        planned=_ticks((x(at) for at in (*lane.due, *ahead)), 3, 4),
        unmet=_ticks(map(x, lane.unmet), 10, 8),
        waited=_lines(waited, 1),
        left=_lines(left),
        ran=_lines(won),
        failed=_lines(lost),
        runs=_lines(going),
    )


def _ticks(places: Iterable[int], top: int, length: int) -> str:
    """Upright marks; where they would touch each other, fewer."""
    drawn, last = [], -CLOSE
    for place in sorted(places):
        if place - last >= CLOSE:
            drawn.append((place, top, 0, length))
            last = place
    return strokes(drawn)


def _lines(spans: Iterable[tuple[int, int]], least: int = SPARSE) -> str:
    """Level lines; a short one is long enough to be seen, as far as there is room."""
    found = sorted(spans)
    drawn, reach = [], -1
    for number, (start, stop) in enumerate(found):
        room = found[number + 1][0] - start if number + 1 < len(found) else 2 * least
        begin, end = max(start, reach), max(stop, start + max(1, min(least, room // 2)))
        if end > begin:
            drawn.append((begin, MIDDLE, end - begin, 0))
            reach = end
    return strokes(drawn)


def hours(since: datetime, until: datetime, every: int) -> list[tuple[int, str]]:
    """Full hours of local time that ``every`` divides, and their minute after ``since``."""
    at = since.astimezone().replace(minute=0, second=0, microsecond=0, hour=0)
    found = []
    while at <= until:
        if at >= since:
            text = at.strftime("%H:%M" if at.hour else "%a %d")
            found.append((round((at.astimezone(UTC) - since) / MINUTE), text))
        at += timedelta(hours=every)  # wall time: marks stay round over a change of the clocks
    return found


def plot(runs: Sequence[Run], interval: timedelta | None, now: datetime) -> Plot | None:
    """The durations of these runs, and where the interval is; None: none has started."""
    started = [(run, run.started_at) for run in runs if run.started_at]
    if not started:
        return None
    took = {id(run): _seconds((run.ended_at or now) - at) for run, at in started}
    bound = _seconds(interval) if interval else None
    top = math.log10(max([*took.values(), bound or 0, 1]) * 1.4)
    low = min(math.log10(min([*took.values(), bound or math.inf])), top - 2)
    first = min(run.scheduled_for for run in runs)
    width = max((now - first) / timedelta(seconds=1), 1)

    def x(run: Run) -> int:
        return round((run.scheduled_for - first) / timedelta(seconds=1) / width * WIDE)

    def y(seconds: float) -> float:
        return HIGH * (top - math.log10(seconds)) / (top - low)

    def dots(chosen: Callable[[Run], bool]) -> str:
        found = {(x(run), round(y(took[id(run)]))) for run, _ in started if chosen(run)}
        return strokes((place, height, 0, 0) for place, height in sorted(found))

    lines = [seconds for seconds in GRID_S if low <= math.log10(seconds) <= top]
    kept = [s for s in lines if bound is None or abs(y(s) - y(bound)) > 0.09 * HIGH]
    idle = sorted({x(run) for run in runs if run.started_at is None})
    return Plot(
        succeeded=dots(lambda run: run.outcome is Outcome.SUCCEEDED),
        failed=dots(lambda run: run.outcome not in {None, Outcome.SUCCEEDED}),
        runs=dots(lambda run: run.outcome is None),
        others=strokes((place, HIGH - 8, 0, 8) for place in idle),
        grid=strokes((0, round(y(seconds)), WIDE, 0) for seconds in kept),
        marks=tuple(Mark(percent(y(s) / HIGH), span_text(timedelta(seconds=s))) for s in kept),
        interval=strokes([(0, round(y(bound)), WIDE, 0)]) if bound else "",
        interval_mark=Mark(percent(y(bound) / HIGH), f"interval {span_text(interval)}")
        if bound and interval
        else None,
    )


def _seconds(span: timedelta) -> float:
    """At least a millisecond: a logarithm is taken of it, and clocks step."""
    return max(span.total_seconds(), 0.001)


def percent(part: float) -> str:
    """A part of one, as an attribute has it."""
    return f"{100 * part:.4g}%"


def strip(runs: Sequence[Run]) -> tuple[str, str, str]:
    """The last runs, newest first, as marks from left to right: succeeded, failed, others."""
    marks: dict[str, list[tuple[int, int, int, int]]] = {"succeeded": [], "failed": [], "other": []}
    for number, run in enumerate(reversed(runs)):
        is_bad = run.outcome in {Outcome.FAILED, Outcome.QUARANTINED}
        kind = "succeeded" if run.outcome is Outcome.SUCCEEDED else "failed" if is_bad else "other"
        top, length = {"succeeded": (5, 8), "failed": (1, 16), "other": (11, 2)}[kind]
        marks[kind].append((3 + 6 * number, top, 0, length))
    return strokes(marks["succeeded"]), strokes(marks["failed"]), strokes(marks["other"])
