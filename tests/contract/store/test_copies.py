"""What hosts keep of their own jobs, and record in the shared store for others to see."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostagent.model import Kind
from hostagent.store.port import Mark, RunFilter, Session, Store
from tests.contract.store.builders import (
    HASH,
    OTHER,
    claimed,
    cursor,
    finish,
    in_force,
    job,
    kept_run,
    kept_spec,
    ran,
    t,
    want,
)

SPECS = [kept_spec("x", until=1), kept_spec("x", spec=OTHER, seq=2), kept_spec("y")]
RUNS = [kept_run("x", at=1, token=1), kept_run("x", at=2, token=2), kept_run("y", at=1, token=1)]
MARKS = [Mark("x", "one", OTHER, t(2), 2), Mark("y", "one", HASH, t(1), 1)]


@pytest.fixture
def copied(store: Store) -> Store:
    """The store, with what host one keeps of its own jobs x and y."""
    store.record("one", SPECS, RUNS, MARKS)
    return store


def rows(store: Store, name: str) -> list[tuple[float, str | None]]:
    """When the rows of a job were due, in seconds, and how they ended; oldest first."""
    found = store.runs(RunFilter(job=name, oldest_first=True))
    return [((row.scheduled_for - t(0)).total_seconds(), row.end_reason) for row in found]


def test_what_a_host_keeps_is_there_to_be_read(copied: Store) -> None:
    """Schedules with the time for which they held, rows as they are, marks as cursors."""
    assert copied.runs(RunFilter(job="x")) == [RUNS[1], RUNS[0]]
    assert copied.run(RUNS[2].run_id) == [RUNS[2]]
    assert [replace(s, seq=0) for s in copied.specs("x")] == [replace(s, seq=0) for s in SPECS[:2]]
    one = cursor(copied, "x", "one")
    assert (one.spec_hash, one.high_water, one.token, one.active) == (OTHER, t(2), 2, None)


def test_to_record_again_changes_nothing(copied: Store) -> None:
    """After a crash between the call and what notes it, it is repeated."""

    def all_of_it() -> tuple[object, ...]:
        found = sorted(copied.runs(RunFilter()), key=lambda row: row.run_id)
        return copied.specs(), copied.cursors(), found

    before = all_of_it()
    copied.record("one", SPECS, RUNS, MARKS)
    copied.record("one", None, RUNS[:1], MARKS[1:])
    assert all_of_it() == before


def test_an_older_record_that_comes_late_takes_no_mark_back(copied: Store) -> None:
    """High water and token only grow."""
    copied.record("one", None, [], [Mark("x", "one", OTHER, t(1), 1)])
    assert (cursor(copied, "x", "one").high_water, cursor(copied, "x", "one").token) == (t(2), 2)
    copied.record("one", None, [], [Mark("x", "one", OTHER, t(3), 1)])
    assert (cursor(copied, "x", "one").high_water, cursor(copied, "x", "one").token) == (t(3), 2)


def test_a_row_that_changed_since_is_replaced(copied: Store) -> None:
    """Why a retry did not follow is said after the end."""
    copied.record("one", None, [kept_run("x", at=1, token=1, reason="exit 0; given up")], [])
    assert rows(copied, "x") == [(1, "exit 0; given up"), (2, "exit 0")]


def test_hosts_record_each_for_itself(copied: Store) -> None:
    """The same job on another host: its schedules, rows and marks stand beside."""
    copied.record(
        "two",
        [kept_spec("x", "two")],
        [kept_run("x", "two", token=9)],
        [Mark("x", "two", HASH, t(1), 9)],
    )
    assert [spec.host for spec in copied.specs("x")] == ["one", "one", "two"]
    assert [spec.seq for spec in copied.specs("x")] == [1, 2, 3]
    assert len(copied.runs(RunFilter(job="x"))) == 3
    copied.record("two", [], [], [])
    assert [spec.host for spec in copied.specs("x")] == ["one", "one"]
    assert copied.runs(RunFilter(host="two")) == []
    assert [(c.job, c.scope) for c in copied.cursors() if c.scope] == [("x", "one"), ("y", "one")]


def test_a_job_that_the_host_knows_no_more_is_gone(copied: Store, session: Session) -> None:
    """It was renamed, or pruned; the cluster's runs of that name on that host stay."""
    copied.register([job("x")], [], t(3), remove_others=False)
    copied.record("one", SPECS, [], MARKS)
    run = ran(copied, session, want(4, "x"))
    copied.record("one", [kept_spec("y")], [], [])
    assert copied.runs(RunFilter(job="x")) == copied.run(run.run_id)
    assert rows(copied, "y") == [(1, "exit 0")]
    assert [(c.job, c.scope) for c in copied.cursors()] == [
        ("a", ""),
        ("b", ""),
        ("x", ""),
        ("y", "one"),
    ]


def test_what_is_not_the_host_s_is_left_alone(copied: Store, session: Session) -> None:
    """No host takes the cluster's cursor, another host's row, or a run that goes on."""
    run = claimed(copied, session, want(1))
    forged = kept_run("a", at=1, token=5)
    copied.record("two", [kept_spec("b", "one")], [forged], [Mark("a", "", OTHER, t(9), 9)])
    copied.record("one", None, [replace(forged, scope="")], [Mark("a", "", OTHER, t(9), 9)])
    assert cursor(copied).active == run
    assert (cursor(copied).high_water, cursor(copied).token) == (t(1), 1)
    assert {spec.job: spec.host for spec in copied.specs()}["b"] == ""
    copied.finish([finish(run)])
    (row,) = copied.runs(RunFilter(job="a"))
    assert row.token == 1


def test_what_is_recorded_is_no_news(copied: Store, session: Session) -> None:
    """Others need not read anew because a host ran its own jobs, and apply removes none of them."""
    before = copied.beat(session)
    copied.record("one", None, [kept_run("x", at=5, token=5)], [Mark("x", "one", OTHER, t(5), 5)])
    after = copied.beat(session)
    assert getattr(before, "generation", 0) == getattr(after, "generation", 1)
    copied.register([job("a")], [], t(9))
    assert set(in_force(copied)) == {"a", "x", "y"}


def test_rows_are_read_in_pages(store: Store, session: Session) -> None:
    """Oldest first, and by their tokens."""
    for second in (1, 2, 3):
        ran(store, session, want(second))
    ran(store, session, want(1, kind=Kind.MANUAL))
    page = store.runs(RunFilter(job="a", since=t(2), oldest_first=True, limit=1))
    assert [row.scheduled_for for row in page] == [t(2)]
    found = store.runs(RunFilter(job="a", token_above=2))
    assert [(row.kind, row.token) for row in found] == [(Kind.SCHEDULED, 3), (Kind.MANUAL, 4)]
