"""Who may run what: facts about claims, ends, retries and settlements, one rule each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hostagent.model import End, Kind, Outcome, Usage
from hostagent.store.port import (
    Accepted,
    Claimed,
    Refusal,
    Refused,
    RunFilter,
    Session,
    Stale,
    Store,
    Want,
)
from tests.contract.store.builders import (
    FUTURE,
    OTHER,
    claimed,
    cursor,
    end,
    finish,
    ran,
    settlement,
    t,
    want,
)


def test_an_occurrence_is_claimed_once(store: Store, session: Session) -> None:
    """Its outcome, or its run, stands: high_water alone forbids another claim."""
    run = claimed(store, session, want(1))
    assert store.claim(session, [want(1)]) == [Refused(Refusal.ACTIVE, run)]
    store.finish([finish(run)])
    assert store.claim(session, [want(1)]) == [Refused(Refusal.PASSED)]
    assert store.claim(session, [want(0.5)]) == [Refused(Refusal.PASSED)]


def test_a_claim_stands_for_nothing_that_has_its_outcome(store: Store, session: Session) -> None:
    """It was decided on by what another host has changed meanwhile."""
    store.finish([finish(claimed(store, session, want(1)))])
    for first in (0.5, 1):
        several = replace(want(3), covers_from=t(first), covers=3)
        assert store.claim(session, [several]) == [Refused(Refusal.PASSED)]
    claimed(store, session, replace(want(3), covers_from=t(2), covers=2))


def test_nothing_is_claimed_before_its_time(store: Store, session: Session) -> None:
    """The store's clock decides what is due."""
    soon = store.now() + timedelta(seconds=30)
    assert store.claim(session, [want(soon)]) == [Refused(Refusal.EARLY)]


def test_a_batch_gives_what_it_can(store: Store, session: Session) -> None:
    """Each member of a batch is claimed or refused by itself, in the order asked."""
    one, two, three, four = store.claim(
        session, [want(1), want(2), want(1, "b"), want(1, "unknown")]
    )
    assert isinstance(one, Claimed)
    assert two == Refused(Refusal.ACTIVE, one.run)
    assert isinstance(three, Claimed)
    assert four == Refused(Refusal.UNKNOWN)


def test_another_schedule_is_no_claim(store: Store, session: Session) -> None:
    """Hosts that compute other times cannot claim them; a manual run needs no schedule."""
    assert store.claim(session, [want(1, spec=OTHER)]) == [Refused(Refusal.SPEC)]
    claimed(store, session, want(1, spec=OTHER, kind=Kind.MANUAL))


def test_a_session_that_is_over_claims_nothing(store: Store, session: Session) -> None:
    """Closed, followed by another, or of another boot: it is refused, and so nothing is written."""
    other = replace(session, boot_id="boot-0")
    assert store.claim(other, [want(1)]) == [Refused(Refusal.SESSION)]
    store.open_session("two", "boot-9")
    claimed(store, session, want(1, "b"))
    after = store.open_session("one", "boot-2")
    assert store.claim(session, [want(1)]) == [Refused(Refusal.SESSION)]
    store.close_session(after)
    store.close_session(after)
    assert store.claim(after, [want(1), want(1)]) == [Refused(Refusal.SESSION)] * 2
    assert cursor(store).token == 0


def test_a_session_goes_on_in_its_own_boot_only(store: Store, session: Session) -> None:
    """An agent's restart resumes; a reboot, a closed session or an unknown one does not."""
    assert store.open_session("one", "boot-1", session.id) == session
    assert store.open_session("one", "boot-2", session.id).id != session.id
    assert store.open_session("one", "boot-1", session.id).id != session.id
    assert store.open_session("one", "boot-1", "no such session").id != session.id


def test_a_claim_outlives_its_session(store: Store, session: Session) -> None:
    """What runs goes on while the agent restarts, and is finished by the next one."""
    run = claimed(store, session, want(1))
    store.close_session(session)
    assert cursor(store).active == run
    assert store.finish([finish(run)]) == [Accepted()]


def test_tokens_grow_over_kinds_and_attempts(store: Store, session: Session) -> None:
    """One counter for each (job, scope): a later claim always has the greater token."""
    tokens = [
        ran(store, session, wanted).token
        for wanted in (
            want(1),
            want(1, kind=Kind.MANUAL),
            want(1, kind=Kind.BACKFILL),
            want(2),
            want(1, kind=Kind.MANUAL),
        )
    ]
    assert tokens == sorted(set(tokens))
    assert ran(store, session, want(1, "b")).token == 1


