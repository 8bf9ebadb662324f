"""Which missed run may start now: what keeps a backlog from becoming the second outage.

``decide(facts, job)`` is asked for each missed run, when it is found and then again and again while
it is held. Of fresh occurrences those of a pool with a ``max`` are asked about, and only a place of
it is what they wait for. Its rules, in order:

1. After a wake nothing is released for ``settle``, nor before the clock is set: what it says is
   missed may not be. Nothing waits for that longer than 5 min.
2. Of a pool and lane whose released runs fail, nothing is released for a while (``breaker``), then
   one that has not failed before.
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

What a person holds waits; what a person releases goes first, and only memory and its pool hold it.

One run may always go if memory fits: neither the level nor kept room holds the first. A host that
does not tell its memory, or neither its CPU pressure nor its load, has a fixed level: one run for
two cores. One that went down while something caught up goes on with one run at a time for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostagent.model import Lane
from hostagent.policy import breaker
from hostagent.policy.backlog import CLOCK_FOR, NEVER, Facts, Going, State, Waiting
from hostagent.policy.breaker import Breaker
from hostagent.policy.peak import size_text
from hostagent.policy.storm import CALM_LOAD
from hostagent.policy.words import ago, span_text, when

QUICK_MS = 10.0
"""A disk that answers within that is not slow, however quick it was before."""

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
    held = facts.now_s - job.since_s
    after = f" after {ago(timedelta(seconds=held))}" if held >= 1 else ""
    if job.is_fresh:
        return Admit(f"pool {job.pool} had a place{after}")
    level = f"level {facts.level:g}, used {facts.used:g}"
    return Admit(f"let go{after}: {level}{_room_text(facts, job)}")


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
    holds = "" if youngest.memory is None else f" and holds {size_text(youngest.memory)}"
    which = f"of {len(going)} runs that catch up it is the youngest"
    return Stop(youngest.name, f"{why}; {which}, {ago(youngest.age)} old{holds}")


def stopped(state: State, now_s: float) -> State:
    """The state after a run was asked to give way."""
    return replace(state, stopped_s=now_s)


def resumed(state: State, now_s: float) -> State:
    """The state after a time without a backlog."""
    if now_s <= state.seen_s + FORGET_S:
        return state
    return State(seen_s=now_s, lost_s=state.lost_s)


def lost(state: State, now_s: float) -> State:
    """The state after a host is back that went down while something caught up."""
    return replace(state, lost_s=now_s)


def ended(state: State, run: Going, now_s: float, *, has_failed: bool) -> State:
    """The state after a catch-up run has ended."""
    key = (run.pool, run.lane)
    noted = breaker.note(state.breakers.get(key, Breaker()), now_s, has_failed=has_failed)
    return replace(state, breakers={**state.breakers, key: noted})


def _held(facts: Facts, job: Waiting) -> str | None:
    """What holds ``job``, whoever else waits; None: nothing does."""
    if job.is_fresh:
        return _no_place(facts, job)
    if job.is_released:
        return _no_place(facts, job) or _no_room(facts, job)
    return _is_out(facts, job) or _over_level(facts, job) or _no_room(facts, job)


def _is_out(facts: Facts, job: Waiting) -> str | None:
    """What holds it however much room there is: a person, a wake, its pool, its kind's failures."""
    return job.hold or settles(facts) or _no_place(facts, job) or _is_broken(facts, job)


def _no_place(facts: Facts, job: Waiting) -> str | None:
    """A run that is heavier than its pool goes alone."""
    most = facts.pools.get(job.pool) if job.pool else None
    mates = [run for run in facts.going if run.pool == job.pool]
    taken = sum(run.weight for run in mates)
    if most is None or not mates or taken + job.weight <= most:
        return None
    names = ", ".join(run.name for run in mates[:3]) + (" and others" if len(mates) > 3 else "")
    need = f", {job.name} takes {job.weight:g}" if job.weight != 1 else ""
    return f"pool {job.pool}: {taken:g} of {most} places are taken by {names}{need}"


def settles(facts: Facts) -> str | None:
    """Why nothing is released for a while, or None: the last wake is long enough ago."""
    since = facts.now_s - facts.wake.at_s
    left = facts.limits.settle.total_seconds() - since
    if left > 0:
        settle, rest = span_text(facts.limits.settle), ago(timedelta(seconds=left))
        return f"settle = {settle} after a wake ({facts.wake.why}), {rest} of it are left"
    left = CLOCK_FOR.total_seconds() - since
    if facts.signals.is_clock_set is not False or left <= 0:
        return None
    rest = ago(timedelta(seconds=left))
    return f"systemd-timesyncd has not set the clock yet; nothing waits for that longer than {rest}"


