"""The sentences of the catch-up gate for the docs, each said by the gate itself.

An example is a host of two cores and 1 GiB of RAM, and what waits and goes on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from docs.generate.text import wrapped
from hostagent.model import Lane
from hostagent.policy import gate
from hostagent.policy.backlog import (
    Disk,
    Facts,
    Going,
    Limits,
    Memory,
    Signals,
    State,
    Waiting,
    Wake,
)
from hostagent.policy.breaker import LEAST, Breaker
from hostagent.policy.pace import Pace
from hostagent.policy.peak import Peak

MIB = 2**20
NOW = 10_000.0
BOOTED = Wake(NOW - 900, "the host has booted")
CALM = Signals(cpu_pressure=3, load=0.4, memory=Memory(1024 * MIB, 700 * MIB))
REPORT = Waiting(
    "report",
    Lane.NORMAL,
    None,
    1.0,
    datetime(2026, 11, 21, 9, tzinfo=UTC),
    NOW - 18,
    Peak(400 * MIB, "memory_max"),
)
OTHERS = tuple(
    Going(
        name,
        Lane.NORMAL,
        None,
        1.0,
        is_catch_up=True,
        growth=20 * MIB,
        age=timedelta(seconds=age),
        memory=90 * MIB,
        may_stop=True,
    )
    for name, age in (("import", 140), ("thumbnails", 40))
)
FACTS = Facts(
    Limits(), NOW, BOOTED, 2, CALM, (REPORT,), OTHERS, State(level=4, seen_s=NOW, head_s=NOW)
)


def for_page(name: str) -> str:
    """The sentence of one example, as ``why`` shows it."""
    return f"```text\n{wrapped(_EXAMPLES[name]())}\n```"


def _asked(facts: Facts, job: Waiting = REPORT) -> str:
    return gate.decide(replace(facts, waiting=(job, *facts.waiting[1:])), job).reason


def _signals(**told: object) -> Facts:
    return replace(FACTS, signals=replace(CALM, **told))  # type: ignore[arg-type]


def _stops() -> str:
    answer = gate.stop(_signals(memory=Memory(1024 * MIB, 31 * MIB)))
    assert answer is not None
    return f"was stopped by the catch-up gate: {answer.reason}"


def _broken() -> str:
    failed = Breaker((True, False) * 5, LEAST, NOW + 42)
    state = replace(FACTS.state, breakers={("database", Lane.NORMAL): failed})
    return _asked(replace(FACTS, state=state), replace(REPORT, pool="database"))


def _slower() -> str:
    failed = Breaker((True, False, True, False), None, NOW + 7)
    state = replace(FACTS.state, breakers={("database", Lane.NORMAL): failed})
    return _asked(replace(FACTS, state=state), replace(REPORT, pool="database"))


def _kept() -> str:
    big = replace(REPORT, name="reindex", deadline=REPORT.deadline - timedelta(hours=1))
    state = replace(FACTS.state, head="reindex", head_s=NOW - 700)
    return _asked(replace(FACTS, waiting=(REPORT, big), state=state))


def _pool() -> str:
    taken = replace(OTHERS[0], pool="database")
    facts = replace(FACTS, going=(taken,), pools={"database": 1})
    return _asked(facts, replace(REPORT, pool="database"))


def _fresh() -> str:
    facts = _signals(memory=Memory(1024 * MIB, 31 * MIB))
    limits = replace(facts.limits, hold_fresh=(Lane.BULK,))
    job = replace(REPORT, lane=Lane.BULK, is_fresh=True)
    return _asked(replace(facts, limits=limits), job)


def _pace() -> str:
    job = replace(REPORT, is_released=True, is_paced=True)
    state = replace(FACTS.state, paced_s=NOW - 4)
    return _asked(replace(FACTS, state=state, pace=Pace(6, "min")), job)


def _full(level: float, **told: object) -> str:
    facts = _signals(**told)
    return _asked(replace(facts, state=replace(FACTS.state, level=level)))


def _first() -> str:
    urgent = replace(REPORT, name="backup", lane=Lane.CRITICAL, peak=Peak(MIB, "memory_max"))
    return _asked(replace(FACTS, going=(), waiting=(REPORT, urgent)))


_DISK = Disk("sda", latency=45, normal=6)
_EXAMPLES: dict[str, Callable[[], str]] = {
    "settle": lambda: _asked(replace(FACTS, wake=Wake(NOW - 18, "the host has booted"))),
    "clock": lambda: _asked(
        replace(_signals(is_clock_set=False), wake=Wake(NOW - 90, "the host has booted"))
    ),
    "level": lambda: _full(2, cpu_pressure=61.0),
    "disk": lambda: _full(2, disk=_DISK),
    "careful": lambda: _asked(replace(FACTS, state=replace(FACTS.state, lost_s=NOW - 60))),
    "memory": lambda: _asked(_signals(memory=Memory(1024 * MIB, 312 * MIB))),
    "larger": lambda: _asked(FACTS, replace(REPORT, peak=Peak(1200 * MIB, "memory_max"))),
    "kept": _kept,
    "first": _first,
    "stop": _stops,
    "broken": _broken,
    "slower": _slower,
    "pool": _pool,
    "fresh": _fresh,
    "pace": _pace,
    "admit": lambda: _asked(FACTS, replace(REPORT, peak=Peak(200 * MIB, "memory_max"))),
    "blind": lambda: _full(4, memory=None),
}
