"""What is wrong with a host, by what its agent knows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hostagent.policy import hosts, skew
from hostagent.policy.hosts import LONG, MANY, MIXED_FOR, UNREACHED_TTLS, Facts
from hostagent.policy.lease import TTL
from hostagent.policy.trouble import Trouble, Wrong

SECOND = timedelta(seconds=1)


def wrong(facts: Facts) -> Wrong | None:
    """What is, in a word."""
    trouble = hosts.decide(facts).trouble
    return trouble.wrong if trouble else None


def test_a_host_that_is_well() -> None:
    """Alone, or among others that are as it is."""
    assert wrong(Facts("one")) is None
    assert wrong(Facts("one", specs={"one": "a", "two": "a"}, odd_for=LONG)) is None


def test_a_large_backlog_and_an_old_one_are_told_until_nothing_waits() -> None:
    """More than a hundred, or for more than an hour; what goes down again does not flap."""
    assert wrong(Facts("one", MANY, LONG)) is None
    assert hosts.decide(Facts("one", MANY + 1, SECOND)).trouble == Trouble(
        Wrong.BACKLOG, "101 missed runs wait, for 1s by now; see: hostagent backlog list"
    )
    old = hosts.decide(Facts("one", 1, LONG + SECOND)).trouble
    assert old is not None
    assert old.reason.startswith("a missed run waits, for 1h")
    assert wrong(Facts("one", 2, SECOND, standing="backlog")) is Wrong.BACKLOG
    over = hosts.decide(Facts("one", standing="backlog"))
    assert (over.trouble, over.relief) == (None, "it holds nothing back any more")


@pytest.mark.parametrize(("ahead_s", "expected"), [(0.5, None), (3, Wrong.SKEW)])
def test_a_clock_that_bars_the_host_is_told(ahead_s: float, expected: Wrong | None) -> None:
    """Not one that is only doubtful; and it is worse than what waits for that."""
    clock = skew.decide(timedelta(seconds=-ahead_s), timedelta(milliseconds=1))
    assert wrong(Facts("one", clock=clock)) is expected
    if expected:
        assert wrong(Facts("one", MANY + 1, clock=clock)) is expected
        assert "ahead of the store's" in str(hosts.decide(Facts("one", clock=clock)).trouble)


def test_the_odd_one_of_a_fleet_is_told_when_an_upgrade_should_be_over() -> None:
    """One says it, not all who differ from it; an agent that begins anew does not take it back."""
    specs = {"one": "a", "two": "b", "three": "b", "four": "b", "five": "b"}
    facts = Facts("one", specs=specs, odd_for=MIXED_FOR)
    reason = "that of five, four, three and others is another; see: hostagent status --cluster"
    assert hosts.decide(facts).trouble == Trouble(Wrong.MIXED_SPECS, reason)
    assert wrong(Facts("one", specs=specs, odd_for=MIXED_FOR - SECOND)) is None
    assert wrong(Facts("one", specs=specs, standing="mixed_specs")) is Wrong.MIXED_SPECS
    assert wrong(Facts("two", specs=specs, odd_for=MIXED_FOR)) is None


def test_of_two_one_is_odd() -> None:
    """The same one for both."""
    specs = {"one": "a", "two": "b"}
    odd = [name for name in specs if hosts.is_odd(Facts(name, specs=specs))]
    assert odd == ["one"]


def test_units_that_are_not_as_applied_are_told_until_they_are() -> None:
    """What is worse is told first; an agent that has not looked yet takes nothing back."""
    edited = "hostagent-a.service is edited, and 2 more"
    found = hosts.decide(Facts("one", drift=edited)).trouble
    assert found == Trouble(Wrong.DRIFT, f"{edited}; see: hostagent drift")
    assert wrong(Facts("one", MANY + 1, drift=edited)) is Wrong.BACKLOG
    assert wrong(Facts("one", drift=None)) is None
    assert wrong(Facts("one", drift=None, standing="drift")) is Wrong.DRIFT
    over = hosts.decide(Facts("one", drift="", standing="drift"))
    assert (over.trouble, over.relief) == (None, "its units are as applied")


def test_a_store_that_is_away_for_minutes_is_told_until_it_is_back() -> None:
    """Not one that fails over; who begins anew meanwhile counts anew, but takes nothing back."""
    bound = UNREACHED_TTLS * TTL
    assert bound == timedelta(minutes=3)
    assert hosts.decide_reach(TTL, bound - SECOND, "refused", "").trouble is None
    assert hosts.decide_reach(TTL, bound, "refused", "").trouble == Trouble(
        Wrong.STORE,
        "not for 3min by now (refused); its runs of the cluster wait; see: hostagent doctor",
    )
    assert hosts.decide_reach(2 * TTL, bound, "refused", "").trouble is None
    assert hosts.decide_reach(TTL, SECOND, "refused", "store").trouble is not None
    over = hosts.decide_reach(TTL, None, "", "store")
    assert (over.trouble, over.relief) == (None, "it reaches the store again")