def _is_broken(facts: Facts, job: Waiting) -> str | None:
    found = facts.state.breakers.get((job.pool, job.lane))
    if found is None:
        return None
    going = sum((run.pool, run.lane) == (job.pool, job.lane) for run in facts.caught_up)
    why = breaker.decide(found, facts.now_s, going)
    if why is None and found.pause is not None and _has_fewer_attempts(facts, job):
        why = f"one is tried that has not failed before; this is attempt {job.attempt}"
    where = f"pool {job.pool}, lane {job.lane}" if job.pool else f"lane {job.lane}"
    return f"{where}: {why}" if why else None


def _has_fewer_attempts(facts: Facts, job: Waiting) -> bool:
    """Whether another of its pool and lane waits: what is tried must not always be the same."""
    return any(
        (other.pool, other.lane) == (job.pool, job.lane)
        and other.attempt < job.attempt
        and other.hold is None
        for other in facts.waiting
    )


def _over_level(facts: Facts, job: Waiting) -> str | None:
    going = facts.caught_up
    used, level, kept = facts.used, facts.level, _kept_before(facts, job)
    if not going or used + job.weight + (kept.weight if kept else 0) <= level:
        return None
    runs = "1 run catches" if len(going) == 1 else f"{len(going)} runs catch"
    return (
        f"level {level:g}{_growth_text(facts)}; {runs} up already with a weight of {used:g}, "
        f"{job.name} weighs {job.weight:g}{_kept_text(facts, kept)}"
    )


def _growth_text(facts: Facts) -> str:
    limits, signals = facts.limits, facts.signals
    if facts.is_careful:
        return " (one at a time for 10min: the host went down while runs caught up)"
    if signals.memory is None:
        return f" (this host does not tell its memory: one run for two of {facts.cores} cores)"
    if facts.level >= facts.most:
        return f" ({limits.per_core} for each of {facts.cores} cores)"
    if signals.cpu_pressure is not None:
        calm, now = f"CPU pressure {limits.cpu_pressure} %", f"{signals.cpu_pressure:.0f} %"
    elif signals.load is not None:
        calm, now = f"load average {CALM_LOAD * facts.cores:g}", f"{signals.load:g}"
    else:
        return f" (no PSI, no load average: one run for two of {facts.cores} cores)"
    slow = _slow_disk(facts)
    disk = f", and {slow}" if slow else ""
    return f" (it doubles every {span_text(limits.step)} up to {calm}, which is {now}{disk})"


def _no_room(facts: Facts, job: Waiting) -> str | None:
    memory, peak = facts.signals.memory, job.peak
    if memory is None or peak is None:
        return None
    if _is_larger_than_host(facts, job):
        others = len(facts.caught_up)
        alone = f"{others} other{'s' if others > 1 else ''} catch up"
        if not others:
            return None
        return (
            f"{job.name} is expected to need {peak}, this host has {size_text(memory.total)}: "
            f"it runs alone, and {alone}"
        )
    kept = _kept_before(facts, job)
    room = _room(facts) - (kept.peak.size if kept and kept.peak else 0)
    if peak.size <= room:
        return None
    needed = f"{job.name} is expected to need {peak}"
    return f"{_room_terms(facts, kept)} leaves {size_text(room)}, {needed}"


def _room(facts: Facts) -> int:
    """What a run may take now."""
    memory = facts.signals.memory
    assert memory is not None
    return memory.available - _reserve(facts) - sum(run.growth for run in facts.going)


def _reserve(facts: Facts) -> int:
    memory = facts.signals.memory
    assert memory is not None
    return memory.total * facts.limits.memory_reserve // 100


def _room_terms(facts: Facts, kept: Waiting | None) -> str:
    memory = facts.signals.memory
    assert memory is not None
    reserve = f"{facts.limits.memory_reserve} % of RAM ({size_text(_reserve(facts))})"
    terms = [f"MemAvailable {size_text(memory.available)} less {reserve}"]
    growing = [run.growth for run in facts.going if run.growth]
    if growing:
        runs = "1 run" if len(growing) == 1 else f"{len(growing)} runs"
        terms.append(f"less {size_text(sum(growing))} that {runs} may still take")
    if kept is not None and kept.peak is not None:
        terms.append(f"less {size_text(kept.peak.size)}{_kept_text(facts, kept)}")
    return ", ".join(terms)


