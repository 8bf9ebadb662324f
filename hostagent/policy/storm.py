"""Whether a storm of catch-up is over: three facts, each with its sentence.

They are those that an operator checks by hand: nothing is left to catch up, every job is back on
its calendar, and the host has recovered.
"""

from __future__ import annotations

from dataclasses import dataclass

from hostagent.policy.backlog import Limits, Signals
from hostagent.policy.peak import size_text

CALM_LOAD = 0.85
"""Load average for each core below which a host has recovered."""

NAMED = 3
"""How many jobs are named; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Facts:
    """``late`` are the jobs whose next occurrence lies behind them and has not started."""

    held: int
    catching_up: int
    late: tuple[str, ...]
    jobs: int
    cores: int
    signals: Signals
    limits: Limits


@dataclass(frozen=True, slots=True)
class Fact:
    """Whether it is so, and one sentence with its figures."""

    is_so: bool
    sentence: str


def check(facts: Facts) -> tuple[Fact, Fact, Fact]:
    """All three; the storm is over when all are so."""
    return _nothing_left(facts), _on_calendar(facts), _recovered(facts)


def _nothing_left(facts: Facts) -> Fact:
    is_so = not facts.held and not facts.catching_up
    sentence = f"{facts.held} missed runs are held, {facts.catching_up} catch up"
    return Fact(is_so, "no missed run is held, none catches up" if is_so else sentence)


def _on_calendar(facts: Facts) -> Fact:
    if not facts.late:
        return Fact(True, f"each of {facts.jobs} jobs waits for its next run, none is late")
    more = f" and {len(facts.late) - NAMED} more" if len(facts.late) > NAMED else ""
    named = ", ".join(facts.late[:NAMED])
    return Fact(False, f"due, and not started: {named}{more}, of {facts.jobs} jobs")


def _recovered(facts: Facts) -> Fact:
    load, memory = facts.signals.load, facts.signals.memory
    calm = CALM_LOAD * facts.cores
    told, is_so = [], True
    if load is not None:
        is_so = load < calm
        told.append(f"load average {load:g}, calm is under {calm:g}")
    if memory is not None:
        reserve = memory.total * facts.limits.memory_reserve // 100
        is_so = is_so and memory.available >= reserve
        free = f"MemAvailable {size_text(memory.available)} of {size_text(memory.total)}"
        told.append(f"{free}, calm is from {size_text(reserve)} on")
    return Fact(is_so, "; ".join(told) or "this host tells neither load nor memory")
