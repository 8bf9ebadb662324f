"""What the catch-up gate lets go and what it holds (policy.gate)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Lane
from hostagent.policy.backlog import (
    NEVER,
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
from hostagent.policy.breaker import FAILURES, LEAST
from hostagent.policy.gate import (
    Admit,
    Hold,
    advance,
    decide,
    ended,
    first,
    in_order,
    lost,
    paced,
    resumed,
    stop,
    stopped,
)
from hostagent.policy.pace import Pace
from hostagent.policy.peak import Peak

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
MIB, GIB = 2**20, 2**30
NOW = 10_000.0
LONG_AGO = Wake(0.0)
CALM = Signals(cpu_pressure=3.0, load=0.4, memory=Memory(1000 * MIB, 312 * MIB))
ROOMY = replace(CALM, memory=Memory(64 * GIB, 60 * GIB))
BUSY = replace(ROOMY, cpu_pressure=61.0)


def waiting(
    name: str = "backup", size: int = 400 * MIB, minutes: int = 60, **more: object
) -> Waiting:
    """A missed run whose deadline is so many minutes from ``T``."""
    job = Waiting(
        name, Lane.NORMAL, None, 1.0, T + timedelta(minutes=minutes), NOW, Peak(size, "memory_max")
    )
    return replace(job, **more)  # type: ignore[arg-type]


def going(
    name: str = "other", weight: float = 1.0, growth: int = 0, *, fresh: bool = False
) -> Going:
    """A run that goes."""
    return Going(name, Lane.NORMAL, None, weight, not fresh, growth)


def facts(*jobs: Waiting, runs: tuple[Going, ...] = (), **more: object) -> Facts:
    """On two cores, long after the last wake."""
    base = Facts(
        Limits(), NOW, LONG_AGO, 2, ROOMY, jobs, runs, State(level=1, seen_s=NOW, head_s=NOW)
    )
    return replace(base, **more)  # type: ignore[arg-type]


def held(answer: Admit | Hold) -> str:
    """Its sentence."""
    assert isinstance(answer, Hold), answer
    return answer.reason


# Rules 4, 5 and 9: memory


def test_a_run_that_does_not_fit_is_held_with_every_figure() -> None:
    """MemAvailable, the reserve, what is left, and what is needed and how that is known."""
    assert held(decide(facts(signals=CALM), waiting())) == (
        "held: it is expected to need 400 MiB (memory_max), and there is room for 212 MiB: "
        "MemAvailable 312 MiB less 10 % of RAM (100 MiB)"
    )


def test_what_runs_may_still_take_is_reserved() -> None:
    """Of fresh runs, too."""
    runs = (
        going(growth=100 * MIB, fresh=True),
        going(growth=20 * MIB, fresh=True),
        going(fresh=True),
    )
    why = held(decide(facts(signals=CALM, runs=runs), waiting(size=100 * MIB)))
    assert "there is room for 92 MiB: " in why
    assert why.endswith(", less 120 MiB that 2 runs may still take")
    assert isinstance(decide(facts(signals=CALM, runs=runs), waiting(size=92 * MIB)), Admit)


def test_a_run_larger_than_the_host_goes_alone() -> None:
    """It would never fit: it waits for those that catch up, then goes."""
    big = waiting(size=2 * GIB)
    assert held(
        decide(facts(signals=CALM, runs=(going(weight=0.1),)), replace(big, weight=0.1))
    ) == (
        "held: it is expected to need 2 GiB (memory_max), this host has 1000 MiB: it runs "
        "alone, when what catches up now (1 run) has ended"
    )
    assert "; alone, for" in decide(facts(signals=CALM), big).reason


# What people order


def test_what_a_person_holds_waits_however_much_room_there_is() -> None:
    """Others pass it, and no room is kept for it."""
    ordered = waiting("held", minutes=1, hold="uid 0 holds it since 02:00: disk is full")
    asked = facts(ordered, waiting())
    assert held(decide(asked, ordered)) == "held: uid 0 holds it since 02:00: disk is full"
    assert first(asked) == waiting()
    assert advance(asked).head == "backup"


def test_what_a_person_releases_goes_before_all_others_if_memory_allows() -> None:
    """While the host settles, above the level, and though it was held."""
    job = waiting("now", lane=Lane.BULK, is_released=True, hold="uid 0 holds it")
    other = waiting("other", minutes=1)
    busy = facts(job, other, runs=(going(),) * 9, wake=Wake(NOW))
    assert isinstance(decide(busy, job), Admit)
    assert first(busy) == job
    calm = replace(busy, wake=LONG_AGO, going=())
    assert held(decide(calm, other)) == "held: now goes first: a person has released it"
    assert "room for 212 MiB" in held(decide(replace(busy, signals=CALM), job))


def test_what_is_released_at_a_pace_goes_one_by_one_the_most_urgent_first() -> None:
    """Above the level and before settle; and what waits for its turn is in nobody's way."""
    early = waiting("early", minutes=1, is_released=True, is_paced=True)
    late = waiting("late", minutes=9, is_released=True, is_paced=True)
    other = waiting("other", minutes=90)
    asked = facts(late, other, early, runs=(going(),) * 9, wake=Wake(NOW), pace=Pace(6, "min"))
    assert first(asked) == early
    after = replace(asked, waiting=(late, other), state=paced(asked.state, NOW), now_s=NOW + 4)
    assert held(decide(after, late)) == (
        "held: released by hand, 6/min: the last one went 4s ago, the next may go in 6s"
    )
    assert first(replace(after, going=(), wake=LONG_AGO)) == other
    assert advance(replace(after, wake=LONG_AGO)).head == "other"
    assert first(replace(after, now_s=NOW + 9.9)) is None
    assert first(replace(after, now_s=NOW + 10)) == late
    assert first(replace(after, waiting=(replace(late, is_paced=False),))) is not None


