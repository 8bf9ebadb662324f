"""When a storm of catch-up is over (policy.storm)."""

from __future__ import annotations

from dataclasses import replace

from hostagent.policy.backlog import Limits, Memory, Signals
from hostagent.policy.storm import Facts, check

GIB = 2**30
OVER = Facts(0, 0, (), 31, 2, Signals(load=0.4, memory=Memory(4 * GIB, 3 * GIB)), Limits())
ROOMY = "MemAvailable 3 GiB of 4 GiB, calm is from 410 MiB on"


def told(facts: Facts) -> list[tuple[bool, str]]:
    """Each fact."""
    return [(fact.is_so, fact.sentence) for fact in check(facts)]


def test_a_storm_is_over_when_nothing_is_owed_and_the_host_is_calm() -> None:
    """All three, with their figures."""
    assert told(OVER) == [
        (True, "no missed run is held, none catches up"),
        (True, "each of 31 jobs waits for its next run, none is late"),
        (True, f"load average 0.4, calm is under 1.7; {ROOMY}"),
    ]


def test_what_says_that_it_is_not_over() -> None:
    """What is held, what goes, what is late, load, memory: each alone."""
    assert told(replace(OVER, held=3))[0] == (False, "3 missed runs are held, 0 catch up")
    assert not told(replace(OVER, catching_up=1))[0][0]
    late = told(replace(OVER, late=("a", "b", "c", "d", "e")))[1]
    assert late == (False, "due, and not started: a, b, c and 2 more, of 31 jobs")
    assert not told(replace(OVER, signals=Signals(load=1.7)))[2][0]
    assert not told(replace(OVER, signals=Signals(memory=Memory(10 * GIB, GIB - 1))))[2][0]


def test_a_host_that_tells_nothing_does_not_stand_in_the_way() -> None:
    """The sentence says so."""
    assert told(replace(OVER, signals=Signals()))[2] == (
        True,
        "this host tells neither load nor memory",
    )
