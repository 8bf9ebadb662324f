"""The catch-up gate's sentences: the term that holds or lets go, and its figures.

What holds is decided in ``gate``; here it is said. All are pure functions of the same facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hostagent.policy.backlog import NEVER, Facts, Going, Waiting
from hostagent.policy.pace import Pace
from hostagent.policy.peak import size_text
from hostagent.policy.storm import CALM_LOAD
from hostagent.policy.words import ago, span_text, when


def let_go(facts: Facts, job: Waiting, *, is_alone: bool) -> str:
    """Why ``job`` starts now. ``is_alone``: it is larger than the host."""
    held = facts.now_s - job.since_s
    after = f" after {seconds_text(held)}" if held >= 1 else ""
    if job.is_fresh:
        return f"pool {job.pool} had a place{after}" if job.pool else f"memory had room{after}"
    room = ""
    if facts.signals.memory is not None and job.peak is not None:
        room = f"; expected to need {job.peak}, and there was {_room(facts.room)}"
        room = (
            f"; alone, for it is expected to need {job.peak}: more than fits" if is_alone else room
        )
    return f"let go{after}: a weight of {facts.used:g} of {facts.level:g} was in use{room}"


def _room(room: int) -> str:
    return f"room for {size_text(room)}" if room > 0 else "no room"


def no_place(facts: Facts, job: Waiting, mates: Sequence[Going]) -> str:
    """Its pool is full of ``mates``."""
    most = facts.pools[job.pool or ""]
    taken = sum(run.weight for run in mates)
    names = ", ".join(run.name for run in mates[:3]) + (" and others" if len(mates) > 3 else "")
    need = f", {job.name} takes {job.weight:g}" if job.weight != 1 else ""
    return f"pool {job.pool}: {taken:g} of {most} places are taken by {names}{need}"


def settles(facts: Facts, left_s: float) -> str:
    """The last wake was just now."""
    settle = span_text(facts.limits.settle)
    return (
        f"settle = {settle} after a wake ({facts.wake.why}): nothing that was missed starts for "
        f"{seconds_text(left_s)} more"
    )


def no_clock(left_s: float) -> str:
    """Nobody has set the clock yet."""
    return (
        "nothing that was missed starts before systemd-timesyncd has set the clock, but in "
        f"{seconds_text(left_s)} at the latest"
    )


def too_soon(pace: Pace, since_s: float) -> str:
    """Another was let go at the same pace ``since_s`` ago."""
    left_s = pace.every.total_seconds() - since_s
    return (
        f"released by hand, {pace}: the last one went {seconds_text(since_s)} ago, the next may go "
        f"in {seconds_text(left_s)}"
    )


def over_level(facts: Facts, job: Waiting, kept: Waiting | None) -> str:
    """What catches up already leaves no weight for ``job``."""
    going = len(facts.caught_up)
    runs = "1 run weighs" if going == 1 else f"{going} runs weigh"
    return (
        f"a weight of {facts.level:g} may catch up at once{_growth(facts)}: {runs} "
        f"{facts.used:g} already, {job.name} {job.weight:g} more{_kept(facts, kept)}"
    )


def _growth(facts: Facts) -> str:
    """What makes the level grow, or why it does not."""
    limits, signals = facts.limits, facts.signals
    if facts.is_careful:
        return " (one at a time for 10min: the host went down while runs caught up)"
    if signals.memory is None:
        return f" (this host does not tell its memory: {_half(facts)})"
    if facts.level >= facts.most:
        return f" ({limits.per_core} for {_cores(facts)}: never more)"
    if signals.cpu_pressure is not None:
        calm = f"CPU pressure is at most {limits.cpu_pressure} %, now {signals.cpu_pressure:.0f} %"
    elif signals.load is not None:
        calm = f"the load average is under {CALM_LOAD * facts.cores:g}, now {signals.load:g}"
    else:
        return f" (this host tells neither CPU pressure nor load: {_half(facts)})"
    disk, most, slow = signals.disk, facts.slow_ms, ""
    if disk is not None and most is not None and disk.latency > most:
        slow = f", and {disk.name} answers in {most:.0f} ms, now {disk.latency:.0f}"
    return f" (twice as much every {span_text(limits.step)} while {calm}{slow})"


def _half(facts: Facts) -> str:
    return f"one run for two cores, it has {facts.cores}"


def _cores(facts: Facts) -> str:
    return "one core" if facts.cores == 1 else f"each of {facts.cores} cores"


def larger_than_host(facts: Facts, job: Waiting) -> str:
    """It runs alone, and others still go."""
    memory, others = facts.signals.memory, len(facts.caught_up)
    assert memory is not None
    return (
        f"it is expected to need {job.peak}, this host has {size_text(memory.total)}: "
        f"it runs alone, when what catches up now ({others} run{'s' * (others > 1)}) has ended"
    )


def no_room(facts: Facts, job: Waiting, kept: Waiting | None, room: int) -> str:
    """Memory does not fit: every term of ``room``, and what is needed."""
    memory = facts.signals.memory
    assert memory is not None
    reserve = f"{facts.limits.memory_reserve} % of RAM ({size_text(facts.reserve)})"
    terms = [f"MemAvailable {size_text(memory.available)} less {reserve}"]
    growing = [run.growth for run in facts.going if run.growth]
    if growing:
        runs = "1 run" if len(growing) == 1 else f"{len(growing)} runs"
        terms.append(f"less {size_text(sum(growing))} that {runs} may still take")
    if kept is not None and kept.peak is not None:
        terms.append(f"less {size_text(kept.peak.size)}{_kept(facts, kept)}")
    needed = f"it is expected to need {job.peak}"
    return f"{needed}, and there is {_room(room)}: {', '.join(terms)}"


def _kept(facts: Facts, kept: Waiting | None) -> str:
    if kept is None:
        return ""
    return (
        f", kept for {kept.name}, which others passed for "
        f"{seconds_text(facts.now_s - facts.state.head_s)}"
    )


def goes_first(other: Waiting, job: Waiting) -> str:
    """``other`` comes before ``job``, and nothing else holds either."""
    if other.is_fresh:
        return f"{other.name} goes first: it was not missed"
    if other.is_released:
        return f"{other.name} goes first: a person has released it"
    if other.lane is not job.lane:
        return f"{other.name} goes first: lane {other.lane} before lane {job.lane}"
    if job.deadline == NEVER:
        return f"{other.name} goes first: {job.name} is a backfill, and never too late"
    if job.deadline == other.deadline:
        return f"{other.name} goes first: both can start until {when(job.deadline)}, so by name"
    return (
        f"{other.name} goes first: it can start until {when(other.deadline)}, "
        f"{job.name} until {when(job.deadline)}"
    )


def broken(job: Waiting, why: str) -> str:
    """What its kind's failures mean for it."""
    where = f"pool {job.pool}, lane {job.lane}" if job.pool else f"lane {job.lane}"
    return f"{where}: {why}"


def short_of_memory(facts: Facts) -> str:
    """MemAvailable is under the floor."""
    memory, floor = facts.signals.memory, facts.limits.memory_floor
    assert memory is not None
    least = f"{floor} % of RAM ({size_text(memory.total * floor // 100)})"
    return f"MemAvailable {size_text(memory.available)} is under {least}"


def pressed(what: str, pressure: float, most: int) -> str:
    """A pressure is over its bound, in percent."""
    return f"{what} {pressure:.0f} % is over {most} %"


def fresh_held(job: Waiting, why: str) -> str:
    """It was not missed, and waits all the same."""
    return f"{why}, so fresh runs of lane {job.lane} wait (hold_fresh)"


def gives_way(why: str, run: Going, going: int) -> str:
    """It is stopped, of so many that go."""
    holds = "" if run.memory is None else f" and holds {size_text(run.memory)}"
    return f"{why}; of {going} runs that catch up it is the youngest, {ago(run.age)} old{holds}"


def seconds_text(seconds: float) -> str:
    """A span of ``seconds``, never negative."""
    return ago(timedelta(seconds=seconds))
