"""Which missed run may start now: what keeps a backlog from becoming the second outage.

``decide(facts, job)`` is asked for each missed run, when it is found and then again and again while
it is held. Of fresh occurrences those of a pool with a ``max`` are asked about, and those of the
lanes that ``hold_fresh`` names. They wait for a place, these also while memory runs out, and for
nothing else. Its rules, in order:

1. After a wake nothing is released for ``settle``, nor before the clock is set: what it says is
   missed may not be. Nothing waits for that longer than 5 min.
2. Of a pool and lane whose released runs fail, less is released, or nothing for a while
   (``breaker``), then one that has not failed before.
3. The weights of the runs that catch up stay within the level. It starts at 1, and doubles
   (``advance``) while it is used up, the host's CPUs have time to spare, and no disk is slower
   than it normally is.
4. The expected peak must fit MemAvailable, less a reserve, less what runs may still grow. A run
   that is larger than the host goes alone.
5. Order: lane, then earliest deadline. The first in order may be passed by others while it does not
   fit, but not for longer than ``pass_for``: then room is kept for it.

``stop`` says which run gives way when memory runs out all the same.

The weights of a pool's runs on this host, fresh ones too, stay within its ``max``; who waits for a
place is in nobody's way.

What a person holds waits; what a person releases goes first (at a pace, if one was given), and
only memory and its pool hold it.

One run may always go if memory fits: neither the level nor kept room holds the first. A host that
does not tell its memory, or neither its CPU pressure nor its load, has a fixed level: one run for
two cores. One that went down while something caught up goes on with one run at a time for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from hostagent.model import Lane
from hostagent.policy import breaker, sentences
from hostagent.policy.backlog import CLOCK_FOR, Facts, Going, State, Waiting
from hostagent.policy.breaker import Breaker
from hostagent.policy.storm import CALM_LOAD

FORGET_S = 60.0
"""After so long without a backlog, the next one starts at level 1."""

STOP_EVERY_S = 2.0
PRESSED_STOP_EVERY_S = 5.0
"""How long the last one that was stopped has for its memory to be seen free again: by
MemAvailable, by pressure (which is an average of 5 s)."""

_LANES = tuple(Lane)


@dataclass(frozen=True, slots=True)
class Admit:
    """It may start now; ``reason`` is one sentence with its figures."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Not now; ``reason`` is one sentence that names the term that holds it, and its value."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The run that gives way; ``reason`` is one sentence with its figures."""

    name: str
    reason: str


def decide(facts: Facts, job: Waiting) -> Admit | Hold:
    """Whether ``job`` may start now. Asking twice is harmless."""
    why = _held(facts, job) or _another_goes_first(facts, job)
    if why:
        return Hold(f"held: {why}")
    is_alone = _is_larger_than_host(facts, job)
    return Admit(sentences.let_go(facts, job, is_alone=is_alone))


def first(facts: Facts) -> Waiting | None:
    """Who may start now, of all who wait."""
    return next((job for job in in_order(facts.waiting) if _held(facts, job) is None), None)


def in_order(waiting: tuple[Waiting, ...]) -> list[Waiting]:
    """Rule 5: by lane, then by deadline."""
    return sorted(waiting, key=_rank)


def advance(facts: Facts) -> State:
    """The state a moment later: the level grows while it is used up and the host is calm."""
    state = _with_head(replace(resumed(facts.state, facts.now_s), seen_s=facts.now_s), facts)
    if not facts.used or not facts.missed:
        return state
    if state.grown_at_s is None:
        return replace(state, grown_at_s=facts.now_s)
    if facts.is_careful:
        return state
    is_used_up = facts.used + min(job.weight for job in facts.missed) > state.level
    is_time = facts.now_s >= state.grown_at_s + facts.limits.step.total_seconds()
    if not (is_used_up and is_time and _is_calm(facts)) or state.level >= facts.most:
        return state
    return replace(state, level=min(2 * state.level, facts.most), grown_at_s=facts.now_s)


def stop(facts: Facts) -> Stop | None:
    """Rule 7: when memory runs out, the youngest catch-up run that holds some of it gives way.

    Never the last one, never one that is not interruptible.
    """
    why = _runs_out(facts)
    going = [run for run in facts.caught_up if not run.is_ending]
    able = [run for run in going if run.may_stop and _holds_much(facts, run)]
    if why is None or len(going) < 2 or not able:
        return None
    youngest = min(able, key=lambda run: run.age)
    return Stop(youngest.name, sentences.gives_way(why, youngest, len(going)))


def stopped(state: State, now_s: float) -> State:
    """The state after a run was asked to give way."""
    return replace(state, stopped_s=now_s)


def paced(state: State, now_s: float) -> State:
    """The state after one was let go at a person's pace."""
    return replace(state, paced_s=now_s)


