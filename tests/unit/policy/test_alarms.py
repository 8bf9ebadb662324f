"""What people are told of: when an alarm begins, goes on, gets worse and ends, by facts alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Alarm, Form, Job, Kind, Outcome, Run, Schedule
from hostagent.policy import alarms
from hostagent.policy.alarms import HOLD, WAITS, Facts, Trouble, Verdict, Wrong

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAILY = Schedule(Form.CALENDAR, "02:00", calendar=("*-*-* 02:00:00",), jitter=timedelta(minutes=2))
JOB = Job("backup", ("/bin/true",), DAILY, timedelta(hours=3), on_failure=("ops",))
NAME = ("backup", "")
FINE = Verdict(None, "backup.20260303T020000Z succeeded on one", None)


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
    known = Facts(job, "", now, T0, alarms.final(runs, None))
    return replace(known, **more)  # type: ignore[arg-type]


def wrong(some: Facts) -> Wrong | None:
    """What is wrong."""
    trouble = alarms.decide(some).trouble
    return trouble.wrong if trouble else None


# Silent


def test_a_job_is_silent_from_the_very_instant() -> None:
    """02:00, 2 min of jitter and 3 h of grace after the last success: then, not a moment before."""
    verdict = alarms.decide(facts(at(3), run(2)))
    assert verdict.trouble is None
    assert verdict.again_at == at(3, 5) + timedelta(minutes=2)
    assert wrong(facts(verdict.again_at - timedelta(microseconds=1), run(2))) is None
    late = alarms.decide(facts(verdict.again_at, run(2)))
    assert late.trouble == Trouble(
        Wrong.SILENT,
        "no success since 2026-03-02 03:00:00Z; one was due 2026-03-03 02:00:00Z, 3h 2min ago, "
        "and allowed are 3h 2min",
    )


def test_whoever_bears_failures_bears_silence() -> None:
    """With alarm_after = 3 the third occurrence counts: a job that fails is not silent before."""
    job = replace(JOB, alarm_after=3)
    verdict = alarms.decide(facts(at(4, 6), run(3, Outcome.FAILED), run(2), job=job))
    assert verdict == Verdict(None, verdict.relief, at(5, 5) + timedelta(minutes=2))
    found = alarms.decide(facts(at(5, 6), run(2), job=job)).trouble
    assert found is not None
    assert "; 3 were due, the last 2026-03-05 02:00:00Z, 4h ago" in found.reason


def test_a_job_that_never_ran_is_silent_too() -> None:
    """Counted from when it was deployed."""
    found = alarms.decide(facts(at(2, 5.1)))
    assert found.trouble is not None
    assert "no success yet" in found.trouble.reason


def test_grace_is_the_jobs_own_or_its_timeout() -> None:
    """A daily backup may take three hours; who wants to know earlier says so."""
    job = replace(JOB, grace=timedelta(minutes=10))
    assert alarms.decide(facts(at(3), run(2), job=job)).again_at == at(3) + timedelta(minutes=12)


def test_a_success_counts_from_its_end() -> None:
    """A run that outlasts the next occurrence owes none for it."""
    assert alarms.decide(facts(at(3, 4), run(2, took=25 * HOUR))).again_at == at(4, 5) + timedelta(
        minutes=2
    )


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
    verdict = alarms.decide(facts(late, run(2), job=job))
    assert verdict.trouble is None
    assert verdict.again_at is not None
    assert verdict.again_at.date() == at(7).date()


def test_in_trouble_it_is_looked_at_once_a_period() -> None:
    """It may recover on a host that tells nobody: whoever watches must see that, and go on."""
    late, tomorrow = at(3, 6), at(4, 5) + timedelta(minutes=2)
    for some in (facts(late, run(2)), facts(late, run(3, Outcome.FAILED), run(2))):
        verdict = alarms.decide(some)
        assert verdict.trouble is not None
        assert verdict.again_at == tomorrow
    assert alarms.decide(facts(late, quarantined="out")).again_at == tomorrow


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("paused: root said so", True), ("blackout: it lies", True), ("overlap: run x", False)],
)
def test_only_a_pause_and_a_blackout_excuse(reason: str, expected: bool) -> None:
    """An overlap or an absence is what the alarm is for."""
    row = replace(run(3, Outcome.SKIPPED, attempt=0), reason=reason)
    assert alarms.is_excused(row) is expected


def test_what_is_not_due_again_is_never_silent() -> None:
    """on_boot, and a schedule that has ended."""
    boot = replace(JOB, schedule=Schedule(Form.ON_BOOT, "on_boot"))
    assert alarms.decide(facts(at(9), job=boot)) == Verdict(None, "nothing is owed", None)
    over = replace(JOB, schedule=replace(DAILY, not_after=at(3, 0)))
    assert alarms.decide(facts(at(9), run(2), job=over)).again_at is None


# Failed


def test_n_failures_in_a_row() -> None:
    """alarm_after of them, and no fewer; the reason names the last."""
    job = replace(JOB, alarm_after=2)
    failures = [run(4, Outcome.FAILED), run(3, Outcome.FAILED)]
    assert wrong(facts(at(3, 4), failures[1], run(2), job=job)) is None
    found = alarms.decide(facts(at(4, 4), *failures, run(2), job=job)).trouble
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
    assert alarms.final((first,), first.run_id) == ()
    assert alarms.final((first, second), None) == (second,)
    assert alarms.final((run(3, None, attempt=2, token=4), first), None) == (first,)


def test_the_worst_is_told() -> None:
    """Out, before failing, before silent: of one trouble there is one alarm."""
    failing = facts(at(9), run(3, Outcome.FAILED), run(2))
    assert wrong(failing) is Wrong.FAILED
    assert wrong(replace(failing, quarantined="it crashed twice")) is Wrong.QUARANTINED


# What becomes of an alarm


def begun(wrong: Wrong = Wrong.FAILED, to: tuple[str, ...] = ("ops",)) -> Alarm:
    """An alarm as it begins, on the 3rd at 03:00."""
    verdict = Verdict(Trouble(wrong, "why"), "", None)
    alarm = alarms.step(None, NAME, verdict, to, at(3, 3))
    assert alarm is not None
    return alarm


def told(alarm: Alarm) -> Alarm:
    """All were reached."""
    after = alarms.tried(alarm, alarm.untold, at(3, 3))
    assert after is not None
    return after


def test_it_begins_goes_on_and_ends() -> None:
    """Told once when it begins and once when it is over; then nothing is left of it."""
    alarm = begun()
    assert (alarm.untold, alarm.tries, alarm.due_at) == (("ops",), 1, at(3, 3) + HOLD)
    standing = told(alarm)
    assert (standing.told, standing.untold, standing.due_at) == (("ops",), (), None)
    again = Verdict(Trouble(Wrong.FAILED, "another sentence"), "", None)
    assert alarms.step(standing, NAME, again, ("ops",), at(4)) is standing
    over = alarms.step(standing, NAME, FINE, ("ops",), at(4, 3))
    assert over is not None
    assert (over.over_at, over.untold, over.reason) == (at(4, 3), ("ops",), FINE.relief)
    assert alarms.step(over, NAME, FINE, ("ops",), at(5)) is over
    assert alarms.tried(over, ("ops",), at(5)) is None


def test_worse_is_news_and_better_is_none() -> None:
    """Silent, then failing: told. Reinstated but still failing: no word, but the truth stands."""
    silent = told(begun(Wrong.SILENT))
    worse = alarms.step(
        silent, NAME, Verdict(Trouble(Wrong.FAILED, "x"), "", None), ("ops",), at(4)
    )
    assert worse is not None
    assert (worse.kind, worse.untold, worse.since) == ("failed", ("ops",), silent.since)
    better = alarms.step(
        told(worse), NAME, Verdict(Trouble(Wrong.SILENT, "y"), "", None), ("ops",), at(5)
    )
    assert better is not None
    assert (better.kind, better.reason, better.untold) == ("silent", "y", ())


def test_a_relapse_begins_anew() -> None:
    """Before its recovery was told, even."""
    over = alarms.step(told(begun()), NAME, FINE, ("ops",), at(4))
    relapse = Verdict(Trouble(Wrong.FAILED, "again"), "", None)
    anew = alarms.step(over, NAME, relapse, ("ops",), at(5))
    assert anew == Alarm(*NAME, "failed", at(5), "again", None, (), ("ops",), 1, at(5) + HOLD)


def test_with_nobody_to_tell_it_only_stands() -> None:
    """In status, for the time being."""
    alarm = begun(to=())
    assert (alarm.tries, alarm.due_at) == (0, None)
    assert alarms.step(alarm, NAME, FINE, (), at(4)) is None


def test_who_cannot_be_reached_is_tried_a_few_times() -> None:
    """Others are not told again meanwhile; then it is given up, and stands."""
    alarm, now = begun(to=("ops", "pager")), at(3, 3)
    for wait in WAITS:
        after = alarms.tried(alarm, tuple(set(alarm.untold) - {"pager"}), now)
        assert after is not None
        assert (after.told, after.untold, after.due_at) == (("ops",), ("pager",), now + wait)
        now += wait
        alarm = alarms.taken(after, now)
        assert alarm.due_at == now + HOLD
    last = alarms.tried(alarm, (), now)
    assert last is not None
    assert (last.told, last.untold, last.due_at, last.over_at) == (("ops",), (), None, None)


def test_a_recovery_that_nobody_takes_is_given_up() -> None:
    """The alarm does not stand for ever."""
    over = alarms.step(told(begun()), NAME, FINE, (), at(4))
    assert over is not None
    for _ in WAITS:
        after = alarms.tried(over, (), at(5))
        assert after is not None
        over = alarms.taken(after, at(5))
    assert alarms.tried(over, (), at(5)) is None


def test_who_may_have_heard_of_it_hears_that_it_is_over() -> None:
    """It ended while it was being told, or before somebody could be reached."""
    over = alarms.step(begun(to=("ops", "pager")), NAME, FINE, (), at(3, 3))
    assert over is not None
    assert over.untold == ("ops", "pager")


def test_what_is_said() -> None:
    """One sentence for people, the same and its parts for programs."""
    alarm = told(begun())
    assert alarms.message(alarm) == {
        "alarm": "failed",
        "was": "",
        "job": "backup",
        "scope": "",
        "since": "2026-03-03 03:00:00Z",
        "reason": "why",
        "text": "backup fails: why",
    }
    over = alarms.step(replace(alarm, scope="eu"), NAME, FINE, (), at(4, 3))
    assert over is not None
    said = alarms.message(over)
    assert (said["alarm"], said["was"]) == ("recovered", "failed")
    assert said["text"] == f"backup@eu has recovered (failed for 1d): {FINE.relief}"


TROUBLES = st.sampled_from([None, *Wrong])


@given(st.lists(st.tuples(TROUBLES, st.booleans()), max_size=30))
def test_a_recovery_follows_news(story: list[tuple[Wrong | None, bool]]) -> None:
    """Whatever happens in which order, with all reached or none: who is told that it is over was
    told, or was to be told, that it began; and in the end nothing is left.
    """
    alarm: Alarm | None = None
    heard: list[str] = []
    now = T0
    for trouble, reaches in story:
        now += HOUR
        verdict = Verdict(Trouble(trouble, "why") if trouble else None, "", None)
        after = alarms.step(alarm, NAME, verdict, ("ops",), now)
        if after is not None and after != alarm and after.untold:
            heard.append(alarms.message(after)["alarm"])
            after = alarms.tried(after, ("ops",) if reaches else (), now)
        alarm = after
    pairs = zip(["recovered", *heard], heard, strict=False)
    assert all((a, b) != ("recovered", "recovered") for a, b in pairs)
    end = alarms.step(alarm, NAME, FINE, ("ops",), now)
    if end is not None:
        assert alarms.tried(end, ("ops",), now) is None
