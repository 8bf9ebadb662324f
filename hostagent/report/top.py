"""A picture of the host as lines that fit a terminal: what ``hostagent top`` shows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from hostagent.policy.peak import size_text
from hostagent.policy.slots import Slots
from hostagent.policy.words import ago
from hostagent.report.columns import aligned
from hostagent.report.picture import Held, Picture, Running

NOTES = 4
"""What is in the way takes no more lines: it is for ``status`` to say it all."""

LABEL = 9


class Line(NamedTuple):
    """A line, and in what style it is shown (rich's words)."""

    text: str
    style: str = ""


Block = list[Line]
"""What is shown whole or not at all."""


def draw(picture: Picture, before: Picture | None, width: int, height: int | None) -> list[Line]:
    """The picture in ``height`` lines (None: as many as it takes) of ``width`` columns.

    ``before`` is an earlier one: CPU use is told since then, else since each run's start. Where
    there is no room for all, as much is shown of what runs as of what is held, and the rest is
    counted.
    """
    head = list(_head(picture))
    running, held = _running(picture, before, width), _held(picture, width)
    if height is not None:
        room = max(0, height - len(head) - 2)
        running = _fitted(running, max(room - _size(held), room // 2))
        held = _fitted(held, room - _size(running))
    lines = [*head, Line(""), *chain(*running), Line(""), *chain(*held)]
    return [Line(_cut(line.text, width), line.style) for line in lines][:height]


def _head(picture: Picture) -> Iterator[Line]:
    about = f"{picture.jobs} job{'s' * (picture.jobs != 1)} of generation {picture.generation}"
    yield Line(f"{picture.host}: {about}, {_local(picture.at):%a %Y-%m-%d %H:%M:%S %Z}", "bold")
    yield _labelled("pressure", _pressure(picture))
    yield _labelled("load", _load(picture))
    yield _labelled("lanes", _lanes(picture.lanes))
    if picture.pools:
        yield _labelled("pools", "; ".join(map(_pool, picture.pools)))
    if picture.held or picture.used:
        level = f"{picture.used:g} of level {picture.level:g}, at most {picture.most:g}"
        yield _labelled("catch-up", level)
    for word, sentence in picture.notes[:NOTES]:
        yield _labelled(word, sentence, "yellow")
    if (more := len(picture.notes) - NOTES) > 0:
        yield _labelled("", f"and {more} more: hostagent status")
    yield _labelled("next", _next(picture))


def _labelled(label: str, text: str, style: str = "") -> Line:
    return Line(f"{label:{LABEL}}{text}", style)


def _pressure(picture: Picture) -> str:
    kernel = picture.kernel
    named = (("CPU", kernel.cpu), ("memory", kernel.memory), ("I/O", kernel.io))
    told = [f"{name} {value:.0f} %" for name, value in named if value is not None]
    return f"{', '.join(told)} of the last 10 s" if told else "this kernel does not tell it (PSI)"


def _load(picture: Picture) -> str:
    load, memory = picture.kernel.load, picture.kernel.in_memory
    cores = f"{picture.cores} core{'s' * (picture.cores != 1)}"
    told = [f"{load:.2f} on {cores}" if load is not None else cores]
    if memory is not None:
        told.append(f"{size_text(memory.available)} of {size_text(memory.total)} memory available")
    return ", ".join(told)


def _lanes(lanes: Sequence[Slots]) -> str:
    told = [f"{one.name}: {_counted(one)}" for one in lanes if one.running or one.held]
    return "; ".join(told) or "nothing runs, nothing is held"


def _counted(one: Slots) -> str:
    counts = ((one.running, "running"), (one.held, "held"))
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def _pool(one: Slots) -> str:
    if one.most is None:
        return f"{one.name}: {_counted(one)}"
    waits = f", {one.held} held" if one.held else ""
    return f"{one.name}: {one.used:g} of {one.most} places{waits}"


def _next(picture: Picture) -> str:
    if picture.next_at is None:
        return "nothing is due ever again"
    local = _local(picture.next_at)
    return f"{picture.next_job} at {local:%a %H:%M:%S} ({_off(picture.next_at, picture.at)})"


def _running(picture: Picture, before: Picture | None, width: int) -> list[Block]:
    """Below a run that may hang stands why."""
    if not picture.running:
        return [[Line("Nothing runs here.")]]
    headings = ("FOR", "CPU %", "CPU TIME", "MEMORY", "LANE", "RUNNING")
    heading, *lines = aligned([headings, *(_row(run, picture, before) for run in picture.running)])
    return [
        [Line(heading, "bold")],
        *(
            [Line(line), *_folded(f"hung? {run.hung}" if run.hung else "", width, "yellow")]
            for run, line in zip(picture.running, lines, strict=True)
        ),
    ]


def _row(run: Running, picture: Picture, before: Picture | None) -> tuple[str, ...]:
    cpu = picture.cpu_of(run, before)
    return (
        ago(picture.at - run.started_at) if run.started_at else "starts",
        "-" if cpu is None else f"{cpu:5.1f}",
        "-" if run.cpu_s is None else f"{run.cpu_s:.1f} s",
        "-" if run.memory is None else size_text(run.memory),
        f"{run.lane} catch-up" if run.catches_up else run.lane,
        run.run_id,
    )


def _folded(text: str, width: int, style: str) -> Block:
    """Indented, in as many lines as it takes: no lines for no text."""
    return [Line(f"  {part}", style) for part in textwrap.wrap(text, max(width - 2, 1))]


def _held(picture: Picture, width: int) -> list[Block]:
    """Why stands below each: at 80 columns it would not fit beside it."""
    if not picture.held:
        return [[Line("Nothing is held.")]]
    rows = [
        (_due(one, picture.at), starts(one.expected, one.bound, picture.at), one.name)
        for one in picture.held
    ]
    heading, *lines = aligned([("DUE", "STARTS", "HELD"), *rows])
    return [
        [Line(heading, "bold")],
        *(
            [Line(line), *_folded(one.reason, width, "dim")]
            for one, line in zip(picture.held, lines, strict=True)
        ),
    ]


def _due(one: Held, now: datetime) -> str:
    return _off(one.due, now) if one.due else "-"


def starts(expected: datetime | None, bound: str, now: datetime) -> str:
    """``about 14:03``; ``not before 14:03 (settles)``; a date where it is another day's."""
    if expected is None:
        return "-"
    local = _local(expected)
    is_today = local.date() == _local(now).date()
    text = f"{local:%H:%M}" if is_today else f"{local:%a %Y-%m-%d %H:%M}"
    return f"not before {text} ({bound})" if bound else f"about {text}"


def _fitted(blocks: list[Block], room: int) -> list[Block]:
    """The heading, the first ones, whole, and how many are left out."""
    if _size(blocks) <= room:
        return blocks
    count = 0
    while _size(blocks[: count + 1]) < room:
        count += 1
    left = len(blocks) - max(count, 1)
    return [*blocks[:count], [Line(f"and {left} more", "dim")]]


def _size(blocks: list[Block]) -> int:
    return sum(map(len, blocks))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _off(at: datetime, now: datetime) -> str:
    return f"in {ago(at - now)}" if at > now else f"{ago(now - at)} ago"


def _local(at: datetime) -> datetime:
    return at.astimezone()
