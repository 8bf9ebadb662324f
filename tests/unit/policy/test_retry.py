"""What is tried again, and when (policy.retry)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Backoff, End, Form, Job, Kind, Outcome, Run, Schedule
from hostagent.policy.outcome import CLASSES
from hostagent.policy.retry import LOOKED_AT, Facts, Final, PoolHour, Retry, decide, wait

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)
JOB = Job(
    "backup",
    ("/bin/true",),
    Schedule(Form.CALENDAR, "hourly", ("hourly",)),
    timedelta(hours=1),
    retries=3,
)
EXIT = End(Outcome.FAILED, "exited with status 3", "exit-code", exit_code=3)
LOST = End(Outcome.FAILED, "its host lost its lease", "lease-lost")
FAILED = Facts(JOB, "backup.20261121T020000Z", Kind.SCHEDULED, attempt=1, end=EXIT, now=T)


def attempts(*results: str) -> tuple[Run, ...]:
    """Attempts of the run that ended so."""
    run = Run("backup", "", Kind.SCHEDULED, T, 1, 7, "db1", "due", outcome=Outcome.FAILED)
    return tuple(
        replace(run, attempt=n, result=result) for n, result in enumerate(results, start=1)
    )


failing = st.sampled_from(sorted(CLASSES)).map(lambda result: End(Outcome.FAILED, "", result))


def test_a_failed_attempt_is_tried_again_after_its_wait() -> None:
    """The sentence says which attempt, why it failed, and when the next one is."""
    verdict = decide(FAILED)
    assert isinstance(verdict, Retry)
    assert 27 * SECOND <= verdict.at - T <= 33 * SECOND
    assert verdict.reason == (
        "attempt 1 of 4 failed (exit 3); next in 30s (at 2026-11-21 02:00:30Z)"
    )


def test_retries_are_so_many_more_attempts() -> None:
    """retries = 3: the fourth attempt is the last."""
    assert isinstance(decide(replace(FAILED, attempt=3)), Retry)
    last = decide(replace(FAILED, attempt=4))
    assert last == Final("attempt 4 of 4 failed (exit 3); no retry is left: retries = 3")
    none = decide(replace(FAILED, job=replace(JOB, retries=0)))
    assert none == Final("attempt 1 of 1 failed (exit 3); no retry is left: retries = 0")


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.FAILED])
def test_only_what_failed_is_tried_again(outcome: Outcome) -> None:
    """A run that was stopped, by a person or by its successor, stays stopped."""
    end = End(outcome, "stopped", "signal", signal="TERM")
    assert decide(replace(FAILED, end=end)) == Final(f"no retry: the attempt {outcome}")


def test_an_end_that_nobody_knows_is_not_repeated() -> None:
    """It may have succeeded."""
    end = End(Outcome.FAILED, "ended while no agent was up", "unknown")
    assert isinstance(decide(replace(FAILED, end=end)), Final)


def test_a_manual_run_is_tried_once() -> None:
    """Nor is it taken over: the person is told."""
    for end in (EXIT, LOST):
        assert isinstance(decide(replace(FAILED, kind=Kind.MANUAL, end=end)), Final)
    assert isinstance(decide(replace(FAILED, kind=Kind.BACKFILL)), Retry)


def test_a_lost_run_is_taken_over_at_once_and_uses_up_nothing() -> None:
    """Even without retries; and what fails after that still has all of them."""
    lost = replace(FAILED, end=LOST, job=replace(JOB, retries=0), is_leased=True)
    assert decide(lost) == Retry(T, "attempt 1 was lost (lease lost); taken over at once")
    before = attempts("lease-lost", "exit-code", "fenced", "exit-code")
    after = decide(replace(FAILED, attempt=5, before=before, is_leased=True))
    assert after.reason.startswith("attempt 3 of 4 failed (exit 3); next in ")
    before = (*before, *attempts("exit-code"))
    assert isinstance(decide(replace(FAILED, attempt=6, before=before, is_leased=True)), Final)


def test_what_the_gate_stopped_waits_again_once_and_uses_up_nothing() -> None:
    """Stopped a second time it has failed, as after any failure."""
    end = End(Outcome.FAILED, "was stopped by the catch-up gate", "gate-stopped", signal="TERM")
    stopped = replace(FAILED, end=end, job=replace(JOB, retries=0))
    again = "it waits in the backlog again, with its expected peak doubled"
    assert decide(stopped) == Retry(T, again)
    before = attempts("gate-stopped")
    assert isinstance(decide(replace(stopped, attempt=2, before=before)), Final)
    spent = replace(stopped, job=JOB, attempt=2, before=before)
    assert decide(spent).reason.startswith("attempt 1 of 4 failed (gate stopped); next in ")
    failed = decide(replace(spent, attempt=3, end=EXIT, before=attempts("gate-stopped", "timeout")))
    assert failed.reason.startswith("attempt 2 of 4 failed (exit 3); next in ")


def test_what_is_its_hosts_own_is_not_taken_over() -> None:
    """When the host is back, the run is tried again as after any failure."""
    verdict = decide(replace(FAILED, end=LOST))
    assert isinstance(verdict, Retry)
    assert verdict.at > T
    assert isinstance(decide(replace(FAILED, end=LOST, attempt=4)), Final)


def test_a_retry_behind_the_next_occurrence_is_scheduled_all_the_same() -> None:
    """Which of them comes first is the store's to say; the sentence warns."""
    verdict = decide(replace(FAILED, next_at=T + 20 * SECOND))
    assert isinstance(verdict, Retry)
    assert verdict.at == T + wait(JOB.backoff, 1, f"{FAILED.run_id} 1")
    assert verdict.reason.endswith(", unless the occurrence of 2026-11-21 02:00:20Z comes first")
    assert "unless" not in decide(replace(FAILED, next_at=T + 60 * SECOND)).reason


