"""The storm as a picture: load and memory pressure over time, runs that are done, OOM kills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from bench.storm.vms import arms
from bench.storm.vms.figures import Lines, Sample, figures, of_json
from bench.storm.vms.scenarios import BY_NAME, CAP_S, CORES, Record

WIDTH, HEIGHT, GAP = 360, 110, 44
LEFT, TOP, RIGHT = 150, 64, 46
MOST_LOAD = 12.0
"""For each core: the top of each panel. What is above is cut off."""

LOAD, MEMORY, DONE, KILL = "#1f5fa8", "#e8a33d", "#2e7d4f", "#c62828"
TEXT = 'font-family="sans-serif" font-size="11" fill="#333"'


def svg(records: Sequence[Record], swaps: Sequence[int]) -> str:
    """A panel for each arm (down) and amount of swap (across), of its first run."""
    first = {
        (r["arm"], r["swap_mib"]): r for r in records if r["scenario"] == "storm" and r["run"] == 1
    }
    width = LEFT + len(swaps) * (WIDTH + RIGHT)
    height = TOP + len(arms.ARMS) * (HEIGHT + GAP)
    body = [f'<rect width="{width}" height="{height}" fill="#fff"/>', _legend()]
    for column, swap_mib in enumerate(swaps):
        x = LEFT + column * (WIDTH + RIGHT)
        swap = f"{swap_mib} MiB of swap" if swap_mib else "no swap"
        body.append(_text(x, TOP - 14, swap, "font-weight='bold'"))
        for row, arm in enumerate(arms.ARMS):
            y = TOP + row * (HEIGHT + GAP)
            if column == 0:
                body.append(_text(8, y + 14, arm.title.replace("`", ""), "font-weight='bold'"))
            body.append(_panel(x, y, first.get((arm.name, swap_mib))))
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    inner = "\n".join(body)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n{inner}\n</svg>\n'


def _panel(x: int, y: int, record: Record | None) -> str:
    frame = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="#f7f7f7"/>'
    if record is None:
        return f"{frame}\n{_text(x + 10, y + 20, 'not measured')}"
    lines = of_json(record["lines"])
    parts = [frame, _axes(x, y)]
    parts.append(_area(lines.samples, x, y, lambda sample: sample.memory / 100, MEMORY))
    parts.append(_line(lines.samples, x, y, lambda s: s.load / CORES / MOST_LOAD, LOAD))
    parts += _marks(lines, x, y, record)
    f = figures(record)
    over = f"over after {f.over_s:.0f} s" if f.over_s is not None else f"not over by {CAP_S} s"
    kills = f", {f.oom_kills} OOM kill{'s' if f.oom_kills != 1 else ''}"
    said = f"{f.done} of {f.jobs} done{kills if f.oom_kills else ''}, {over}"
    parts.append(_text(x + WIDTH, y + 12, said, "text-anchor='end'"))
    return "\n".join(parts)


def _axes(x: int, y: int) -> str:
    parts = []
    for at_s in range(0, CAP_S + 1, 60):
        at = x + at_s / CAP_S * WIDTH
        parts.append(f'<path d="M{at:.0f} {y}v{HEIGHT}" stroke="#ddd" fill="none"/>')
        parts.append(_text(at, y + HEIGHT + 24, f"{at_s} s", "text-anchor='middle'"))
    limit = y + HEIGHT * (1 - 2 / MOST_LOAD)
    parts.append(f'<path d="M{x} {limit:.0f}h{WIDTH}" stroke="{LOAD}" stroke-dasharray="2 3"/>')
    parts.append(_text(x - 4, limit + 4, "2", "text-anchor='end'"))
    parts.append(_text(x - 4, y + 8, f"{MOST_LOAD:.0f}", "text-anchor='end'"))
    parts.append(_text(x + WIDTH + 4, y + 8, "100 %"))
    return "\n".join(parts)


def _points(
    samples: Sequence[Sample], x: int, y: int, share: Callable[[Sample], float]
) -> list[str]:
    shown = [sample for sample in samples if sample.at_s <= CAP_S]
    return [
        f"{x + s.at_s / CAP_S * WIDTH:.1f} {y + HEIGHT * (1 - min(1.0, share(s))):.1f}"
        for s in shown
    ]


def _line(
    samples: Sequence[Sample], x: int, y: int, share: Callable[[Sample], float], colour: str
) -> str:
    points = "L".join(_points(samples, x, y, share))
    return f'<path d="M{points}" stroke="{colour}" stroke-width="1.8" fill="none"/>'


def _area(
    samples: Sequence[Sample], x: int, y: int, share: Callable[[Sample], float], colour: str
) -> str:
    points = _points(samples, x, y, share)
    ends = [points[n].partition(" ")[0] for n in (0, -1)]
    base = y + HEIGHT
    path = f"M{ends[0]} {base}L{'L'.join(points)}L{ends[1]} {base}Z"
    return f'<path d="{path}" fill="{colour}" fill-opacity="0.55"/>'


def _marks(lines: Lines, x: int, y: int, record: Record) -> list[str]:
    """A stroke under the panel for each run that is done, a cross for each OOM kill."""
    jobs = BY_NAME[record["scenario"]].jobs
    parts = []
    for end in lines.ends:
        if end.job in jobs and end.at_s <= CAP_S:
            at = x + end.at_s / CAP_S * WIDTH
            stroke = f'stroke="{DONE}" stroke-width="1.2"'
            parts.append(f'<path d="M{at:.1f} {y + HEIGHT + 2}v9" {stroke}/>')
    for before, after in pairwise(lines.samples):
        if after.oom_kills > before.oom_kills:
            at = x + after.at_s / CAP_S * WIDTH
            cross = f"M{at - 4:.1f} {y + HEIGHT - 12}l8 8m0 -8l-8 8"
            parts.append(f'<path d="{cross}" stroke="{KILL}" stroke-width="2.2" fill="none"/>')
    return parts


def _legend() -> str:
    parts, x = [], LEFT
    for colour, what in (
        (LOAD, "load average, for each core (dashed: 2)"),
        (MEMORY, "memory pressure (PSI some)"),
        (DONE, "a missed run is done"),
        (KILL, "an OOM kill"),
    ):
        parts.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, 24, what))
        x += 40 + 6 * len(what)
    return "\n".join(parts)


def _text(x: float, y: float, what: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {TEXT} {more}>{what}</text>'