def test_memory_and_the_pool_hold_what_is_released_at_a_pace() -> None:
    """A rate is no leave to bring the host down."""
    job = waiting("c", pool="db", is_released=True, is_paced=True)
    asked = facts(job, signals=CALM, pace=Pace(6, "min"))
    assert "room for 212 MiB" in held(decide(asked, job))
    full = replace(asked, signals=ROOMY, going=in_pool(going("a"), going("b")), pools={"db": 2})
    assert held(decide(full, job)) == "held: pool db: 2 of 2 places are taken by a, b"


@given(st.lists(st.integers(0, 30), min_size=2, max_size=20), st.integers(1, 60))
def test_never_two_within_the_pace(steps: list[int], runs: int) -> None:
    """Whenever it is asked."""
    pace, state, now_s, went = Pace(runs, "min"), State(seen_s=NOW), NOW, []
    for number, step in enumerate(steps):
        now_s += step
        job = waiting(str(number), is_released=True, is_paced=True)
        if first(facts(job, state=state, now_s=now_s, pace=pace)) is not None:
            went.append(now_s)
            state = paced(state, now_s)
    gaps = [later - before for before, later in pairwise(went)]
    assert all(gap >= 60 / runs for gap in gaps)


# Fresh runs under extreme pressure


@pytest.mark.parametrize(
    ("signals", "says"),
    [
        (replace(CALM, memory=Memory(1000 * MIB, 31 * MIB)), "MemAvailable 31 MiB is under 5 %"),
        (replace(ROOMY, memory_pressure=42.0), "memory pressure 42 % is over 30 %"),
        (replace(ROOMY, memory_full=21.0), "full memory pressure 21 % is over 20 %"),
    ],
)
def test_fresh_runs_of_chosen_lanes_wait_while_memory_runs_out(signals: Signals, says: str) -> None:
    """By default none do; and of the others none."""
    fresh = waiting("fresh", lane=Lane.BULK, is_fresh=True)
    chosen = Limits(hold_fresh=(Lane.BULK,))
    asked = facts(fresh, signals=signals, limits=chosen)
    answer = held(decide(asked, fresh))
    assert answer.startswith(f"held: {says}")
    assert answer.endswith(", so fresh runs of lane bulk wait (hold_fresh)")
    assert isinstance(decide(replace(asked, limits=Limits()), fresh), Admit)
    assert isinstance(decide(asked, replace(fresh, lane=Lane.NORMAL)), Admit)
    calm = decide(replace(asked, signals=ROOMY, now_s=NOW + 12), fresh)
    assert calm == Admit("memory had room after 12s")


