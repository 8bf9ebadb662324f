"""Whether something is wrong with a job, by facts alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from hostagent.model import Alarm, Form, Job, Kind, Outcome, Run, Schedule
from hostagent.policy import diagnosis
from hostagent.policy.trouble import OF_A_HOST, Facts, Trouble, Verdict, Wrong
from hostagent.spec.keytypes import Alarms

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAILY = Schedule(Form.CALENDAR, "02:00", calendar=("*-*-* 02:00:00",), jitter=timedelta(minutes=2))
JOB = Job("backup", ("/bin/true",), DAILY, timedelta(hours=3), on_failure=("ops",))


def at(day: int, hour: float = 2) -> datetime:
    """The hour of a day of March 2026."""
    return T0 + timedelta(days=day - 2, hours=hour)


def run(
    day: int,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    *,
    token: int | None = None,
    kind: Kind = Kind.SCHEDULED,
    attempt: int = 1,
    took: timedelta = HOUR,
) -> Run:
    """The run of a day's 02:00."""
    return Run(
        "backup",
        "",
        kind,
        at(day),
        attempt,
        day if token is None else token,
        "one",
        "due",
        started_at=at(day),
        ended_at=at(day) + took,
        outcome=outcome,
        end_reason="exited with status 1" if outcome is Outcome.FAILED else "finished",
    )


def facts(now: datetime, *runs: Run, job: Job = JOB, **more: object) -> Facts:
    """Of the job, deployed on the 2nd of March at midnight; ``runs`` newest first."""
    known = Facts(job, "", now, T0, diagnosis.final(runs, None))
    return replace(known, **more)  # type: ignore[arg-type]


def wrong(some: Facts) -> Wrong | None:
    """What is wrong."""
    trouble = diagnosis.decide(some).trouble
    return trouble.wrong if trouble else None


# Silent


def test_a_job_is_silent_from_the_very_instant() -> None:
    """02:00, 2 min of jitter and 3 h of grace after the last success: then, not a moment before."""
    verdict = diagnosis.decide(facts(at(3), run(2)))
    assert verdict.trouble is None
    assert verdict.again_at == at(3, 5) + timedelta(minutes=2)
    assert wrong(facts(verdict.again_at - timedelta(microseconds=1), run(2))) is None
    late = diagnosis.decide(facts(verdict.again_at, run(2)))
    assert late.trouble == Trouble(
        Wrong.SILENT,
        "no success since 2026-03-02 03:00:00Z; one was due 2026-03-03 02:00:00Z, 3h 2min ago, "
        "and allowed are 3h 2min",
    )


def test_what_fell_due_in_an_absence_has_its_chance_first() -> None:
    """An agent that is back after 4 h: the job is silent if it has not run within 2 minutes."""
    back = at(3, 6)
    verdict = diagnosis.decide(facts(back, run(2), woke_at=back))
    assert (verdict.trouble, verdict.again_at) == (None, back + diagnosis.CHANCE)
    late = diagnosis.decide(facts(back + diagnosis.CHANCE, run(2), woke_at=back)).trouble
    assert late is not None
    assert late.reason.endswith("4h 2min ago, and allowed are 3h 2min")


def test_an_absence_excuses_neither_what_fell_due_after_it_nor_what_was_silent_before() -> None:
    """The dead man's switch goes on."""
    silent_at = at(3, 5) + timedelta(minutes=2)
    assert diagnosis.decide(facts(at(3), run(2), woke_at=at(3, 1.99))).again_at == silent_at
    assert wrong(facts(silent_at, run(2), woke_at=at(3, 1.99))) is Wrong.SILENT
    alarm = Alarm("backup", "", "silent", at(3, 5.1), "no success")
    back = at(3, 6)
    assert wrong(facts(back, run(2), woke_at=back, standing=alarm)) is Wrong.SILENT


def test_whoever_bears_failures_bears_silence() -> None:
    """With alarm_after = 3 the third occurrence counts: a job that fails is not silent before."""
    job = replace(JOB, alarm_after=3)
    verdict = diagnosis.decide(facts(at(4, 6), run(3, Outcome.FAILED), run(2), job=job))
    assert (verdict.trouble, verdict.again_at) == (None, at(5, 5) + timedelta(minutes=2))
    found = diagnosis.decide(facts(at(5, 6), run(2), job=job)).trouble
    assert found is not None
    assert "; 3 were due, the last 2026-03-05 02:00:00Z, 4h ago" in found.reason


def test_a_job_that_never_ran_is_silent_too() -> None:
    """Counted from when it was deployed."""
    found = diagnosis.decide(facts(at(2, 5.1)))
    assert found.trouble is not None
    assert "no success yet" in found.trouble.reason


def test_grace_is_the_jobs_own_or_its_timeout() -> None:
    """A daily backup may take three hours; who wants to know earlier says so."""
    job = replace(JOB, grace=timedelta(minutes=10))
    assert diagnosis.decide(facts(at(3), run(2), job=job)).again_at == at(3) + timedelta(minutes=12)


