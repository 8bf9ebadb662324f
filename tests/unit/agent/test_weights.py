"""What catches up has a small share of the CPU, and nothing else has (agent.weights)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hostagent.agent.book import Book, Entry
from hostagent.agent.weights import CATCH_UP, DEFAULT, Weights
from hostagent.agent.world import World
from hostagent.errors import SystemdError
from hostagent.host import paths
from hostagent.model import Form, Job, Kind, Run, Schedule, Unit

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
SLICE = "hostagent.slice"


def entry(
    name: str, *, catches_up: bool = False, goes: bool = True, weight: int | None = None
) -> Entry:
    """A job, and whether a run of it goes."""
    job = Job(
        name,
        ("/bin/true",),
        Schedule(Form.CALENDAR, "daily"),
        timedelta(hours=1),
        cpu_weight=weight,
    )
    one = Entry(job, Unit(name, "", f"hostagent-{name}.service", None), "")
    one.active = Run(name, "", Kind.SCHEDULED, T, 1, 1, "db1", "due") if goes else None
    one.catching_up = catches_up
    return one


class Entries(list[Entry]):
    """As much of a book as is looked at."""

    def of_service(self, service: str) -> Entry | None:
        return next((one for one in self if one.unit.service == service), None)


class Pid1:
    """Takes properties, and refuses them while it is told to."""

    def __init__(self) -> None:
        self.set: list[tuple[str, int]] = []
        self.refuses = False
        self.it = self

    async def call(self, method: Callable[..., None], *args: Any) -> None:
        method(*args)

    def set_properties(self, unit: str, properties: Mapping[str, int]) -> None:
        if self.refuses:
            raise SystemdError("no")
        self.set.append((unit, properties["CPUWeight"]))

    def told(self) -> dict[str, int]:
        """What was set since it was asked last; nothing twice."""
        told, self.set = self.set, []
        assert len(dict(told)) == len(told)
        return dict(told)


@pytest.fixture
def pid1() -> Pid1:
    """One that nothing was set in."""
    return Pid1()


@pytest.fixture
def weights(pid1: Pid1, tmp_path: Path) -> Weights:
    """Those of an agent that begins."""
    world = SimpleNamespace(systemd=pid1, paths=paths.system(tmp_path))
    return Weights(cast("World", world))


def read(weights: Weights, *entries: Entry) -> None:
    """A new book."""
    asyncio.run(weights.read(cast("Book", Entries(entries))))


def follow(weights: Weights, *entries: Entry) -> None:
    """The first one has changed."""
    asyncio.run(weights.follow(cast("Book", Entries(entries)), entries[0]))


def test_what_catches_up_is_lowered_and_raised_again(pid1: Pid1, weights: Weights) -> None:
    """Its unit; and the slice of all jobs, while nothing else goes."""
    owed, fresh = entry("owed", catches_up=True, weight=300), entry("fresh")
    follow(weights, owed)
    assert pid1.told() == {"hostagent-owed.service": CATCH_UP, SLICE: CATCH_UP}
    follow(weights, owed)
    assert pid1.told() == {}
    follow(weights, fresh, owed)
    assert pid1.told() == {SLICE: DEFAULT}
    follow(weights, entry("fresh", goes=False), owed)
    assert pid1.told() == {SLICE: CATCH_UP}
    follow(weights, entry("owed", goes=False, weight=300))
    assert pid1.told() == {"hostagent-owed.service": 300, SLICE: DEFAULT}


def test_without_catch_up_nothing_is_set(pid1: Pid1, weights: Weights) -> None:
    """Not even asked for."""
    read(weights, entry("fresh"))
    follow(weights, entry("fresh"))
    assert pid1.told() == {}


def test_what_an_agent_before_has_set_is_set_right(
    pid1: Pid1, weights: Weights, tmp_path: Path
) -> None:
    """As PID 1's drop-ins tell it: what still catches up stays, the rest follows jobs.toml."""
    before = {"gone": "20", "edited": "300", "same": "", "owed": "20", "removed": "20"}
    for name, weight in before.items():
        folder = tmp_path / f"run/systemd/system.control/hostagent-{name}.service.d"
        folder.mkdir(parents=True)
        (folder / "50-CPUWeight.conf").write_text(f"# systemd's\n[Service]\nCPUWeight={weight}\n")
    gone, same = entry("gone", goes=False), entry("same", goes=False)
    edited = entry("edited", goes=False, weight=400)
    read(weights, gone, edited, same, entry("owed", catches_up=True))
    assert pid1.told() == {
        "hostagent-gone.service": DEFAULT,
        "hostagent-edited.service": 400,
        SLICE: CATCH_UP,
    }


def test_a_weight_that_is_refused_stops_nothing(pid1: Pid1, weights: Weights) -> None:
    """It is tried again with the next start or end."""
    pid1.refuses = True
    owed = entry("owed", catches_up=True)
    follow(weights, owed)
    pid1.refuses = False
    follow(weights, owed)
    assert pid1.told() == {"hostagent-owed.service": CATCH_UP, SLICE: CATCH_UP}
