"""A small fleet after an outage, in the model of bench/storm/fleet."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from bench.storm import fleet, member
from bench.storm.fleet import Found, goals, measure
from hostagent.agent.book import Entry
from hostagent.agent.owed import owed
from hostagent.policy import breaker
from hostagent.policy.due import Action, Expired, Facts, Owed, Settle, decide
from hostagent.schedule.occurrences import between
from hostagent.schedule.zones import MICROSECOND


def small() -> Found:
    """Some hosts of each kind."""
    return measure(hosts=40, sample=40)


def missed(found: Found) -> list[str]:
    """The goals that do not hold."""
    return [sentence for sentence, is_held in goals(found) if not is_held]


def test_what_is_owed_costs_nothing_and_nobody_waits_for_it() -> None:
    """Rows, store calls and memory follow the jobs; fresh runs do not notice."""
    assert missed(small()) == []


def test_the_fleet_tells_when_occurrences_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they once were: memory grows with them."""

    def listed(
        entry: Entry, until: datetime, booted_at: datetime
    ) -> tuple[Expired | None, tuple[Owed, ...]]:
        expired, found = owed(entry, until, booted_at)
        return expired, tuple(Owed(list(part.times), part.blackout) for part in found)

    monkeypatch.setattr(member, "owed", listed)
    monkeypatch.setattr(fleet, "LONG", 2 * fleet.OUTAGE)
    assert [text.partition(":")[0] for text in missed(small())] == ["a hundred times as many owed"]


def test_the_fleet_tells_when_each_occurrence_is_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it once was of those past their start_deadline: the ledger grows with them."""

    def one_by_one(facts: Facts) -> tuple[Action, ...]:
        actions: list[Action] = []
        for action in decide(facts):
            if isinstance(action, Settle):
                times = between(facts.job.schedule, action.first - MICROSECOND, action.last)
                actions += [replace(action, first=at, last=at, count=1) for at in times]
            else:
                actions.append(action)
        return tuple(actions)

    monkeypatch.setattr("hostagent.policy.due.decide", one_by_one)
    assert any("x the rows" in text for text in missed(small()))


def test_the_fleet_tells_when_the_drain_does_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the waits after failures more is sent to what fails."""
    monkeypatch.setattr(breaker, "SLOWER", 0 * breaker.SLOWER)
    monkeypatch.setattr(breaker, "FAILURES", breaker.LOOKED_AT)
    assert any("released for what fails" in text for text in missed(small()))
