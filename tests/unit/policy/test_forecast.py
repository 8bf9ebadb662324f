"""When what is held will probably start (policy.forecast)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from hostagent.policy.backlog import Facts, Limits, State, Wake
from hostagent.policy.forecast import Expected, forecast
from hostagent.policy.gate import first
from hostagent.policy.pace import Pace
from tests.unit.policy.test_gate import (
    CALM,
    MIB,
    NOW,
    ROOMY,
    any_facts,
    facts,
    going,
    in_pool,
    waiting,
)

BUSY = replace(ROOMY, cpu_pressure=99.0)
"""So the level stays where it is."""

A, B, C = waiting("a", minutes=1), waiting("b", minutes=2), waiting("c", minutes=3)


def test_one_after_the_other_at_level_one() -> None:
    """Each when those ahead of it have taken their usual time."""
    asked = facts(C, A, B, signals=BUSY)
    assert forecast(asked, {"a": 60, "b": 30}) == {
        "a": Expected(0),
        "b": Expected(60),
        "c": Expected(90),
    }


def test_what_goes_already_has_some_of_its_time_behind_it() -> None:
    """And who takes longer than usual may end at any moment: that is no estimate any more."""
    run = replace(going("now"), age=timedelta(seconds=20))
    asked = facts(A, runs=(run,), signals=BUSY)
    assert forecast(asked, {"now": 50}) == {"a": Expected(30)}
    assert forecast(asked, {"now": 15}) == {"a": Expected(0, "after now")}


def test_where_a_duration_is_not_known_only_the_earliest_time_is_told() -> None:
    """Of those behind it; those before it are told as ever."""
    found = forecast(facts(A, B, C, signals=BUSY), {"a": 60})
    assert found["b"] == Expected(60)
    assert found["c"] == Expected(60, "after b")


def test_after_a_wake_the_first_goes_no_sooner_than_settled() -> None:
    """What comes behind it is an estimate again."""
    asked = facts(A, B, signals=BUSY, wake=Wake(NOW - 18))
    assert forecast(asked, {"a": 60}) == {"a": Expected(42, "settles"), "b": Expected(102)}
    no_clock = replace(asked, signals=replace(BUSY, is_clock_set=False))
    assert forecast(no_clock, {})["a"] == Expected(282, "settles")


def test_the_level_grows_in_it_as_it_does() -> None:
    """After 10 s two may go, after 20 s four."""
    jobs = tuple(waiting(str(n), minutes=n) for n in range(5))
    found = forecast(facts(*jobs), {str(n): 1000.0 for n in range(5)})
    assert [found[str(n)].in_s for n in range(5)] == [0, 10, 20, 20, 30]


def test_the_pace_and_the_places_of_a_pool_count() -> None:
    """The pool's run ends after 35 s, and only then goes the one that waits for it."""
    one, two = (replace(job, is_released=True, is_paced=True) for job in (A, B))
    pooled = replace(C, pool="db", is_released=True)
    asked = facts(one, two, pooled, runs=in_pool(going("x")), pools={"db": 1}, pace=Pace(6, "min"))
    found = forecast(asked, {"a": 1, "b": 1, "x": 35})
    assert {name: told.in_s for name, told in found.items()} == {"a": 0, "b": 10, "c": 35}


def test_memory_that_ends_give_back_counts() -> None:
    """A run that holds 300 MiB ends after 40 s, and the one that needs 400 MiB fits."""
    run = replace(going("x"), memory=300 * MIB)
    asked = facts(A, runs=(run,), signals=CALM, state=State(level=4, seen_s=NOW, head_s=NOW))
    assert forecast(asked, {"x": 40}) == {"a": Expected(40)}
    assert forecast(replace(asked, going=()), {}) == {}  # nothing known makes room for it


def test_of_what_a_person_holds_nothing_is_known() -> None:
    """And it is in nobody's way."""
    asked = facts(replace(A, hold="uid 0 holds it"), B, signals=BUSY)
    assert forecast(asked, {}) == {"b": Expected(0)}


@given(any_facts)
def test_who_may_start_now_is_told_so(asked: Facts) -> None:
    """It is the gate that is asked, so the first answer is the gate's."""
    asked = replace(asked, going=())
    one, found = first(asked), forecast(asked, {})
    assert one is None or found[one.name] == Expected(0)
    assert all(told.in_s >= 0 for told in found.values())


@pytest.mark.parametrize("number", [50, 200])
def test_it_ends_however_long_the_queue_is(number: int) -> None:
    """Fifty are told."""
    jobs = tuple(waiting(f"{n:03}", minutes=n) for n in range(number))
    found = forecast(facts(*jobs, limits=Limits(per_core=1)), {job.name: 5.0 for job in jobs})
    assert len(found) == 50
    assert list(found) == sorted(found)
