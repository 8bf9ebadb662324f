"""What a backfill still has to run (policy.backfill)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Kind, Only, Outcome, Run
from hostagent.policy.backfill import todo

T = datetime(2026, 11, 21, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = T + 100 * HOUR
DUE = [T + hour * HOUR for hour in range(6)]


def row(
    hour: int,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    attempt: int = 1,
    *,
    kind: Kind = Kind.SCHEDULED,
    covers: int = 1,
    claimed_at: datetime = T,
) -> Run:
    """A row of the occurrence at that hour, and of those before that it covers."""
    at = T + hour * HOUR
    first = at - (covers - 1) * HOUR if covers > 1 else None
    run = Run("a", "", kind, at, attempt, 1, "h", "due", claimed_at=claimed_at, outcome=outcome)
    return replace(run, covers_from=first, covers=covers)


ROWS = [
    row(0),
    row(1, Outcome.FAILED),
    row(2, Outcome.SKIPPED, 0),
    row(3, Outcome.QUARANTINED, 0),
    row(4, Outcome.ABANDONED),
]
"""Of hour 5 nothing is known: it fell due before the job was there."""


def hours(rows: Sequence[Run], only: Only = Only.ANY, since: datetime = NOW) -> list[int]:
    """The hours that are left."""
    return [round((at - T) / HOUR) for at in todo(DUE, rows, only, since)]


def test_all_without_a_success_are_left_oldest_first() -> None:
    """Whether they failed, or had no attempt, or no row."""
    assert hours(ROWS) == [1, 2, 3, 4, 5]
    assert hours([]) == [0, 1, 2, 3, 4, 5]


def test_only_those_without_an_attempt_or_only_those_with_one() -> None:
    """missing and failed share nothing, and are all of it together."""
    assert hours(ROWS, Only.MISSING) == [2, 3, 5]
    assert hours(ROWS, Only.FAILED) == [1, 4]


def test_a_later_attempt_that_succeeded_counts() -> None:
    """A run is what its last attempt was."""
    assert 1 not in hours([row(1, Outcome.FAILED), row(1, attempt=2)])


def test_a_run_that_stands_for_many_counts_for_each() -> None:
    """Of missed = "latest"."""
    assert hours([row(3, covers=3)]) == [0, 4, 5]
    assert hours([row(8, covers=5)]) == [0, 1, 2, 3]


def test_what_goes_on_is_left_alone() -> None:
    """It will have its outcome."""
    assert hours([row(2, None)]) == [0, 1, 3, 4, 5]


def test_a_run_of_this_order_counts_however_it_ended() -> None:
    """Each occurrence is run once; a later order may run it again."""
    mine = row(1, Outcome.FAILED, kind=Kind.BACKFILL, claimed_at=NOW)
    assert hours([*ROWS, mine]) == [2, 3, 4, 5]
    assert hours([*ROWS, mine], since=NOW + HOUR) == [1, 2, 3, 4, 5]


def test_a_run_by_hand_as_of_its_time_is_a_success() -> None:
    """Also one that got another microsecond, for there were some before; not the one beside it."""
    by_hand = row(2, kind=Kind.MANUAL)
    third = replace(by_hand, scheduled_for=by_hand.scheduled_for + timedelta(microseconds=2))
    assert hours([*ROWS, third]) == [1, 3, 4, 5]
    other = replace(by_hand, scheduled_for=by_hand.scheduled_for + timedelta(seconds=1))
    assert hours([*ROWS, other]) == [1, 2, 3, 4, 5]


@given(
    st.lists(
        st.builds(
            row,
            hour=st.integers(-2, 8),
            outcome=st.sampled_from([*Outcome, None]),
            attempt=st.integers(0, 2),
            kind=st.sampled_from(Kind),
            claimed_at=st.sampled_from([T, NOW]),
        )
    )
)
def test_the_two_parts_are_the_whole(rows: list[Run]) -> None:
    """Nothing is lost between them, nothing is in both, nothing that succeeded is in either."""
    missing, failed = hours(rows, Only.MISSING), hours(rows, Only.FAILED)
    assert sorted(missing + failed) == hours(rows)
    done = {round((one.scheduled_for - T) / HOUR) for one in rows if one.outcome == "succeeded"}
    assert not done & set(hours(rows))