def test_a_fresh_run_does_not_start_while_what_was_stopped_frees_its_memory() -> None:
    """The moment that rule 7 takes before the next stop is not one of calm."""
    fresh = waiting("fresh", lane=Lane.BULK, is_fresh=True)
    asked = facts(fresh, signals=FULL, limits=Limits(hold_fresh=(Lane.BULK,)))
    assert first(replace(asked, state=stopped(State(), NOW - 1))) is None


# Rule 7: who gives way

FULL = replace(CALM, memory=Memory(1000 * MIB, 31 * MIB))
PRESSED = replace(CALM, memory_pressure=42.0)


def held_for(seconds: int, memory: int | None = 180 * MIB, **more: object) -> Going:
    """A run that catches up, that old."""
    run = replace(
        going(f"for{seconds}"), age=timedelta(seconds=seconds), memory=memory, may_stop=True
    )
    return replace(run, **more)  # type: ignore[arg-type]


def test_when_memory_runs_out_the_youngest_gives_way() -> None:
    """The sentence says what ran out, how many go, and what the one holds."""
    runs = (held_for(90), held_for(34), held_for(60))
    found = stop(facts(signals=FULL, runs=runs))
    assert found is not None
    assert found.name == "for34"
    assert found.reason == (
        "MemAvailable 31 MiB is under 5 % of RAM (50 MiB); of 3 runs that catch up it is the "
        "youngest, 34s old and holds 180 MiB"
    )
    found = stop(facts(signals=PRESSED, runs=runs))
    assert found is not None
    assert found.reason.startswith("memory pressure 42 % is over 30 %; ")
    assert stop(facts(signals=CALM, runs=runs)) is None


def test_who_is_spared() -> None:
    """The last one; what may not be stopped, is fresh, holds little, or ends already."""
    old = held_for(90, may_stop=False)
    for young in (
        held_for(5, may_stop=False),
        held_for(5, is_catch_up=False),
        held_for(5, memory=50 * MIB),
        held_for(5, is_ending=True),
    ):
        assert stop(facts(signals=FULL, runs=(old, young))) is None
    assert stop(facts(signals=FULL, runs=(held_for(5),))) is None
    assert stop(facts(signals=FULL, runs=(old, held_for(5)))) is not None
    assert stop(facts(signals=FULL, runs=(old, held_for(5, memory=None)))) is not None


def test_what_was_stopped_has_a_moment_to_free_its_memory() -> None:
    """2 s until MemAvailable is believed again, 5 s for an average of 5 s."""
    runs = (held_for(90), held_for(34))
    state = stopped(State(), NOW - 3)
    assert stop(facts(signals=FULL, runs=runs, state=state)) is not None
    assert stop(facts(signals=PRESSED, runs=runs, state=state)) is None
    assert stop(facts(signals=FULL, runs=runs, state=stopped(State(), NOW - 1))) is None


# Rules 3 and 10: the level


def test_above_the_level_a_run_is_held_with_the_level_and_the_pressure() -> None:
    """And it is said what would make it grow."""
    assert held(decide(facts(signals=BUSY, runs=(going(),)), waiting())) == (
        "held: a weight of 1 may catch up at once (twice as much every 10s while CPU pressure is "
        "at most 25 %, now 61 %): 1 run weighs 1 already, backup 1 more"
    )


def test_a_slow_disk_keeps_the_level_where_it_is() -> None:
    """By its own measure; a quick one is never slow."""
    runs = (going(),)
    slow = replace(ROOMY, disk=Disk("sda", 31.0, 8.0))
    grown = State(level=1, grown_at_s=NOW - 20, seen_s=NOW, head_s=NOW)
    asked = facts(waiting(), runs=runs, signals=slow, state=grown)
    assert "now 3 %, and sda answers in 12 ms, now 31)" in held(decide(asked, waiting()))
    assert advance(asked).level == 1
    for disk in (Disk("sda", 12.0, 8.0), Disk("sda", 10.0, 0.1), None):
        assert advance(replace(asked, signals=replace(ROOMY, disk=disk))).level == 2


def test_after_an_end_of_the_host_in_a_storm_one_goes_at_a_time() -> None:
    """For ten minutes: one of them may be what brings the host down."""
    state = lost(State(level=8, grown_at_s=NOW - 20, seen_s=NOW, head_s=NOW), NOW - 599)
    asked = facts(waiting(), runs=(going(),), state=state)
    assert "(one at a time for 10min: the host went down" in held(decide(asked, waiting()))
    assert isinstance(decide(replace(asked, going=()), waiting()), Admit)
    assert advance(asked).level == 8
    assert isinstance(decide(replace(asked, now_s=NOW + 2), waiting()), Admit)
    assert resumed(state, NOW + 100).lost_s == state.lost_s


