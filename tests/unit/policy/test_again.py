"""Whether a run is tried again because a person asks for it (policy.again)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hostagent.model import Kind, Outcome, Run
from hostagent.policy.again import why_not

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
RUN = Run(
    "backup", "", Kind.SCHEDULED, T, 1, 7, "db1", "due", outcome=Outcome.FAILED, end_reason="exit 3"
)


def refusal(*attempts: Run, active: Run | None = None) -> str:
    """The sentence; there must be one."""
    sentence = why_not(attempts, active)
    assert sentence is not None
    return sentence


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ABANDONED])
def test_what_has_failed_or_was_stopped_is_tried_again(outcome: Outcome) -> None:
    """As often as a person asks: nothing is counted."""
    assert why_not([replace(RUN, outcome=outcome)], None) is None
    third = replace(RUN, attempt=3, outcome=outcome)
    assert why_not([RUN, replace(RUN, attempt=2), third], None) is None


def test_the_last_attempt_counts() -> None:
    """A run that failed at first and then succeeded has succeeded."""
    last = replace(RUN, attempt=2, outcome=Outcome.SUCCEEDED)
    assert refusal(RUN, last) == (
        "backup.20261121T020000Z has succeeded; to do its work once more: "
        "hostagent run backup --as-of 2026-11-21T02:00:00Z"
    )


def test_what_goes_on_is_stopped_first() -> None:
    """The sentence names the host and the command."""
    going = replace(RUN, outcome=None)
    assert "goes on, on db1; stop it first: hostagent stop backup.2026" in refusal(going)


def test_a_job_runs_once_at_a_time() -> None:
    """Another run of the job is in the way, whoever asked for it."""
    other = replace(RUN, kind=Kind.MANUAL, outcome=None, host="db2")
    said = refusal(RUN, active=other)
    assert "backup.20261121T020000Z.manual goes on, on db2" in said
    assert "hostagent stop backup.20261121T020000Z.manual" in said


@pytest.mark.parametrize(
    "outcome", [Outcome.SKIPPED, Outcome.ABANDONED, Outcome.QUARANTINED], ids=str
)
def test_what_had_no_attempt_has_none_to_follow(outcome: Outcome) -> None:
    """It is run as of its time instead, in its scope where that is no host."""
    row = replace(RUN, attempt=0, outcome=outcome, reason="paused", scope="eu")
    said = refusal(row)
    assert f"was {outcome} without an attempt (paused)" in said
    assert said.endswith("hostagent run backup eu --as-of 2026-11-21T02:00:00Z")
    on_each = refusal(replace(row, scope="db1"))
    assert on_each.endswith("hostagent run backup --as-of 2026-11-21T02:00:00Z")
