"""The proof of promise 2: what was due = what is on record (hostagent.report.audit)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hostagent.codec import content_json
from hostagent.model import Form, Kind, Outcome, Run, Schedule
from hostagent.report.audit import Audit, audit
from hostagent.store.port import Cursor, SpecRecord

HOUR = timedelta(hours=1)
T = datetime(2026, 11, 21, tzinfo=UTC)
SCHEDULE = Schedule(Form.CALENDAR, "hourly", ("hourly",))
SPEC = SpecRecord("backup", 1, SCHEDULE.hash, content_json(SCHEDULE), ("",), T)


def row(hour: int, covers: int = 1, outcome: Outcome | None = Outcome.SUCCEEDED) -> Run:
    """A ledger row for the occurrence at T + hour that stands for ``covers`` of them."""
    at = T + hour * HOUR
    return Run(
        "backup",
        "",
        Kind.SCHEDULED,
        at,
        1,
        hour,
        "h",
        "due",
        spec_hash=SCHEDULE.hash,
        outcome=outcome,
        covers_from=at - (covers - 1) * HOUR if covers > 1 else None,
        covers=covers,
    )


def judge(runs: list[Run], hours: int, mark: int | None = None) -> Audit:
    """The audit of T to T + hours, with the high-water mark at T + mark."""
    mark = hours if mark is None else mark
    cursor = Cursor("backup", "", SCHEDULE.hash, T + mark * HOUR, 9)
    return audit([SPEC], runs, [cursor], T, T + hours * HOUR)


def problems(result: Audit) -> list[str]:
    """What differs, in words."""
    return [difference.problem for difference in result.differences]


def test_one_row_for_each_occurrence_is_in_order() -> None:
    """As many rows as occurrences, each with its outcome: nothing differs."""
    result = judge([row(1), row(2), row(3)], 3)
    assert (result.due, result.settled, result.open, result.differences) == (3, 3, 0, [])


def test_a_lost_occurrence_is_named() -> None:
    """An occurrence below the mark without a row is a difference, with its time."""
    result = judge([row(1), row(3)], 3)
    assert problems(result) == ["has no outcome"]
    assert result.differences[0].scheduled_for == T + 2 * HOUR


def test_two_rows_for_one_occurrence_are_named() -> None:
    """An occurrence that two rows stand for is a difference that names both runs."""
    result = judge([row(1), row(3, covers=3), row(2)], 3)
    assert "has 2 outcomes: backup.20261121T010000Z, backup.20261121T030000Z" in problems(result)


def test_a_row_that_counts_wrongly_is_named() -> None:
    """A row must stand for exactly the occurrences that the calendar names in its range."""
    wrong = replace(row(3, covers=3), covers=2)
    assert problems(judge([wrong], 3)) == ["stands for 2 occurrences, the calendar names 3"]


def test_an_occurrence_that_no_calendar_names_is_named() -> None:
    """A scheduled row between two occurrences is a run that was never due."""
    stray = replace(row(2), scheduled_for=T + 2 * HOUR + HOUR / 2)
    result = judge([row(1), row(2), stray], 2, mark=3)
    assert problems(judge([row(1), row(2), row(3), stray], 3)) == [
        "stands for 1 occurrences, the calendar names 0"
    ]
    assert result.due == 2


def test_what_waits_or_runs_is_open_and_no_difference() -> None:
    """Above the high-water mark, or claimed without an outcome yet: open."""
    result = judge([row(1), row(2, outcome=None)], 4, mark=2)
    assert (result.settled, result.open, result.differences) == (1, 3, [])


def test_each_schedule_is_judged_for_its_own_time() -> None:
    """After an edit the old schedule's rows prove the old time, the new one's the new."""
    daily = Schedule(Form.CALENDAR, "daily", ("daily",))
    old = replace(SPEC, valid_to=T + 2 * HOUR)
    new = SpecRecord("backup", 2, daily.hash, content_json(daily), ("",), T + 2 * HOUR)
    cursor = Cursor("backup", "", daily.hash, T + 2 * HOUR, 9)
    result = audit([old, new], [row(1), row(2)], [cursor], T, T + 5 * HOUR)
    assert (result.due, result.settled, result.differences) == (2, 2, [])
    lost = audit([old, new], [row(1)], [cursor], T, T + 5 * HOUR)
    assert problems(lost) == ["has no outcome"]


def test_what_is_owed_stays_open_when_only_the_scopes_changed() -> None:
    """The mark of a schedule counts for all of its records."""
    old = replace(SPEC, valid_to=T + 2 * HOUR)
    new = replace(SPEC, seq=2, valid_from=T + 2 * HOUR)
    cursor = Cursor("backup", "", SCHEDULE.hash, T + HOUR, 9)
    result = audit([old, new], [row(1)], [cursor], T, T + 3 * HOUR)
    assert (result.settled, result.open, result.differences) == (1, 2, [])


def test_manual_runs_prove_nothing() -> None:
    """A manual run at an occurrence's instant is no outcome of that occurrence."""
    manual = replace(row(1), kind=Kind.MANUAL)
    assert problems(judge([manual], 1)) == ["has no outcome"]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.data())
def test_any_partition_into_ranges_is_in_order_and_any_gap_is_found(
    sizes: list[int], data: st.DataObject
) -> None:
    """Rows of any width that tile the time differ in nothing; take one away and it shows."""
    rows, hour = [], 0
    for size in sizes:
        hour += size
        rows.append(row(hour, covers=size))
    assert judge(rows, hour).differences == []
    gone = data.draw(st.integers(0, len(rows) - 1))
    lost = judge(rows[:gone] + rows[gone + 1 :], hour)
    assert problems(lost) == ["has no outcome"] * sizes[gone]