def test_sleepers_share_a_level() -> None:
    """weight = 0.25: four in the place of one."""
    sleepers = tuple(going(str(n), 0.25) for n in range(4))
    sleeper = waiting(weight=0.25)
    assert isinstance(decide(facts(runs=sleepers[:3]), sleeper), Admit)
    assert "4 runs weigh 1 already, backup 0.25 more" in held(decide(facts(runs=sleepers), sleeper))


def test_fresh_runs_take_nothing_of_the_level() -> None:
    """They were never asked about."""
    runs = tuple(going(str(n), fresh=True) for n in range(50))
    assert isinstance(decide(facts(runs=runs), waiting()), Admit)


@pytest.mark.parametrize(
    ("signals", "cores", "level", "says"),
    [
        (Signals(), 8, 4, "one run for two cores, it has 8"),
        (Signals(cpu_pressure=0.0, load=0.0), 8, 4, "does not tell its memory"),
        (Signals(memory=ROOMY.memory), 2, 1, "tells neither CPU pressure nor load"),
        (replace(ROOMY, cpu_pressure=None, load=7.5), 8, 1, "load average is under 6.8, now 7.5"),
    ],
)
def test_a_host_that_tells_less(signals: Signals, cores: int, level: int, says: str) -> None:
    """No PSI: load average. No signal at all: one run for two cores."""
    runs = tuple(going(str(n)) for n in range(level))
    there = facts(signals=signals, cores=cores)
    assert isinstance(decide(replace(there, going=runs[1:]), waiting()), Admit)
    assert says in held(decide(replace(there, going=runs), waiting()))


def level_after(seconds: int, signals: Signals, *runs: Going, per_core: int = 4) -> float:
    """Asked every second, with a queue that never ends."""
    state, at = State(seen_s=NOW), facts(waiting(), runs=runs, signals=signals)
    for second in range(seconds + 1):
        limits = Limits(per_core=per_core)
        state = advance(replace(at, now_s=NOW + second, state=state, limits=limits))
    return state.level


def test_the_level_doubles_every_ten_seconds_while_the_host_is_calm() -> None:
    """Up to four for each core; not while it is not used up, and not under pressure."""
    many = going(weight=100)
    assert [level_after(s, ROOMY, many) for s in (9, 10, 20, 30, 90)] == [1, 2, 4, 8, 8]
    assert level_after(90, ROOMY, many, per_core=1) == 2
    assert level_after(90, ROOMY, going()) == 2
    assert level_after(90, ROOMY) == 1
    assert level_after(90, BUSY, many) == 1
    assert level_after(90, replace(ROOMY, cpu_pressure=None, load=1.6), many) == 8
    assert level_after(90, replace(ROOMY, cpu_pressure=None, load=1.8), many) == 1


def test_another_backlog_starts_again_at_one() -> None:
    """After a minute without any."""
    state = State(level=8, seen_s=NOW)
    assert resumed(state, NOW + 60).level == 8
    assert resumed(state, NOW + 61).level == 1


# Rule 1: settle


def test_after_a_wake_nothing_is_released_before_settle() -> None:
    """60 s, and the sentence says how much of it is left."""
    assert held(decide(facts(wake=Wake(NOW - 18, "the host has booted")), waiting())) == (
        "held: settle = 1min after a wake (the host has booted): nothing that was missed starts "
        "for 42s more"
    )
    assert isinstance(decide(facts(wake=Wake(NOW - 60)), waiting()), Admit)
    assert isinstance(
        decide(facts(wake=Wake(NOW), limits=Limits(settle=timedelta(0))), waiting()), Admit
    )


def test_a_clock_that_is_not_set_is_waited_for() -> None:
    """After settle, for five minutes at most; not where nobody tells."""

    def asked(since: float, *, is_set: bool | None) -> Admit | Hold:
        signals = replace(ROOMY, is_clock_set=is_set)
        return decide(facts(wake=Wake(NOW - since), signals=signals), waiting())

    assert held(asked(100, is_set=False)) == (
        "held: nothing that was missed starts before systemd-timesyncd has set the clock, but in "
        "3min 20s at the latest"
    )
    assert "settle" in held(asked(10, is_set=False))
    assert all(isinstance(asked(100, is_set=one), Admit) for one in (True, None))
    assert isinstance(asked(300, is_set=False), Admit)


