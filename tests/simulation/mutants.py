"""Planted bugs, each of which a simulation must find: what is changed, and where it shows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from hostagent.agent.beats import Beats
from hostagent.agent.cluster import Cluster
from hostagent.agent.fence import Fence
from hostagent.agent.leases import Leases
from hostagent.agent.service import AgentService
from hostagent.policy import lease
from hostagent.store.sql import claims

ALWAYS: Callable[..., bool] = lambda *_: True  # noqa: E731 -- a value among values


async def _yes(*_: object) -> bool:
    """Whatever is asked."""
    return True


async def _nothing(*_: object, **__: object) -> None:
    """What is left out."""


def _by_the_store_alone(watch: lease.Watch, now_s: float, found: Any) -> lease.Verdict:
    """Expired is expired, whoever has seen what for how long."""
    lapsed = [lease.Lapsed(s.session, s.beat, "the store says so") for s in found if s.has_expired]
    return lease.Verdict(watch, tuple(lapsed), now_s + 1)


def _from_the_answer(sent_s: float, ttl: timedelta) -> float:
    """The deadline without its budget."""
    return sent_s + ttl.total_seconds() + 5


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug.

    ``kinds`` are the faults under which it shows; ``seeds`` and ``hours``, how many may be needed.
    """

    name: str
    target: object
    attribute: str
    instead: object
    kinds: tuple[str, ...]
    seeds: int = 4
    hours: float = 0.4

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """As long as the block goes on."""
        with patch.object(self.target, self.attribute, self.instead):
            yield


MUTANTS = [
    Mutant("no fence", Fence, "_arm", _nothing, ("cut", "freeze agent", "store outage")),
    Mutant(
        "a lease expires by the store's clock alone",
        lease.Watch,
        "look",
        _by_the_store_alone,
        ("store step",),
    ),
    Mutant("a lapsed lease is acted on", Cluster, "may_act", ALWAYS, ("suspend",), seeds=8),
    Mutant("nobody takes over", Beats, "_take_over", _nothing, ("power cut",), seeds=8, hours=1.0),
    Mutant("a lost lease stops nothing", Leases, "lose", _nothing, ("suspend",)),
    Mutant("an end is never final", claims, "_write_end", lambda *_: None, ("kill agent",)),
    Mutant("the deadline is too late", lease, "deadline_s", _from_the_answer, ("cut",)),
    Mutant("late admissions count", AgentService, "_is_awaited", _yes, ("freeze agent", "cut")),
]