def resumed(state: State, now_s: float) -> State:
    """The state after a time without a backlog."""
    if now_s <= state.seen_s + FORGET_S:
        return state
    return State(seen_s=now_s, lost_s=state.lost_s, paced_s=state.paced_s)


def lost(state: State, now_s: float) -> State:
    """The state after a host is back that went down while something caught up."""
    return replace(state, lost_s=now_s)


def ended(state: State, run: Going, now_s: float, *, has_failed: bool) -> State:
    """The state after a catch-up run has ended."""
    key = (run.pool, run.lane)
    found, is_shared = state.breakers.get(key, Breaker()), run.pool is not None
    noted = breaker.note(found, now_s, has_failed=has_failed, is_shared=is_shared)
    return replace(state, breakers={**state.breakers, key: noted})


def _held(facts: Facts, job: Waiting) -> str | None:
    """What holds ``job``, whoever else waits; None: nothing does."""
    if job.is_fresh:
        return _no_place(facts, job) or _is_extreme(facts, job)
    if job.is_released:
        return _is_out(facts, job) or _no_room(facts, job)
    return _is_out(facts, job) or _over_level(facts, job) or _no_room(facts, job)


def _is_out(facts: Facts, job: Waiting) -> str | None:
    """What holds it however much room there is: a person, a wake, its pool, its kind's failures."""
    if job.is_released:
        return _no_place(facts, job) or _too_soon(facts, job)
    return job.hold or settles(facts) or _no_place(facts, job) or _is_broken(facts, job)


def _no_place(facts: Facts, job: Waiting) -> str | None:
    """A run that is heavier than its pool goes alone."""
    most = facts.pools.get(job.pool) if job.pool else None
    mates = [run for run in facts.going if run.pool == job.pool]
    if most is None or not mates or sum(run.weight for run in mates) + job.weight <= most:
        return None
    return sentences.no_place(facts, job, mates)


def _too_soon(facts: Facts, job: Waiting) -> str | None:
    """A person lets it go, but not faster than that."""
    if not job.is_paced or facts.pace is None:
        return None
    since_s = facts.now_s - facts.state.paced_s
    is_time = since_s >= facts.pace.every.total_seconds()
    return None if is_time else sentences.too_soon(facts.pace, since_s)


def settles(facts: Facts) -> str | None:
    """Why nothing is released for a while, or None: the last wake is long enough ago."""
    since_s = facts.now_s - facts.wake.at_s
    left_s = facts.limits.settle.total_seconds() - since_s
    if left_s > 0:
        return sentences.settles(facts, left_s)
    left_s = CLOCK_FOR.total_seconds() - since_s
    if facts.signals.is_clock_set is not False or left_s <= 0:
        return None
    return sentences.no_clock(left_s)


def _is_broken(facts: Facts, job: Waiting) -> str | None:
    found = facts.state.breakers.get((job.pool, job.lane))
    if found is None:
        return None
    going = sum((run.pool, run.lane) == (job.pool, job.lane) for run in facts.caught_up)
    why = breaker.decide(found, facts.now_s, going)
    if why is None and found.pause is not None and _has_fewer_attempts(facts, job):
        why = f"one is tried first that has not failed yet; this is attempt {job.attempt}"
    return sentences.broken(job, why) if why else None


def _has_fewer_attempts(facts: Facts, job: Waiting) -> bool:
    """Whether another of its pool and lane waits: what is tried must not always be the same."""
    return any(
        (other.pool, other.lane) == (job.pool, job.lane)
        and other.attempt < job.attempt
        and other.hold is None
        for other in facts.waiting
    )


def _over_level(facts: Facts, job: Waiting) -> str | None:
    kept = _kept_before(facts, job)
    needed = facts.used + job.weight + (kept.weight if kept else 0)
    if not facts.caught_up or needed <= facts.level:
        return None
    return sentences.over_level(facts, job, kept)