# Pools


def in_pool(*runs: Going) -> tuple[Going, ...]:
    """These runs, as those of a pool."""
    return tuple(replace(run, pool="db") for run in runs)


NO_PLACE = facts(runs=in_pool(going("a", fresh=True), going("b")), pools={"db": 2})


def test_a_fresh_run_waits_for_a_place_of_its_pool_alone() -> None:
    """Neither settle nor the level nor memory nor a person's hold keep it."""
    fresh = waiting("c", size=90 * GIB, pool="db", is_fresh=True, hold="uid 0 holds it")
    full = replace(NO_PLACE, wake=Wake(NOW))
    assert held(decide(full, fresh)) == "held: pool db: 2 of 2 places are taken by a, b"
    one = replace(full, going=full.going[:1])
    answer = decide(one, replace(fresh, since_s=NOW - 3))
    assert answer == Admit("pool db had a place after 3s")
    heavy = replace(fresh, weight=2)
    assert held(decide(one, heavy)) == "held: pool db: 1 of 2 places are taken by a, c takes 2"
    assert isinstance(decide(replace(full, going=()), replace(fresh, weight=5)), Admit)


def test_a_missed_run_waits_for_a_place_too_whoever_has_released_it() -> None:
    """Other pools, and those without bounds, do not matter."""
    for job in (waiting("c", 1, pool="db"), waiting("c", 1, pool="db", is_released=True)):
        assert held(decide(NO_PLACE, job)) == "held: pool db: 2 of 2 places are taken by a, b"
    roomy = replace(NO_PLACE, state=replace(NO_PLACE.state, level=4))
    for job in (waiting("c", 1, pool="other"), waiting("c", 1)):
        assert isinstance(decide(roomy, job), Admit)


def test_who_waits_for_a_place_is_in_nobodys_way() -> None:
    """No room is kept for it, however early its deadline; a fresh one has the next place."""
    early = waiting("early", 1, minutes=1, pool="db")
    late = waiting("late", 1, minutes=9)
    asked = replace(NO_PLACE, waiting=(early, late), state=replace(NO_PLACE.state, level=4))
    assert first(asked) == late
    assert advance(asked).head == "late"
    fresh = waiting("fresh", 1, minutes=90, pool="db", is_fresh=True)
    free = replace(asked, waiting=(early, fresh), going=NO_PLACE.going[:1])
    assert first(free) == fresh
    assert held(decide(free, early)) == "held: fresh goes first: it was not missed"


# Rule 6: order


def test_the_order_is_lane_then_deadline() -> None:
    """Whoever asks first."""
    early, late = waiting("early", minutes=5), waiting("late", minutes=90)
    critical = waiting("critical", minutes=900, lane=Lane.CRITICAL)
    assert [job.name for job in in_order((late, critical, early))] == ["critical", "early", "late"]
    assert first(facts(late, critical, early)) is critical
    assert held(decide(facts(early), late)) == (
        "held: early goes first: it can start until 2026-11-21 02:05:00Z, "
        "late until 2026-11-21 03:30:00Z"
    )
    assert held(decide(facts(early), replace(early, name="later"))) == (
        "held: early goes first: both can start until 2026-11-21 02:05:00Z, so by name"
    )
    assert "critical goes first: lane critical before lane normal" in held(
        decide(facts(critical), early)
    )


def test_a_backfill_is_the_last_of_all() -> None:
    """Also behind what was missed in its lane, and that says so."""
    missed = waiting("late", minutes=9000, lane=Lane.BULK)
    backfill = waiting("past", lane=Lane.BULK, deadline=NEVER)
    assert first(facts(backfill, missed)) is missed
    assert held(decide(facts(missed), backfill)) == (
        "held: late goes first: past is a backfill, and never too late"
    )


