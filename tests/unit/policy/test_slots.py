"""Who takes how much of the host (policy.slots)."""

from __future__ import annotations

from datetime import UTC, datetime

from hostagent.model import Lane
from hostagent.policy.backlog import Facts, Going, Limits, Signals, Waiting, Wake
from hostagent.policy.slots import Slots, of_lanes, of_pools

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
FACTS = Facts(
    Limits(),
    0.0,
    Wake(0.0),
    2,
    Signals(),
    waiting=(
        Waiting("a", Lane.NORMAL, "db", 1, T, 0.0),
        Waiting("b", Lane.BULK, None, 1, T, 0.0),
    ),
    going=(
        Going("c", Lane.NORMAL, "db", 0.5, is_catch_up=True),
        Going("d", Lane.NORMAL, "net", 4, is_catch_up=False),
    ),
    pools={"db": 2, "idle": 3},
)


def test_of_each_lane_it_is_told_what_runs_and_what_waits() -> None:
    """In the order of admission, those with nothing too."""
    assert of_lanes(FACTS) == [
        Slots("critical", 0, 0, None, 0),
        Slots("normal", 2, 4.5, None, 1),
        Slots("bulk", 0, 0, None, 1),
    ]


def test_a_pool_is_told_that_has_places_or_that_anything_is_of() -> None:
    """The weight of what runs stands against its ``max``."""
    assert of_pools(FACTS) == [
        Slots("db", 1, 0.5, 2, 1),
        Slots("idle", 0, 0, 3, 0),
        Slots("net", 1, 4, None, 0),
    ]
