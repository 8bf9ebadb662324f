"""The last hour of a backlog as lines of text, 72 characters wide: one column for each minute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from hostagent.policy.samples import KEPT, Sample, columns

MINUTES = 60
ROWS = 4
LABEL = 6


@dataclass(frozen=True, slots=True)
class Marks:
    """What is drawn with: eighths of a block, a zero, a bound that is not reached."""

    bars: str
    zero: str
    bound: str


PLAIN = Marks(" " * 4 + "#" * 5, ".", "-")
"""ASCII alone: what is half there is drawn."""

BLOCKS = Marks(" ▁▂▃▄▅▆▇█", "▁", "╌")


def plot(samples: Sequence[Sample], now: datetime, marks: Marks) -> Iterator[str]:
    """The lines: pressures, memory, the level and what it is used for, and what was released."""
    found = columns(samples, now, MINUTES)

    def of(figure: Callable[[Sample], float | None]) -> list[float | None]:
        return [None if one is None else figure(one) for one in found]

    yield from _chart("CPU pressure, %", of(lambda one: one.cpu), 100, marks)
    yield from _chart("memory pressure (some), %", of(lambda one: one.memory), 100, marks)
    yield from _chart("memory pressure (full), %", of(lambda one: one.memory_full), 100, marks)
    yield from _chart("memory in use, % of RAM", of(lambda one: one.in_use), 100, marks)
    used, levels = of(lambda one: one.used), of(lambda one: one.level)
    title, top = f"slots: used, and the level ({marks.bound})", _top([*used, *levels])
    yield from _chart(title, used, top, marks, levels)
    released = of(lambda one: one.released)
    yield from _chart("released, in a minute", released, _top(released), marks)
    yield _axis(now)


def _top(values: Iterable[float | None]) -> int:
    """The highest, or the next that the rows divide."""
    most = max((value for value in values if value is not None), default=0.0)
    return max(1, ceil(most / ROWS)) * ROWS


def _chart(
    title: str,
    values: Sequence[float | None],
    top: int,
    marks: Marks,
    bounds: Sequence[float | None] = (),
) -> Iterator[str]:
    """A title and its rows, the highest first; one that the host does not tell is left out."""
    if not any(value is not None for value in values):
        return
    yield title
    for row in reversed(range(ROWS)):
        cells = [_cell(value, row, top, marks) for value in values]
        for place, bound in enumerate(bounds):
            is_here = bound is not None and ceil(bound * ROWS / top) - 1 == row
            cells[place] = marks.bound if is_here and cells[place] == " " else cells[place]
        yield f"{top * (row + 1) // ROWS:>{LABEL}} |{''.join(cells)}".rstrip()
    yield f"{'':>{LABEL}} +{'-' * MINUTES}"


def _cell(value: float | None, row: int, top: int, marks: Marks) -> str:
    if value is None:
        return " "
    eighths = min(8, max(0, round((value * ROWS / top - row) * 8)))
    return marks.zero if row == 0 and marks.bars[eighths] == " " else marks.bars[eighths]


def _axis(now: datetime) -> str:
    """Local times below every fifteenth column."""
    quarter = MINUTES // 4
    starts = [now - KEPT + timedelta(minutes=quarter * number) for number in range(4)]
    times = "".join(f"{at.astimezone():%H:%M}".ljust(quarter) for at in starts)
    return f"{'':>{LABEL}}  {times}{now.astimezone():%H:%M}"
