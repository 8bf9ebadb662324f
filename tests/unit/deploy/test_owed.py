"""How what old schedules owed is closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hostagent.codec import content_json
from hostagent.deploy.owed import closing
from hostagent.model import Job, Outcome
from hostagent.store.port import Cursor, Registration, SpecRecord
from tests.unit.deploy.builders import AT, job

HOST = "host"


def registered(*jobs: Job) -> list[Registration]:
    """As apply registers them."""
    return [
        Registration(
            j.name, j.schedule.hash, content_json(j.schedule), j.scopes(HOST), j.renamed_from
        )
        for j in jobs
    ]


def records(*jobs: Job, valid_to: datetime | None = None) -> list[SpecRecord]:
    """As the store holds them."""
    return [
        SpecRecord(r.job, 1, r.hash, r.schedule, r.scopes, AT - timedelta(days=9), valid_to)
        for r in registered(*jobs)
    ]


def cursors(*jobs: Job, behind: timedelta = timedelta(hours=5)) -> list[Cursor]:
    """Each scope's, with a high-water mark that lies behind."""
    return [
        Cursor(j.name, scope, j.schedule.hash, AT - behind, 0)
        for j in jobs
        for scope in j.scopes(HOST)
    ]


def test_a_changed_schedule_closes_what_it_owed_as_skipped() -> None:
    """All occurrences above the high-water mark up to now, as one settlement with its reason."""
    old = job("a", "hourly")
    [end] = closing(records(old), cursors(old), registered(job("a", "daily")), HOST, AT)
    assert (end.job, end.scope, end.spec_hash) == ("a", "", old.schedule.hash)
    assert (end.first, end.last, end.count) == (AT - timedelta(hours=4), AT, 5)
    assert end.outcome is Outcome.SKIPPED
    assert end.reason == "the schedule was changed by apply at 2026-11-21T12:00:00Z"


def test_a_removed_job_closes_what_it_owed_as_abandoned() -> None:
    """Every scope by itself."""
    old = job("a", "hourly", for_each=("eu", "us"))
    ends = closing(records(old), cursors(old), [], HOST, AT)
    assert [(end.scope, end.count) for end in ends] == [("eu", 5), ("us", 5)]
    assert {end.outcome for end in ends} == {Outcome.ABANDONED}
    assert ends[0].reason == "removed by apply at 2026-11-21T12:00:00Z"


def test_a_removed_scope_is_closed_although_the_job_stays() -> None:
    """The scope that stays keeps what it owes."""
    old = job("a", "hourly", for_each=("eu", "us"))
    new = job("a", "hourly", for_each=("eu",))
    [end] = closing(records(old), cursors(old), registered(new), HOST, AT)
    assert (end.scope, end.outcome) == ("us", Outcome.ABANDONED)


def test_an_unchanged_or_renamed_schedule_closes_nothing() -> None:
    """What it owes is still owed, under the new name too."""
    old = job("a", "hourly")
    assert closing(records(old), cursors(old), registered(old), HOST, AT) == []
    renamed = registered(job("b", "hourly", renamed_from="a"))
    assert closing(records(old), cursors(old), renamed, HOST, AT) == []


def test_jitter_and_wording_are_no_change_of_schedule() -> None:
    """The set of occurrences is the same, so nothing of it is closed."""
    old = job("a", "hourly")
    reworded = job("a", schedule=replace(old.schedule, text="every hour", jitter=timedelta(1)))
    assert closing(records(old), cursors(old), registered(reworded), HOST, AT) == []


def test_what_was_closed_before_is_not_closed_again() -> None:
    """Only the schedule in force owes anything; and a mark at now owes nothing."""
    old, new = job("a", "hourly"), registered(job("a", "daily"))
    past = records(old, valid_to=datetime(2026, 11, 1, tzinfo=UTC))
    assert closing(past, cursors(old), new, HOST, AT) == []
    assert closing(records(old), cursors(old, behind=timedelta(0)), new, HOST, AT) == []


def test_a_job_whose_mark_lies_ahead_is_closed_up_to_it() -> None:
    """A clock was set back: its other scopes change at its mark, and other jobs now."""
    old, other = job("a", "hourly", for_each=("eu", "us")), job("b", "hourly")
    eu, us = cursors(old)
    ahead = replace(eu, high_water=AT + timedelta(hours=2))
    stands = [ahead, us, *cursors(other)]
    ends = closing(records(old, other), stands, [], HOST, AT)
    found = [(end.job, end.scope, end.last, end.count) for end in ends]
    assert found == [("a", "us", AT + timedelta(hours=2), 7), ("b", "", AT, 5)]
