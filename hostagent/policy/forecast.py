"""When what the gate holds will probably start: the gate's own rules, played forward.

Nothing is known of the future but how long runs of a job normally take, and that is all that is
taken for granted: the host stays as loaded as it is, every run takes its usual time and uses the
memory that it is expected to need. Where even that is not known, only the earliest time is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hostagent.policy import gate
from hostagent.policy.backlog import CLOCK_FOR, Facts, Going, Memory, Waiting

LOOKED_AHEAD = 50
"""Of so many, the first in order, it is told: each is asked about again for each that goes."""

HORIZON_S = 86400.0


@dataclass(frozen=True, slots=True)
class Expected:
    """It starts ``in_s`` from now, or, where ``bound`` says why not more is known, no sooner."""

    in_s: float
    bound: str = ""


def forecast(facts: Facts, lasts_s: Mapping[str, float]) -> dict[str, Expected]:
    """When those who wait start, by name; who is left out, of that nothing is known.

    ``lasts_s`` is what a run normally takes, by the same names, for those of which it is known.
    """
    began_s, found = facts.now_s, dict[str, Expected]()
    facts = replace(facts, waiting=tuple(gate.in_order(facts.waiting)[:LOOKED_AHEAD]))
    ends = {run.name: began_s + _left_s(run, lasts_s) for run in facts.going}
    unknown = [run.name for run in facts.going if ends[run.name] == began_s]
    at_s: float | None = began_s
    while at_s is not None and facts.waiting and at_s < began_s + HORIZON_S:
        for name in [name for name, end_s in ends.items() if end_s <= at_s]:
            facts = _without(facts, name)
            del ends[name]
        facts = replace(facts, now_s=at_s)
        facts = replace(facts, state=gate.advance(facts))
        if (job := gate.first(facts)) is None:
            at_s = min(_moments(facts, ends), default=None)
            continue
        bound = f"after {unknown[0]}" if unknown else ""
        is_first_moment = at_s > began_s and at_s in _settled(facts)
        found[job.name] = Expected(at_s - began_s, "settles" if is_first_moment else bound)
        facts = _with(facts, job)
        ends[job.name] = at_s + lasts_s.get(job.name, 0.0)
        if job.name not in lasts_s:
            unknown.append(job.name)
    return found


def _left_s(run: Going, lasts_s: Mapping[str, float]) -> float:
    """0 where nothing is known, or where it takes longer than it normally does."""
    return max(0.0, lasts_s.get(run.name, 0.0) - run.age.total_seconds())


def _with(facts: Facts, job: Waiting) -> Facts:
    """It has started."""
    growth = job.peak.size if job.peak else 0
    run = Going(job.name, job.lane, job.pool, job.weight, not job.is_fresh, growth)
    waiting = tuple(one for one in facts.waiting if one.name != job.name)
    state = gate.paced(facts.state, facts.now_s) if job.is_paced else facts.state
    return replace(facts, waiting=waiting, going=(*facts.going, run), state=state)


def _without(facts: Facts, name: str) -> Facts:
    """It has ended, and gives back what it holds."""
    gone = [run for run in facts.going if run.name == name]
    memory, signals = facts.signals.memory, facts.signals
    if memory is not None:
        freed = sum(run.memory or 0 for run in gone)
        available = min(memory.total, memory.available + freed)
        signals = replace(signals, memory=Memory(memory.total, available))
    going = tuple(run for run in facts.going if run.name != name)
    return replace(facts, going=going, signals=signals)


def _moments(facts: Facts, ends: Mapping[str, float]) -> Iterator[float]:
    """When the answer may be another one, from now on."""
    state, limits = facts.state, facts.limits
    moments = [*ends.values(), *_settled(facts)]
    moments += [found.until_s for found in state.breakers.values()]
    moments.append(state.head_s + limits.pass_for.total_seconds())
    if state.grown_at_s is not None:
        moments.append(state.grown_at_s + limits.step.total_seconds())
    if facts.pace is not None:
        moments.append(state.paced_s + facts.pace.every.total_seconds())
    return (at_s for at_s in moments if at_s > facts.now_s)


def _settled(facts: Facts) -> tuple[float, float]:
    """When the settle time ends, and when no clock is waited for any more."""
    since_s = facts.wake.at_s
    return since_s + facts.limits.settle.total_seconds(), since_s + CLOCK_FOR.total_seconds()