def _no_room(facts: Facts, job: Waiting) -> str | None:
    peak = job.peak
    if facts.signals.memory is None or peak is None:
        return None
    if _is_larger_than_host(facts, job):
        return sentences.larger_than_host(facts, job) if facts.caught_up else None
    kept = _kept_before(facts, job)
    room = facts.room - (kept.peak.size if kept and kept.peak else 0)
    return None if peak.size <= room else sentences.no_room(facts, job, kept, room)


def _is_larger_than_host(facts: Facts, job: Waiting) -> bool:
    """It never fits, however empty the host is."""
    memory, peak = facts.signals.memory, job.peak
    return memory is not None and peak is not None and peak.size > memory.total - facts.reserve


def _runs_out(facts: Facts) -> str | None:
    """Why something has to give way, or None. It takes a moment to see what the last one freed."""
    waited_s = facts.now_s - facts.state.stopped_s
    if waited_s >= STOP_EVERY_S and (why := _is_short(facts)):
        return why
    return _is_pressed(facts) if waited_s >= PRESSED_STOP_EVERY_S else None


def _is_short(facts: Facts) -> str | None:
    memory = facts.signals.memory
    if memory is None or memory.available >= memory.total * facts.limits.memory_floor // 100:
        return None
    return sentences.short_of_memory(facts)


def _is_pressed(facts: Facts) -> str | None:
    pressure, most = facts.signals.memory_pressure, facts.limits.memory_pressure
    if pressure is None or pressure <= most:
        return None
    return sentences.pressed("memory pressure", pressure, most)


def _is_extreme(facts: Facts, job: Waiting) -> str | None:
    """Why even a fresh run waits, if its lane is one that may: memory runs out, or all stand still.

    There is no moment to see what was freed: that is for who would be stopped.
    """
    if job.lane not in facts.limits.hold_fresh:
        return None
    full, most = facts.signals.memory_full, facts.limits.memory_full
    why = _is_short(facts) or _is_pressed(facts)
    if why is None and full is not None and full > most:
        why = sentences.pressed("full memory pressure", full, most)
    return sentences.fresh_held(job, why) if why else None


def _holds_much(facts: Facts, run: Going) -> bool:
    """To stop it frees some; where nobody counts, that is not known."""
    memory = facts.signals.memory
    if memory is None or run.memory is None:
        return True
    return run.memory * 100 > memory.total * facts.limits.memory_floor


def _with_head(state: State, facts: Facts) -> State:
    """Since when the first in order is that: from then on others pass it."""
    able = [job for job in facts.missed if not _is_out(facts, job)]
    head = min(able, key=_rank).name if able else ""
    return state if head == state.head else replace(state, head=head, head_s=facts.now_s)


def _kept_before(facts: Facts, job: Waiting) -> Waiting | None:
    """Who has been passed for long enough: room is kept for it, as runs that catch up make some."""
    state = facts.state
    if not facts.caught_up or facts.now_s - state.head_s < facts.limits.pass_for.total_seconds():
        return None
    head = next((one for one in facts.waiting if one.name == state.head), None)
    return head if head is not None and _rank(head) < _rank(job) else None


def _another_goes_first(facts: Facts, job: Waiting) -> str | None:
    """Only asked when nothing else holds ``job``."""
    other = next((one for one in _before(facts, job) if _held(facts, one) is None), None)
    return None if other is None else sentences.goes_first(other, job)


def _before(facts: Facts, job: Waiting) -> Iterator[Waiting]:
    """Those who wait and come before ``job``, in order."""
    return (one for one in in_order(facts.waiting) if _rank(one) < _rank(job))


def _rank(job: Waiting) -> tuple[bool, bool, int, datetime, str]:
    return not job.is_fresh, not job.is_released, _LANES.index(job.lane), job.deadline, job.name


def _is_calm(facts: Facts) -> bool:
    """Readers that seek slow each other down."""
    signals, slow_ms = facts.signals, facts.slow_ms
    if signals.disk is not None and slow_ms is not None and signals.disk.latency > slow_ms:
        return False
    if signals.cpu_pressure is not None:
        return signals.cpu_pressure <= facts.limits.cpu_pressure
    return signals.load is not None and signals.load < CALM_LOAD * facts.cores