def _room_text(facts: Facts, job: Waiting) -> str:
    if facts.signals.memory is None or job.peak is None:
        return ""
    if _is_larger_than_host(facts, job):
        return f"; alone, for it is expected to need {job.peak}"
    return f"; room for {size_text(_room(facts))}, expected to need {job.peak}"


def _is_larger_than_host(facts: Facts, job: Waiting) -> bool:
    """It never fits, however empty the host is."""
    memory = facts.signals.memory
    assert memory is not None
    assert job.peak is not None
    return job.peak.size > memory.total - _reserve(facts)


def _runs_out(facts: Facts) -> str | None:
    """Why something has to give way, or None. It takes a moment to see what the last one freed."""
    memory, pressure, limits = facts.signals.memory, facts.signals.memory_pressure, facts.limits
    waited_s = facts.now_s - facts.state.stopped_s
    if memory is not None and waited_s >= STOP_EVERY_S:
        floor = memory.total * limits.memory_floor // 100
        if memory.available < floor:
            least = f"{limits.memory_floor} % of RAM ({size_text(floor)})"
            return f"MemAvailable {size_text(memory.available)} is under {least}"
    is_pressed = pressure is not None and pressure > limits.memory_pressure
    if is_pressed and waited_s >= PRESSED_STOP_EVERY_S:
        return f"memory pressure {pressure:.0f} % is over {limits.memory_pressure} %"
    return None


def _holds_much(facts: Facts, run: Going) -> bool:
    """To stop it frees some; where nobody counts, that is not known."""
    memory = facts.signals.memory
    if memory is None or run.memory is None:
        return True
    return run.memory * 100 > memory.total * facts.limits.memory_floor


def _with_head(state: State, facts: Facts) -> State:
    """Since when the first in order is that: from then on others pass it."""
    able = [
        job
        for job in facts.missed
        if not (_no_place(facts, job) if job.is_released else _is_out(facts, job))
    ]
    head = min(able, key=_rank).name if able else ""
    return state if head == state.head else replace(state, head=head, head_s=facts.now_s)


def _kept_before(facts: Facts, job: Waiting) -> Waiting | None:
    """Who has been passed for long enough: room is kept for it, as runs that catch up make some."""
    state = facts.state
    if not facts.caught_up or facts.now_s - state.head_s < facts.limits.pass_for.total_seconds():
        return None
    head = next((one for one in facts.waiting if one.name == state.head), None)
    return head if head is not None and _rank(head) < _rank(job) else None


def _kept_text(facts: Facts, kept: Waiting | None) -> str:
    if kept is None:
        return ""
    passed = ago(timedelta(seconds=facts.now_s - facts.state.head_s))
    return f", kept for {kept.name}, which others passed for {passed}"


def _another_goes_first(facts: Facts, job: Waiting) -> str | None:
    """Only asked when nothing else holds ``job``."""
    other = next((one for one in _before(facts, job) if _held(facts, one) is None), None)
    if other is None:
        return None
    if other.is_fresh:
        return f"{other.name} goes first: it was not missed"
    if other.is_released:
        return f"{other.name} goes first: a person has released it"
    if other.lane is not job.lane:
        return f"{other.name} goes first: lane {other.lane} before lane {job.lane}"
    if job.deadline == NEVER:
        return f"{other.name} goes first: {job.name} is a backfill, and never too late"
    return (
        f"{other.name} goes first: its deadline is {when(other.deadline)}, "
        f"that of {job.name} {when(job.deadline)}"
    )


def _before(facts: Facts, job: Waiting) -> Iterator[Waiting]:
    """Those who wait and come before ``job``, in order."""
    return (one for one in in_order(facts.waiting) if _rank(one) < _rank(job))


def _rank(job: Waiting) -> tuple[bool, bool, int, datetime, str]:
    return not job.is_fresh, not job.is_released, _LANES.index(job.lane), job.deadline, job.name


def _slow_disk(facts: Facts) -> str | None:
    """Which disk is slower than it normally is, or None. Readers that seek slow each other down."""
    disk, limits = facts.signals.disk, facts.limits
    if disk is None:
        return None
    most = max(QUICK_MS, disk.normal * limits.disk_latency / 100)
    if disk.latency <= most:
        return None
    return f"while {disk.name} answers in {most:.0f} ms, which are {disk.latency:.0f}"


def _is_calm(facts: Facts) -> bool:
    signals = facts.signals
    if _slow_disk(facts):
        return False
    if signals.cpu_pressure is not None:
        return signals.cpu_pressure <= facts.limits.cpu_pressure
    return signals.load is not None and signals.load < CALM_LOAD * facts.cores