def test_a_pool_has_a_budget_of_retries() -> None:
    """A tenth of its starts, but ten: then its failures are final, with the figures."""
    spent = replace(FAILED, pool=PoolHour("disk", starts=34, retries=10))
    assert decide(spent) == Final(
        "attempt 1 of 4 failed (exit 3); no retry: 10 of the 34 starts of pool disk in the last "
        "hour were retries, allowed are 10 (a tenth, at least 10)"
    )
    busy = decide(replace(spent, pool=PoolHour("disk", LOOKED_AT, 100)))
    assert busy.reason.endswith(
        "100 of the last 1000 starts of pool disk were retries, allowed are 100 (a tenth, at least "
        "10)"
    )
    assert isinstance(decide(replace(spent, pool=PoolHour("disk", 34, 9))), Retry)
    assert isinstance(decide(replace(spent, pool=PoolHour("disk", 500, 49))), Retry)
    assert isinstance(decide(replace(spent, pool=PoolHour("disk", 500, 50))), Final)
    assert isinstance(decide(replace(spent, end=LOST, is_leased=True)), Retry)


def test_waits_written_one_by_one_are_taken_in_turn() -> None:
    """The last one repeats; a wait of nothing is none."""
    backoff = Backoff(steps=(timedelta(0), 10 * SECOND, 100 * SECOND))
    waits = [wait(backoff, number, "x") for number in (1, 2, 3, 4)]
    assert waits[0] == timedelta(0)
    for told, base in zip(waits[1:], (10, 100, 100), strict=True):
        assert 0.9 * base <= told.total_seconds() <= 1.1 * base


@given(
    first=st.integers(1, 10_000_000),
    factor=st.floats(1, 100),
    most=st.integers(1, 10_000_000),
    number=st.integers(1, 1001),
    seed=st.text(),
)
def test_a_wait_grows_to_its_bound_within_ten_percent(
    first: int, factor: float, most: int, number: int, seed: str
) -> None:
    """Whatever was written, for the thousandth retry too; and the same when it is asked again."""
    backoff = Backoff(first * SECOND, factor, most * SECOND)
    told = wait(backoff, number, seed)
    grown = min(most, first if number == 1 else _power(first, factor, number - 1, most))
    assert 0.899999 * grown <= told.total_seconds() <= 1.100001 * grown
    assert told == wait(backoff, number, seed)


def _power(first: int, factor: float, times: int, most: int) -> float:
    value = float(first)
    for _ in range(times):
        value *= factor
        if value > most:
            return most
    return value


def test_what_failed_together_comes_back_apart() -> None:
    """The jitter fills its range: a thousand runs do not come back in the same second."""
    waits = [wait(Backoff(), 1, f"job-{n}.20261121T020000Z 1").total_seconds() for n in range(1000)]
    assert min(waits) < 27.1
    assert max(waits) > 32.9
    assert abs(sum(waits) / 1000 - 30) < 0.2


@given(
    end=failing,
    attempt=st.integers(1, 2000),
    taken_over=st.integers(0, 20),
    retries=st.integers(0, 1000),
    is_leased=st.booleans(),
    pool=st.none() | st.builds(PoolHour, st.just("p"), st.integers(0, 500), st.integers(0, 100)),
    next_at=st.none() | st.just(T + SECOND),
)
def test_retries_come_to_an_end(
    end: End,
    attempt: int,
    taken_over: int,
    retries: int,
    is_leased: bool,
    pool: PoolHour | None,
    next_at: datetime | None,
) -> None:
    """Only take-overs do not count; a retry is never in the past."""
    taken_over = min(taken_over, attempt - 1)
    job = replace(JOB, retries=retries)
    verdict = decide(
        replace(
            FAILED,
            job=job,
            attempt=attempt,
            end=end,
            before=attempts(*["lease-lost"] * taken_over),
            pool=pool,
            next_at=next_at,
            is_leased=is_leased,
        )
    )
    if isinstance(verdict, Final):
        return
    assert verdict.at >= T
    if verdict.at > T:
        assert attempt - (taken_over if is_leased else 0) <= retries
        assert pool is None or pool.retries < pool.allowed
