"""Who takes how much of this host: by lane, and by pool."""

from __future__ import annotations

from dataclasses import dataclass

from hostagent.model import Lane
from hostagent.policy.backlog import Facts, Going, Waiting


@dataclass(frozen=True, slots=True)
class Slots:
    """Of a lane, or a pool: how many run and with what weight (``used``), and how many are held.

    ``most`` is the weight that may run at once; None: nothing but the gate bounds it.
    """

    name: str
    running: int
    used: float
    most: int | None
    held: int


def of_lanes(facts: Facts) -> list[Slots]:
    """Every lane, the first in order first."""
    return [
        _slots(
            lane,
            [run for run in facts.going if run.lane is lane],
            [one for one in facts.waiting if one.lane is lane],
        )
        for lane in Lane
    ]


def of_pools(facts: Facts) -> list[Slots]:
    """Every pool that has a ``max``, or of which anything runs or is held; by name."""
    named = {run.pool for run in facts.going} | {one.pool for one in facts.waiting}
    return [
        _slots(
            name,
            [run for run in facts.going if run.pool == name],
            [one for one in facts.waiting if one.pool == name],
            facts.pools.get(name),
        )
        for name in sorted({*facts.pools, *filter(None, named)})
    ]


def _slots(name: str, going: list[Going], waiting: list[Waiting], most: int | None = None) -> Slots:
    return Slots(str(name), len(going), sum(run.weight for run in going), most, len(waiting))
