"""How a backlog went: what the host was like while it was worked off, in steps of ten seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

STEP = timedelta(seconds=10)
KEPT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Sample:
    """The worst of some seconds from ``at`` on; None: the host does not say.

    ``cpu``, ``memory`` (some) and ``memory_full`` are pressures, in percent of the time;
    ``in_use`` is the memory that is not available, in percent of RAM. ``level`` is the gate's,
    ``used`` the weight that catches up, ``held`` how many wait, ``released`` how many were let go.
    """

    at: datetime
    cpu: float | None = None
    memory: float | None = None
    memory_full: float | None = None
    in_use: float | None = None
    level: float = 0.0
    used: float = 0.0
    held: int = 0
    released: int = 0


def merged(first: Sample, later: Sample) -> Sample:
    """One sample for both: the worst of each figure, and all that was released."""
    return replace(
        first,
        cpu=_worst(first.cpu, later.cpu),
        memory=_worst(first.memory, later.memory),
        memory_full=_worst(first.memory_full, later.memory_full),
        in_use=_worst(first.in_use, later.in_use),
        level=max(first.level, later.level),
        used=max(first.used, later.used),
        held=max(first.held, later.held),
        released=first.released + later.released,
    )


def kept(samples: Iterable[Sample], new: Sample) -> tuple[Sample, ...]:
    """The samples of the last hour, with ``new``: it joins the last one for ``STEP``."""
    recent = last_hour(samples, new.at)
    if recent and recent[-1].at <= new.at < recent[-1].at + STEP:
        return (*recent[:-1], merged(recent[-1], new))
    return (*recent, new)


def last_hour(samples: Iterable[Sample], now: datetime) -> tuple[Sample, ...]:
    """Those of the hour before ``now``. What a clock that was set back shows later is dropped."""
    return tuple(one for one in samples if now - KEPT < one.at <= now)


def columns(samples: Iterable[Sample], now: datetime, count: int) -> list[Sample | None]:
    """The last hour in so many equal parts, the oldest first; None: nothing waited then."""
    found: list[Sample | None] = [None] * count
    for one in last_hour(samples, now):
        place = count - 1 - int((now - one.at) / KEPT * count)
        before = found[place]
        found[place] = one if before is None else merged(before, one)
    return found


def _worst(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)
