"""When a job is taken out because it keeps crashing (policy.quarantine)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from hostagent.policy.quarantine import Facts, decide

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOB = Job(
    "backup", ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), timedelta(hours=1)
)
FAILED, SUCCEEDED = Outcome.FAILED, Outcome.SUCCEEDED


def attempts(*results: str | Outcome) -> tuple[Run, ...]:
    """Attempts an hour apart, the newest first: a result that failed, or another outcome."""
    rows = []
    for age, result in enumerate(results):
        at = T - age * HOUR
        rows.append(
            Run(
                "backup",
                "",
                Kind.SCHEDULED,
                at,
                1,
                100 - age,
                "db1",
                "due",
                started_at=at,
                ended_at=at,
                outcome=result if isinstance(result, Outcome) else FAILED,
                result="success" if isinstance(result, Outcome) else result,
                signal="SEGV" if result in {"signal", "core-dump"} else None,
                end_reason=None if isinstance(result, Outcome) else f"ended by {result}",
            )
        )
    return tuple(rows)


def is_taken_out(*results: str | Outcome, after: int = 2) -> bool:
    """What is decided about these attempts."""
    return decide(Facts(replace(JOB, quarantine_after=after), attempts(*results))) is not None


def test_consecutive_crashes_take_a_job_out_with_their_sentences() -> None:
    """The default is two; both stand in the record, the newest first."""
    verdict = decide(Facts(JOB, attempts("oom-kill", "core-dump", "signal")))
    assert verdict is not None
    assert verdict.reason == "its last 2 attempts crashed (oom, signal SEGV); quarantine_after = 2"
    assert verdict.attempts == (
        "backup.20261121T020000Z, attempt 1 on db1: ended by oom-kill at 2026-11-21 02:00:00Z",
        "backup.20261121T010000Z, attempt 1 on db1: ended by core-dump at 2026-11-21 01:00:00Z",
    )


def test_one_crash_is_enough_where_it_is_said() -> None:
    """quarantine_after = 1."""
    verdict = decide(Facts(replace(JOB, quarantine_after=1), attempts("watchdog")))
    assert verdict is not None
    assert verdict.reason == "its last attempt crashed (heartbeat); quarantine_after = 1"
    assert not is_taken_out("watchdog")


@pytest.mark.parametrize("result", ["host-lost", "lease-lost"])
def test_an_attempt_that_was_lost_before_it_began_is_passed_over(result: str) -> None:
    """Hosts that are too slow for their leases lose claims; no job is to blame for that."""
    lost = attempts(result, result, "signal")
    assert decide(Facts(JOB, lost)) is not None
    unstarted = tuple(replace(run, started_at=None) for run in lost[:2])
    assert decide(Facts(JOB, (*unstarted, lost[2]))) is None
    assert decide(Facts(replace(JOB, quarantine_after=1), (*unstarted, lost[2]))) is not None


@pytest.mark.parametrize(
    "between", [SUCCEEDED, Outcome.ABANDONED, "exit-code", "timeout", "fenced"]
)
def test_anything_but_a_crash_ends_the_row(between: str | Outcome) -> None:
    """Also a failure that is no crash: the job came to an end of its own, or we stopped it."""
    assert not is_taken_out("signal", between, "signal", "signal")
    assert is_taken_out("signal", "signal", between)


def test_a_job_that_goes_down_with_its_hosts_is_taken_out() -> None:
    """Whether its host said so when it was back, or others found its lease lapsed."""
    assert is_taken_out("host-lost", "lease-lost")


def test_records_without_an_attempt_are_passed_over() -> None:
    """A skipped occurrence, and a run that goes on, say nothing about crashes."""
    newest, older = attempts("signal", "signal")
    skipped = replace(newest, attempt=0, outcome=Outcome.SKIPPED, result=None)
    running = replace(newest, token=102, outcome=None, result=None, ended_at=None)
    newest = replace(newest, token=101)
    assert decide(Facts(JOB, (running, newest, skipped, older))) is not None


def test_a_manual_crash_counts_and_a_manual_success_resets() -> None:
    """By the order of the claims: the time a manual run stands for says nothing."""
    newest, older = attempts("signal", "signal")
    manual = replace(newest, kind=Kind.MANUAL, scheduled_for=T - 100 * HOUR)
    assert decide(Facts(JOB, (older, manual))) is not None
    success = replace(manual, token=101, outcome=SUCCEEDED, result="success")
    assert decide(Facts(JOB, (newest, older, success))) is None


def test_what_ended_before_the_reinstatement_is_forgotten() -> None:
    """A person looked at it: it takes as many crashes again."""
    rows = attempts("signal", "signal", "signal")
    assert decide(Facts(JOB, rows, reinstated_at=T - HOUR)) is None
    assert decide(Facts(JOB, rows, reinstated_at=T - HOUR - HOUR / 2)) is not None
    unfinished = tuple(replace(run, ended_at=None, claimed_at=run.ended_at) for run in rows)
    assert decide(Facts(JOB, unfinished, reinstated_at=T)) is None


crashes = st.sampled_from(
    ["signal", "core-dump", "oom-kill", "watchdog", "host-lost", "lease-lost"]
)
others = st.sampled_from([SUCCEEDED, Outcome.ABANDONED, "exit-code", "timeout", "unknown"])


@given(row=st.lists(crashes, max_size=8), end=others, rest=st.lists(crashes | others, max_size=5))
def test_exactly_so_many_crashes_in_a_row_take_it_out(
    row: list[str], end: str | Outcome, rest: list[str | Outcome]
) -> None:
    """Whatever lies before the last end that was no crash."""
    for after in range(1, 9):
        assert is_taken_out(*row, end, *rest, after=after) == (len(row) >= after)


@given(results=st.lists(crashes | others, max_size=8), data=st.data())
def test_the_order_in_which_rows_are_read_changes_nothing(
    results: list[str | Outcome], data: st.DataObject
) -> None:
    """The ledger sorts by scheduled_for, the row is counted by the claims."""
    rows = attempts(*results)
    shuffled = tuple(data.draw(st.permutations(rows)))
    assert decide(Facts(JOB, rows)) == decide(Facts(JOB, shuffled))
