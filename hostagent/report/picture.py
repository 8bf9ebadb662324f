"""How a host is at one instant, put together from what its agent and its kernel say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostagent.host.pressure import Averages
from hostagent.policy.slots import Slots

Told = Mapping[str, Any]
"""An answer of the agent's (agent.interface)."""


@dataclass(frozen=True, slots=True)
class Running:
    """A run that goes on. ``started_at`` None: PID 1 has not started it yet.

    ``cpu_s`` is the CPU time that its unit has used, ``memory`` the bytes that it holds; None:
    nobody counts them. ``hung`` is why it may hang, else empty.
    """

    run_id: str
    started_at: datetime | None
    cpu_s: float | None
    memory: int | None
    lane: str
    catches_up: bool
    hung: str


@dataclass(frozen=True, slots=True)
class Held:
    """What the gate holds, and why. It starts when it is ``expected`` to (None: nobody knows), or
    no sooner, where ``bound`` says why.
    """

    name: str
    due: datetime | None
    expected: datetime | None
    bound: str
    reason: str


@dataclass(frozen=True, slots=True)
class Picture:
    """The host at ``at``; what runs used was read at ``read_at``.

    ``notes`` are what is in the way, as (word, sentence). ``used`` of the gate's ``level`` is the
    weight that catches up; ``most`` bounds the level.
    """

    at: datetime
    host: str
    jobs: int
    generation: int
    next_job: str
    next_at: datetime | None
    kernel: Averages
    cores: int
    notes: tuple[tuple[str, str], ...]
    level: float
    most: float
    used: float
    lanes: tuple[Slots, ...]
    pools: tuple[Slots, ...]
    read_at: datetime
    running: tuple[Running, ...]
    held: tuple[Held, ...]

    def cpu_of(self, run: Running, before: Picture | None) -> float | None:
        """Percent of one CPU that a run has used since the picture ``before``.

        Since its start, where it was not seen then. None: nobody counts it, or no time has passed.
        """
        seen = before.running if before is not None else ()
        was = next((one for one in seen if one.run_id == run.run_id), None)
        since, used_s = run.started_at, run.cpu_s
        if before is not None and was is not None and was.cpu_s is not None and used_s is not None:
            since, used_s = before.read_at, used_s - was.cpu_s
        if since is None or used_s is None or self.read_at <= since:
            return None
        return max(0.0, 100 * used_s / (self.read_at - since).total_seconds())


def picture_of(
    at: datetime, status: Told, going: Told, backlog: Told, kernel: Averages, cores: int
) -> Picture:
    """From the agent's answers; ``kernel`` and ``cores`` are of the same host."""
    hung = dict(zip(status["hung"], status["hung_because"], strict=True))
    return Picture(
        at,
        status["host"],
        status["jobs"],
        status["generation"],
        status["next_job"],
        _instant(status["next_at"]),
        kernel,
        cores,
        tuple(_notes(status)),
        backlog["level"],
        backlog["most"],
        backlog["used"],
        tuple(Slots(**slots) for slots in going["lanes"]),
        tuple(Slots(**slots) for slots in going["pools"]),
        datetime.fromisoformat(going["read_at"]),
        tuple(
            Running(
                run["run_id"],
                _instant(run["started"]),
                run["cpu_s"],
                run["memory"],
                run["lane"],
                run["catches_up"],
                hung.get(run["run_id"], ""),
            )
            for run in going["runs"]
        ),
        tuple(
            Held(
                one["name"],
                _instant(one["due"]),
                _instant(one["expected"]),
                one["bound"],
                one["reason"].removeprefix("held: "),
            )
            for one in backlog["held"]
        ),
    )


def _notes(status: Told) -> Iterator[tuple[str, str]]:
    if status["barred"]:
        yield "barred", status["barred"]
    for alarm in status["alarms"]:
        yield "alarm", alarm["sentence"]
    for order in status["paused"]:
        yield "paused", order
    if status["settles"]:
        yield "settles", status["settles"]
    if status["pace"]:
        yield "released", status["pace"]


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
