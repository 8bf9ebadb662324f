"""What becomes of an alarm, and what people are told: when it begins, gets worse and ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Alarm, Kind, Notify, Run
from hostagent.policy import alarms
from hostagent.policy.alarms import HOLD, WAITS
from hostagent.policy.outcome import Ended, end_of
from hostagent.policy.trouble import Trouble, Verdict, Wrong

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAME = ("backup", "")
FINE = Verdict(None, "backup.20260303T020000Z succeeded on one", None)


def at(day: int, hour: float = 2) -> datetime:
    """The hour of a day of March 2026."""
    return T0 + timedelta(days=day - 2, hours=hour)


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


def test_a_job_that_works_again_has_recovered_though_a_warning_is_left() -> None:
    """Failed, then near its interval: the recovery is told, and then the warning as its own."""
    near = Verdict(Trouble(Wrong.NEAR_INTERVAL, "slow"), "it works", None)
    over = alarms.step(told(begun()), NAME, near, ("ops",), at(4))
    assert over is not None
    assert (over.kind, over.over_at, over.reason) == ("failed", at(4), "it works")
    assert alarms.step(over, NAME, near, ("ops",), at(4, 3)) is over
    assert alarms.tried(over, ("ops",), at(4)) is None
    warned = alarms.step(None, NAME, near, ("ops",), at(4))
    assert warned is not None
    assert (warned.kind, warned.untold) == ("near_interval", ("ops",))
    untold = alarms.step(begun(to=()), NAME, near, (), at(4))
    assert untold is not None
    assert (untold.kind, untold.over_at) == ("near_interval", None)


def test_a_failure_after_weeks_of_a_warning_begins_then() -> None:
    """Its recovery says how long it failed, not how long it was warned of."""
    warned = told(begun(Wrong.NEAR_INTERVAL))
    failed = Verdict(Trouble(Wrong.FAILED, "why"), "", None)
    worse = alarms.step(warned, NAME, failed, ("ops",), at(20))
    assert worse is not None
    assert (worse.kind, worse.since, worse.untold) == ("failed", at(20), ("ops",))


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


NIGHT = Notify("pager", ("/bin/page",), quiet=("22:00..07:00", "Sat,Sun"))


@pytest.mark.parametrize(
    ("day", "hour", "ends"),
    [
        (3, 21.99, None),
        (3, 22, at(4, 7)),
        (4, 6.5, at(4, 7)),
        (4, 7, None),
        (6, 23, at(9, 7)),  # Friday night, the weekend, and the night after it
    ],
)
def test_quiet_hours_end(day: int, hour: float, ends: datetime | None) -> None:
    """Ranges that follow each other are one; the end is outside."""
    assert alarms.quiet_until(NIGHT, at(day, hour)) == ends
    assert alarms.quiet_until(replace(NIGHT, quiet=()), at(day, hour)) is None


def test_quiet_hours_are_those_of_their_zone() -> None:
    """07:00 in Berlin, in winter."""
    berlin = replace(NIGHT, zone="Europe/Berlin")
    assert alarms.quiet_until(berlin, at(3, 21)) == at(4, 6)
    always = replace(NIGHT, quiet=("Mon..Sun",))
    assert alarms.quiet_until(always, at(3)) == at(3) + timedelta(days=8)


def test_who_has_quiet_hours_is_told_after_them() -> None:
    """Others at once; and whoever was not tried has not failed to be reached."""
    morning = at(3, 7)
    alarm = alarms.tried(begun(to=("ops", "pager")), ("ops",), at(3, 3), {"pager": morning})
    assert alarm is not None
    assert (alarm.told, alarm.untold, alarm.tries, alarm.due_at) == (
        ("ops",),
        ("pager",),
        0,
        morning,
    )
    again = alarms.tried(alarms.taken(alarm, morning), ("pager",), morning)
    assert again is not None
    assert (again.told, again.untold, again.due_at) == (("ops", "pager"), (), None)


def test_what_is_over_by_then_is_never_told() -> None:
    """To whom it was not told that it began."""
    quiet = {"pager": at(3, 7)}
    alarm = alarms.tried(begun(to=("ops", "pager")), ("ops",), at(3, 3), quiet)
    over = alarms.step(alarm, NAME, FINE, ("ops", "pager"), at(3, 4))
    assert over is not None
    assert over.untold == ("ops",)
    alone = alarms.tried(begun(to=("pager",)), (), at(3, 3), quiet)
    assert alarms.step(alone, NAME, FINE, ("pager",), at(3, 4)) is None


def test_a_recovery_waits_for_the_end_of_quiet_hours_too() -> None:
    """Who heard of the alarm hears of its end in the morning."""
    over = alarms.step(told(begun()), NAME, FINE, ("ops",), at(3, 23))
    assert over is not None
    waits = alarms.tried(over, (), at(3, 23), {"ops": at(4, 7)})
    assert waits is not None
    assert (waits.untold, waits.due_at, waits.over_at) == (("ops",), at(4, 7), at(3, 23))
    assert alarms.tried(alarms.taken(waits, at(4, 7)), ("ops",), at(4, 7)) is None


def test_quiet_hours_hold_nobody_else_up() -> None:
    """Who could not be reached is tried again as ever; given up, the other waits on."""
    alarm: Alarm | None = begun(to=("ops", "pager"))
    quiet = {"pager": at(4, 7)}
    for wait in WAITS:
        assert alarm is not None
        alarm = alarms.tried(alarm, (), at(3, 3), quiet)
        assert alarm is not None
        assert alarm.due_at == at(3, 3) + wait
        alarm = alarms.taken(alarm, at(3, 3))
    assert alarm is not None
    left = alarms.tried(alarm, (), at(3, 3), quiet)
    assert left is not None
    assert (left.untold, left.tries, left.due_at) == (("pager",), 0, at(4, 7))


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
        "text": "backup fails: why; see: hostagent why backup",
    }
    over = alarms.step(replace(alarm, scope="eu"), NAME, FINE, (), at(4, 3))
    assert over is not None
    said = alarms.message(over)
    assert (said["alarm"], said["was"]) == ("recovered", "failed")
    assert said["text"] == (
        f"backup@eu has recovered (failed for 1d): {FINE.relief}; see: hostagent why backup"
    )


TROUBLES = st.sampled_from([None, *Wrong])


@given(st.lists(st.tuples(TROUBLES, st.sampled_from(["heard", "missed", "quiet"])), max_size=30))
def test_a_recovery_follows_news(story: list[tuple[Wrong | None, str]]) -> None:
    """Whatever happens in which order, reached or not, in quiet hours or not: who is told that it
    is over was told, or was to be told, that it began; and in the end nothing is left.
    """
    alarm: Alarm | None = None
    heard: list[str] = []
    now = T0
    for trouble, how in story:
        now += HOUR
        verdict = Verdict(Trouble(trouble, "why") if trouble else None, "", None)
        after = alarms.step(alarm, NAME, verdict, ("ops",), now)
        if after is not None and after != alarm and after.untold:
            heard += [] if how == "quiet" else [alarms.message(after)["alarm"]]
            quiet = {"ops": now + HOUR / 2} if how == "quiet" else {}
            after = alarms.tried(after, ("ops",) if how == "heard" else (), now, quiet)
        alarm = after
    pairs = zip(["recovered", *heard], heard, strict=False)
    assert all((a, b) != ("recovered", "recovered") for a, b in pairs)
    end = alarms.step(alarm, NAME, FINE, ("ops",), now)
    if end is not None:
        assert alarms.tried(end, ("ops",), now) is None


def test_a_success_is_told_of_a_scheduled_run_alone() -> None:
    """In the words of an alarm; a failure, a backfill and a run by hand are not told so."""
    run = Run("backup", "eu", Kind.SCHEDULED, at(3), 1, 7, "one", "due")
    end = end_of(Ended("success", 0, None, at(3), at(3, 2.5)))
    found = alarms.success(run, end, ("ops",))
    assert found is not None
    assert found.untold == ("ops",)
    assert alarms.message(found) == {
        "alarm": "succeeded",
        "was": "",
        "job": "backup",
        "scope": "eu",
        "since": "2026-03-03 02:30:00Z",
        "reason": f"{run.run_id} on one finished after 30min",
        "text": f"backup@eu succeeded: {run.run_id} on one finished after 30min"
        "; see: hostagent why backup",
    }
    assert alarms.success(run, end, ()) is None
    assert alarms.success(run, end_of(Ended("timeout", ended_at=at(3))), ("ops",)) is None
    for kind in (Kind.MANUAL, Kind.BACKFILL):
        assert alarms.success(replace(run, kind=kind), end, ("ops",)) is None
