"""The last hour of this host's gate as small charts: what the plot of the backlog has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from hostagent.policy.samples import KEPT, Sample, columns
from hostagent.policy.words import span_text
from hostagent.report.page.drawing import Mark, percent

COLUMNS, TALL = 120, 40
"""The units of a chart: a column for each half minute."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the gate over the last hour."""

    title: str
    unit: str
    most: str
    area: str
    bound: str


def charts(samples: Sequence[Sample], now: datetime) -> list[Chart]:
    """What the plot of the backlog has: one column for each half minute. Nothing waited: none."""
    found = columns(samples, now, COLUMNS)
    if not any(found):
        return []
    slots = max((max(one.used, one.level) for one in found if one), default=1.0)
    released = max((one.released for one in found if one), default=1)

    def values(figure: Callable[[Sample], float | None]) -> list[float | None]:
        return [None if one is None else figure(one) for one in found]

    return list(
        filter(
            None,
            (
                _chart("CPU pressure", "%", values(lambda one: one.cpu), 100),
                _chart("memory pressure, some", "%", values(lambda one: one.memory), 100),
                _chart("memory pressure, full", "%", values(lambda one: one.memory_full), 100),
                _chart("memory in use", "%", values(lambda one: one.in_use), 100),
                _chart(
                    "slots used, and the level",
                    "",
                    values(lambda one: one.used),
                    slots,
                    values(lambda one: one.level),
                ),
                _chart("released", "", values(lambda one: one.released), released),
                _chart("held", "", values(lambda one: one.held), max(_known(found))),
            ),
        )
    )


def _known(found: Iterable[Sample | None]) -> Iterator[float]:
    return (one.held for one in found if one)


def _chart(
    title: str,
    unit: str,
    values: Sequence[float | None],
    top: float,
    bounds: Sequence[float | None] = (),
) -> Chart | None:
    """None: the host does not tell it."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Chart(title, unit, _figure(max(known)), _area(values, top), _steps(bounds, top))


def _area(values: Sequence[float | None], top: float) -> str:
    """Columns that stand side by side are one shape."""
    path, is_open = [], False
    for place, value in enumerate([*values, None]):
        if value is None:
            path += [f"V{TALL}z"] if is_open else []
            is_open = False
            continue
        if not is_open:
            path.append(f"M{place} {TALL}")
        path.append(f"V{_height(value, top)}h1")
        is_open = True
    return "".join(path)


def _steps(values: Sequence[float | None], top: float) -> str:
    path, before = [], None
    for place, value in enumerate(values):
        if value is not None:
            height = _height(value, top)
            path.append(f"{f'M{place} ' if before is None else 'V'}{height}h1")
        before = value
    return "".join(path)


def _height(value: float, top: float) -> str:
    return f"{TALL - min(1.0, value / max(top, 1e-9)) * (TALL - 1):.3g}"


def ago_axis() -> tuple[Mark, ...]:
    """Below the charts."""
    quarters = [KEPT * part / 4 for part in (4, 3, 2, 1)]
    return tuple(
        Mark(percent(number / 4), f"-{span_text(span)}") for number, span in enumerate(quarters)
    )


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