def test_manual_runs_leave_the_mark_alone(store: Store, session: Session) -> None:
    """A person's run eats no occurrence, whatever its time, and has an identity of its own."""
    first = ran(store, session, want(FUTURE, kind=Kind.MANUAL))
    again = ran(store, session, want(FUTURE, kind=Kind.MANUAL))
    assert cursor(store).high_water == t(0)
    assert again.scheduled_for == first.scheduled_for + timedelta(microseconds=1)
    assert again.run_id != first.run_id
    ran(store, session, want(1))


def test_an_end_is_written_with_all_it_says(store: Store, session: Session) -> None:
    """The row holds the attempt's end, why it was admitted, and what it used."""
    run = claimed(store, session, want(1, invocation="1f"))
    said = replace(
        end(Outcome.FAILED, "exit 3"),
        result="exit-code",
        exit_code=3,
        usage=Usage(1.25, 2**40, 3, 4),
        report='{"rows": 1}',
        report_problem="too long",
    )
    store.finish([replace(finish(run), end=said)])
    (row,) = store.run(run.run_id)
    assert row == replace(
        run,
        outcome=said.outcome,
        end_reason=said.reason,
        result=said.result,
        exit_code=3,
        ended_at=said.ended_at,
        usage=said.usage,
        report=said.report,
        report_problem=said.report_problem,
    )
    assert (row.reason, row.started_at) == ("due", run.claimed_at)


def test_an_end_is_final(store: Store, session: Session) -> None:
    """Written again it is accepted and changes nothing; another end of it is stale."""
    run = claimed(store, session, want(1))
    assert store.finish([finish(run), finish(run)]) == [Accepted(), Accepted()]
    assert store.finish([finish(run, Outcome.FAILED)]) == [Stale()]
    assert store.run(run.run_id)[0].outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    "other",
    [{"reason": "exit 1 or so"}, {"reason": "exit"}, {"exit_code": 2}, {"signal": "KILL"}],
    ids=str,
)
def test_another_end_of_the_same_outcome_is_stale(
    store: Store, session: Session, other: dict[str, Any]
) -> None:
    """Outcome, reason, exit code and signal are the end; a retry given up since changes none."""
    run = claimed(store, session, want(1))
    first = replace(finish(run, retry=2), end=End(Outcome.FAILED, "exit 1", exit_code=1))
    store.finish([first])
    ran(store, session, want(3))
    before = store.run(run.run_id)
    different = replace(first, end=replace(first.end, **other))
    assert store.finish([different, first]) == [Stale(), Accepted()]
    assert store.run(run.run_id) == before


def test_an_end_without_its_time_ends_now(store: Store, session: Session) -> None:
    """By the store's clock: no ended run is without a time."""
    run = claimed(store, session, want(1))
    before = store.now()
    store.finish([replace(finish(run), end=End(Outcome.FAILED, "host lost"))])
    ended_at = store.run(run.run_id)[0].ended_at
    assert ended_at is not None
    assert before <= ended_at <= store.now()


def test_an_older_token_writes_nothing(store: Store, session: Session) -> None:
    """The holder of a token that another claim has passed cannot end that claim."""
    old = ran(store, session, want(1))
    new = claimed(store, session, want(2))
    late = replace(finish(old), end=end(Outcome.FAILED))
    unknown = replace(finish(new), token=99)
    assert store.finish([late, unknown]) == [Stale(), Stale()]
    assert cursor(store).active == new
    assert not store.attach("a", "", old.token, "2f", t(5))


def test_an_invocation_is_replaced_and_taken_back(store: Store, session: Session) -> None:
    """A prepared claim gets its start, another one, none: PID 1 had not run the earlier."""
    run = claimed(store, session, want(1))
    for invocation in ("1f", "2f"):
        assert store.attach("a", "", run.token, invocation, t(5))
        begun = replace(run, invocation_id=invocation, started_at=t(5))
        assert cursor(store).active == begun
    assert store.attach("a", "", run.token, "", t(6))
    assert cursor(store).active == run


def test_a_retry_follows_its_run(store: Store, session: Session) -> None:
    """Attempt n + 1 after attempt n, from its time on, once, and within the same run."""
    run = claimed(store, session, want(1))
    assert store.claim(session, [want(1, attempt=2)]) == [Refused(Refusal.ACTIVE, run)]
    store.finish([replace(finish(run, Outcome.FAILED), retry_at=FUTURE)])
    assert cursor(store).retry_at == FUTURE
    assert [cursor(store).retry] == store.run(run.run_id)
    assert store.claim(session, [want(1, attempt=2)]) == [Refused(Refusal.EARLY)]
    ran(store, session, want(1, kind=Kind.MANUAL))
    assert cursor(store).retry_at == FUTURE