def test_a_small_run_may_pass_a_big_one_for_ten_minutes() -> None:
    """Then room is kept for the big one, as runs that catch up make some."""
    big, small = waiting("big", minutes=5), waiting("small", 10 * MIB)
    runs = (going(weight=0.1),)
    state = State(level=8, seen_s=NOW, head="big", head_s=NOW - 599)
    passing = facts(big, small, runs=runs, signals=CALM, state=state)
    assert first(passing) is small
    kept = replace(passing, state=replace(state, head_s=NOW - 600))
    assert first(kept) is None
    assert held(decide(kept, small)).startswith(
        "held: it is expected to need 10 MiB (memory_max), and there is no room: MemAvailable "
        "312 MiB less 10 % of RAM (100 MiB), less 400 MiB, kept for big, which others passed for "
        "10min"
    )
    assert first(replace(kept, going=())) is small  # no run will make more room than there is
    heavy = waiting("heavy", 1, minutes=5, weight=8.0)
    assert first(replace(kept, waiting=(heavy, small), state=replace(state, head="heavy"))) is small
    late = replace(state, head="heavy", head_s=0.0)
    assert "a weight of 8 may" in held(
        decide(replace(kept, waiting=(heavy, small), state=late), small)
    )


def test_the_head_of_the_queue_is_passed_from_when_it_came_there() -> None:
    """Not from when it was held first: everybody was."""
    big, small = waiting("big", minutes=5), waiting("small")
    state = advance(facts(big, small, runs=(going(),)))
    assert (state.head, state.head_s) == ("big", NOW)
    later = advance(facts(big, small, runs=(going(),), now_s=NOW + 30, state=state))
    assert (later.head, later.head_s) == ("big", NOW)
    gone = advance(facts(small, runs=(going(),), now_s=NOW + 30, state=later))
    assert (gone.head, gone.head_s) == ("small", NOW + 30)


# Rule 8: what fails is paused


def test_a_pool_and_lane_whose_runs_fail_holds_only_its_own() -> None:
    """The others go on; after the pause one is tried."""
    mail = replace(going("mail"), pool="mail")
    state = State(seen_s=NOW)
    for _ in range(FAILURES):
        state = ended(state, mail, NOW, has_failed=True)
    one, other = waiting("one", pool="mail"), waiting("two", minutes=99)
    assert held(decide(facts(one, other, state=state), one)) == (
        "held: pool mail, lane normal: 5 of the last 5 runs that caught up failed, so none "
        "starts for 1min, 1min of it are left"
    )
    assert first(facts(one, other, state=state)) is other
    after = NOW + LEAST.total_seconds()
    assert first(facts(one, state=state, now_s=after)) is one
    runs = (replace(mail, weight=0.1),)
    trying = facts(one, runs=runs, state=state, now_s=after)
    assert "one is tried alone, which still runs" in held(decide(trying, one))


def test_a_pool_is_released_more_slowly_the_more_of_it_fails() -> None:
    """Before it pauses; who names no pool is not slowed by others."""
    states = {}
    for pool in ("mail", None):
        state = State(seen_s=NOW)
        for _ in range(2):
            state = ended(state, replace(going(), pool=pool), NOW, has_failed=True)
        states[pool] = state
    mail, alone = waiting("one", pool="mail"), waiting("one")
    why = held(decide(facts(mail, state=states["mail"]), mail))
    shown = "2 of the last 2 runs that caught up failed, so the next one waits 15s more"
    assert why == f"held: pool mail, lane normal: {shown}"
    assert first(facts(mail, state=states["mail"], now_s=NOW + 15)) is mail
    assert first(facts(alone, state=states[None])) is alone


def test_what_is_tried_after_a_pause_has_not_failed_before() -> None:
    """Else the first in order alone would use up its retries while its downstream is broken."""
    state = State(seen_s=NOW - 61)
    for _ in range(FAILURES):
        state = ended(state, going(), NOW - 61, has_failed=True)
    again, new = waiting("again", minutes=1, attempt=2), waiting("new")
    assert first(facts(again, new, state=state)) is new
    why = held(decide(facts(again, new, state=state), again))
    assert why == (
        "held: lane normal: one is tried first that has not failed yet; this is attempt 2"
    )
    assert first(facts(again, state=state)) is again
    assert first(facts(again, new)) is again


# What always holds