def test_a_success_counts_from_its_end() -> None:
    """A run that outlasts the next occurrence owes none for it."""
    assert diagnosis.decide(facts(at(3, 4), run(2, took=25 * HOUR))).again_at == at(
        4, 5
    ) + timedelta(minutes=2)


def test_a_success_by_hand_is_one() -> None:
    """Whoever asked for it."""
    by_hand = run(3, kind=Kind.MANUAL)
    assert wrong(facts(at(3, 6), by_hand, run(2))) is None


def test_what_nobody_wanted_to_run_is_not_waited_for() -> None:
    """A pause or a blackout took it: the next one counts."""
    late = at(3, 6)
    assert wrong(facts(late, run(2))) is Wrong.SILENT
    assert wrong(facts(late, run(2), skipped_at=at(3))) is None
    job = replace(JOB, schedule=replace(DAILY, blackout=("2026-03-03..2026-03-06",)))
    verdict = diagnosis.decide(facts(late, run(2), job=job))
    assert verdict.trouble is None
    assert verdict.again_at is not None
    assert verdict.again_at.date() == at(7).date()


def test_in_trouble_it_is_looked_at_once_a_period() -> None:
    """It may recover on a host that tells nobody: whoever watches must see that, and go on."""
    late, tomorrow = at(3, 6), at(4, 5) + timedelta(minutes=2)
    for some in (facts(late, run(2)), facts(late, run(3, Outcome.FAILED), run(2))):
        verdict = diagnosis.decide(some)
        assert verdict.trouble is not None
        assert verdict.again_at == tomorrow
    assert diagnosis.decide(facts(late, quarantined="out")).again_at == tomorrow


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("paused: root said so", True), ("blackout: it lies", True), ("overlap: run x", False)],
)
def test_only_a_pause_and_a_blackout_excuse(reason: str, expected: bool) -> None:
    """An overlap or an absence is what the alarm is for."""
    row = replace(run(3, Outcome.SKIPPED, attempt=0), reason=reason)
    assert diagnosis.is_excused(row) is expected


def test_what_is_not_due_again_is_never_silent() -> None:
    """on_boot, and a schedule that has ended."""
    boot = replace(JOB, schedule=Schedule(Form.ON_BOOT, "on_boot"))
    assert diagnosis.decide(facts(at(9), job=boot)) == Verdict(None, "nothing is owed", None)
    over = replace(JOB, schedule=replace(DAILY, not_after=at(3, 0)))
    assert diagnosis.decide(facts(at(9), run(2), job=over)).again_at is None


# Failed


def test_n_failures_in_a_row() -> None:
    """alarm_after of them, and no fewer; the reason names the last."""
    job = replace(JOB, alarm_after=2)
    failures = [run(4, Outcome.FAILED), run(3, Outcome.FAILED)]
    assert wrong(facts(at(3, 4), failures[1], run(2), job=job)) is None
    found = diagnosis.decide(facts(at(4, 4), *failures, run(2), job=job)).trouble
    reason = "the last 2 runs failed; backup.20260304T020000Z on one exited with status 1"
    assert found == Trouble(Wrong.FAILED, reason)
    between = run(3, kind=Kind.MANUAL, token=35)
    broken = [run(4, Outcome.FAILED, token=40), between, run(3, Outcome.FAILED)]
    assert wrong(facts(at(4, 4), *broken, run(2), job=job)) is None


def test_a_failure_by_hand_adds_nothing() -> None:
    """The person sees it."""
    assert wrong(facts(at(2, 5), run(2, Outcome.FAILED, kind=Kind.MANUAL, token=9), run(2))) is None


def test_a_run_that_is_tried_again_has_not_failed() -> None:
    """Its last attempt counts, once there is none to come."""
    first, second = run(3, Outcome.FAILED), run(3, Outcome.FAILED, attempt=2, token=4)
    assert diagnosis.final((first,), first.run_id) == ()
    assert diagnosis.final((first, second), None) == (second,)
    assert diagnosis.final((run(3, None, attempt=2, token=4), first), None) == (first,)


def test_the_worst_is_told() -> None:
    """Out, before failing, before silent: of one trouble there is one alarm."""
    failing = facts(at(9), run(3, Outcome.FAILED), run(2))
    assert wrong(failing) is Wrong.FAILED
    assert wrong(replace(failing, quarantined="it crashed twice")) is Wrong.QUARANTINED


def test_what_is_muted_is_no_alarm_and_lesser_ones_are() -> None:
    """Of which a person said that it is nothing."""
    failing = facts(at(9), run(3, Outcome.FAILED), run(2))
    muted = replace(failing, job=replace(JOB, mute=("failed",)))
    assert wrong(failing) is Wrong.FAILED
    assert wrong(muted) is Wrong.SILENT
    assert wrong(replace(muted, job=replace(JOB, mute=("failed", "silent")))) is None


def test_jobs_toml_knows_the_alarms() -> None:
    """The spec names them itself."""
    (names,) = [one for one in get_args(get_args(Alarms)[0]) if get_args(one)]
    assert get_args(names) == tuple(wrong for wrong in Wrong if wrong not in OF_A_HOST)