def test_a_retry_that_is_due_starts_once(store: Store, session: Session) -> None:
    """Its predecessor is the last attempt; a third needs the second's end to ask for it."""
    store.finish([finish(claimed(store, session, want(1)), Outcome.FAILED, retry=2)])
    assert store.claim(session, [want(1, attempt=3)]) == [Refused(Refusal.ATTEMPT)]
    second = claimed(store, session, want(1, attempt=2))
    assert cursor(store).retry_at is None
    store.finish([finish(second, Outcome.FAILED)])
    assert store.claim(session, [want(1, attempt=3)]) == [Refused(Refusal.ATTEMPT)]
    assert [row.attempt for row in store.run(second.run_id)] == [1, 2]
    assert cursor(store).high_water == t(1)


def by_hand(at: float, attempt: int, name: str = "a") -> Want:
    """Another attempt that a person asks for."""
    return replace(want(at, name, attempt=attempt), by_hand=True)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ABANDONED])
def test_a_person_has_an_ended_run_tried_again(
    store: Store, session: Session, outcome: Outcome
) -> None:
    """The next attempt of the same run, whatever came after it; the mark stays where it is."""
    store.finish([finish(claimed(store, session, want(1)), outcome)])
    ran(store, session, want(3))
    second = claimed(store, session, by_hand(1, attempt=2))
    assert [row.attempt for row in store.run(second.run_id)] == [1, 2]
    assert second.token == 3
    assert cursor(store).high_water == t(3)
    assert cursor(store).active == second


def test_a_person_has_nothing_tried_again_that_goes_on_or_succeeded(
    store: Store, session: Session
) -> None:
    """Nor an attempt that does not follow the last one, nor an occurrence that had none."""
    assert store.claim(session, [by_hand(1, attempt=2)]) == [Refused(Refusal.ATTEMPT)]
    run = claimed(store, session, want(1))
    assert store.claim(session, [by_hand(1, attempt=2)]) == [Refused(Refusal.ACTIVE, run)]
    store.finish([finish(run, Outcome.FAILED)])
    assert store.claim(session, [by_hand(1, attempt=3)]) == [Refused(Refusal.ATTEMPT)]
    store.finish([finish(claimed(store, session, by_hand(1, attempt=2)))])
    assert store.claim(session, [by_hand(1, attempt=3)]) == [Refused(Refusal.ATTEMPT)]
    assert store.claim(session, [by_hand(1, attempt=2)]) == [Refused(Refusal.ATTEMPT)]


def test_a_person_does_not_wait_for_a_retry(store: Store, session: Session) -> None:
    """The attempt that was to follow later is this one; that of another run waits on."""
    store.finish([finish(claimed(store, session, want(1)), Outcome.FAILED)])
    store.finish(
        [replace(finish(claimed(store, session, want(2)), Outcome.FAILED), retry_at=FUTURE)]
    )
    store.finish([finish(claimed(store, session, by_hand(1, attempt=2)), Outcome.FAILED)])
    assert cursor(store).retry_at == FUTURE
    claimed(store, session, by_hand(2, attempt=2))
    assert cursor(store).retry_at is None


def test_the_next_occurrence_overtakes_a_retry(store: Store, session: Session) -> None:
    """The retry is given up, the row says so, and its attempt can no longer be claimed."""
    run = claimed(store, session, want(1))
    store.finish([finish(run, Outcome.FAILED, retry=2)])
    ran(store, session, want(3))
    assert store.claim(session, [want(1, attempt=2)]) == [Refused(Refusal.ATTEMPT)]
    (row,) = store.run(run.run_id)
    assert row.outcome is Outcome.FAILED
    assert row.end_reason
    assert "superseded" in row.end_reason


def test_a_settlement_is_one_row_and_moves_the_mark(store: Store, session: Session) -> None:
    """Also while a run goes on; never a second time, nor below the mark."""
    run = claimed(store, session, want(1))
    span = settlement(2, 4, count=3, outcome=Outcome.ABANDONED)
    refused = [Refused(Refusal.PASSED), Refused(Refusal.PASSED)]
    assert store.settle([span, span, settlement(4, 9)]) == [Accepted(), *refused]
    assert store.settle([settlement(9, spec=OTHER)]) == [Refused(Refusal.SPEC)]
    assert store.settle([settlement(9, name="unknown")]) == [Refused(Refusal.UNKNOWN)]
    assert cursor(store).high_water == t(4)
    assert store.finish([finish(run)]) == [Accepted()]
    row, _ = store.runs(RunFilter(job="a"))
    assert (row.covers_from, row.scheduled_for, row.covers) == (t(2), t(4), 3)
    assert (row.attempt, row.outcome, row.reason) == (0, Outcome.ABANDONED, "paused")


def test_what_was_written_is_there_for_others(
    store: Store, session: Session, again: Callable[[], Store]
) -> None:
    """A second opening of the store sees every row, and continues the tokens."""
    run = ran(store, session, want(1))
    other = again()
    assert [row.run_id for row in other.runs(RunFilter())] == [run.run_id]
    assert claimed(other, session, want(2)).token == run.token + 1