sizes = st.integers(1, 2000).map(lambda n: n * MIB)
weights = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0])
lanes = st.sampled_from(list(Lane))
seconds = st.floats(0, 2000)
jobs = st.lists(
    st.builds(
        waiting,
        st.text("abcdef", min_size=1, max_size=3),
        sizes,
        st.integers(0, 1000),
        weight=weights,
        lane=lanes,
        pool=st.sampled_from([None, "mail"]),
        since_s=seconds.map(lambda s: NOW - s),
    ),
    max_size=6,
    unique_by=lambda job: job.name,
).map(tuple)
runs_going = st.lists(
    st.builds(
        going,
        st.just("run"),
        weights,
        st.integers(0, 500).map(lambda n: n * MIB),
        fresh=st.booleans(),
    ),
    max_size=8,
).map(tuple)
maybe = st.none() | st.floats(0, 100)
signals = st.builds(
    Signals,
    maybe,
    maybe,
    st.none()
    | st.builds(lambda total, share: Memory(total, int(total * share)), sizes, st.floats(0, 1)),
)
states = st.builds(
    State,
    level=st.sampled_from([1.0, 2.0, 4.0, 64.0]),
    seen_s=st.just(NOW),
    head=st.text("abcdef", max_size=3),
    head_s=seconds.map(lambda s: NOW - s),
)
any_facts = st.builds(
    Facts,
    st.builds(Limits, settle=st.sampled_from([timedelta(0), timedelta(seconds=60)])),
    st.just(NOW),
    seconds.map(lambda s: Wake(NOW - s)),
    st.integers(1, 8),
    signals,
    jobs,
    runs_going,
    states,
)


@given(any_facts)
def test_a_sentence_always_has_a_figure(asked: Facts) -> None:
    """The term that holds, or lets go, and its value."""
    for job in asked.waiting:
        answer = decide(asked, job)
        start = "held: " if isinstance(answer, Hold) else "let go"
        assert answer.reason.startswith(start)
        if "goes first" not in answer.reason:
            assert re.search(r"[0-9]", answer.reason)


@given(any_facts)
def test_nothing_is_released_before_settle(asked: Facts) -> None:
    """Whatever else is true."""
    if asked.now_s - asked.wake.at_s < asked.limits.settle.total_seconds():
        assert first(asked) is None
        assert all("settle" in held(decide(asked, job)) for job in asked.waiting)


@given(any_facts)
def test_never_more_than_four_for_each_core(asked: Facts) -> None:
    """By weight; only a single run may be heavier."""
    job = first(asked)
    if job is not None and asked.caught_up:
        assert asked.used + job.weight <= 4 * asked.cores


@given(any_facts)
def test_one_may_always_go_if_memory_fits(asked: Facts) -> None:
    """While nothing catches up, neither load nor weight nor a big one holds all."""
    asked = replace(
        asked, going=tuple(run for run in asked.going if not run.is_catch_up), wake=LONG_AGO
    )
    memory = asked.signals.memory
    room = 10**15
    if memory is not None:
        growth = sum(run.growth for run in asked.going)
        room = memory.available - memory.total * asked.limits.memory_reserve // 100 - growth
    fits = [job for job in asked.waiting if job.peak is not None and job.peak.size <= room]
    if fits:
        assert first(asked) is not None


@given(any_facts)
def test_who_is_let_go_is_who_goes_first(asked: Facts) -> None:
    """Asked one by one or all at once, the same one may go."""
    one = first(asked)
    let_go = [job for job in asked.waiting if isinstance(decide(asked, job), Admit)]
    assert let_go == ([] if one is None else [one])


@given(any_facts)
def test_what_is_let_go_fits(asked: Facts) -> None:
    """Or is larger than the host, and alone."""
    job, memory = first(asked), asked.signals.memory
    if job is None or memory is None or job.peak is None:
        return
    reserve = memory.total * asked.limits.memory_reserve // 100
    room = memory.available - reserve - sum(run.growth for run in asked.going)
    is_alone = job.peak.size > memory.total - reserve and not asked.caught_up
    assert is_alone or job.peak.size <= room


@given(any_facts, st.integers(0, 100))
def test_the_level_never_shrinks_in_a_backlog_and_has_its_bound(asked: Facts, later: int) -> None:
    """Decreasing it was measured to be dead weight."""
    state = advance(replace(asked, now_s=NOW + min(later, 60)))
    assert state.level >= asked.state.level
    assert state.level <= max(asked.state.level, asked.most)
