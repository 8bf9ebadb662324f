"""Warnings: what is unusual about a run is said, and nothing of what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Alarm, Form, Job, Kind, Outcome, Run, Schedule
from hostagent.policy import diagnosis, durations, early
from hostagent.policy.durations import Usual
from hostagent.policy.trouble import Facts, LiveRun, Trouble, Wrong

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
HOURLY = Schedule(Form.CALENDAR, "hourly", calendar=("*-*-* *:00:00",), jitter=2 * MINUTE)
JOB = Job("etl", ("/bin/true",), HOURLY, timedelta(minutes=54), alarm_after=3)


def run(
    hour: int,
    took: timedelta | None = 10 * MINUTE,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    *,
    behind: timedelta = timedelta(0),
    kind: Kind = Kind.SCHEDULED,
    covers: int = 1,
) -> Run:
    """The run of that hour; ``took`` None: it goes on."""
    at = T0 + hour * HOUR
    return Run(
        "etl",
        "",
        kind,
        at,
        1,
        hour,
        "one",
        "due",
        started_at=at + behind,
        ended_at=at + behind + took if took is not None else None,
        outcome=outcome if took is not None else None,
        end_reason="exited with status 1" if outcome is Outcome.FAILED else "finished",
        covers_from=at - HOUR if covers > 1 else None,
        covers=covers,
    )


def history(count: int, took: timedelta = 10 * MINUTE, before: int = 100) -> tuple[Run, ...]:
    """So many successes, the last in the hour before that."""
    return tuple(run(before - number, took) for number in range(1, count + 1))


def facts(*runs: Run, going: LiveRun | None = None, job: Job = JOB, **more: object) -> Facts:
    """After the last of the runs, newest first, or a minute after what goes on began."""
    now = runs[0].ended_at or T0
    if going is not None and going.run.started_at is not None:
        now = going.run.started_at + MINUTE
    return replace(
        Facts(job, "", now, T0, diagnosis.final(runs, None), going=going),
        **more,  # type: ignore[arg-type]
    )


def trouble(some: Facts) -> Trouble | None:
    """What is wrong."""
    return diagnosis.decide(some).trouble


def wrong(some: Facts) -> Wrong | None:
    """What is wrong, in a word."""
    found = trouble(some)
    return found.wrong if found else None


def standing(kind: Wrong) -> Alarm:
    """That alarm, begun in the 100th hour."""
    return Alarm("etl", "", str(kind), T0 + 100 * HOUR, "as was seen")


# Near its interval


def test_runs_that_take_most_of_the_interval_are_warned_of() -> None:
    """From 80 % on, and from five successes on; the sentence has the figures."""
    some = history(5, 48 * MINUTE)
    assert trouble(facts(*some)) == Trouble(
        Wrong.NEAR_INTERVAL,
        "95 % of its last 5 successes took up to 48min, 80 % of the 1h until the next",
    )
    assert wrong(facts(*some[:4])) is None
    assert wrong(facts(*history(5, 48 * MINUTE - SECOND))) is None


def test_one_long_run_of_twenty_is_no_creep() -> None:
    """The second of them is."""
    some = list(history(20))
    some[3] = run(96, 50 * MINUTE)
    assert wrong(facts(*some)) is None
    some[5] = run(94, 50 * MINUTE)
    assert wrong(facts(*some)) is Wrong.NEAR_INTERVAL


def test_a_creeping_run_is_warned_of_before_it_overlaps() -> None:
    """Two minutes more each time: when it reaches 80 %, six runs before it meets the next one."""
    runs: tuple[Run, ...] = ()
    for hour in range(40):
        runs = (run(hour, 10 * MINUTE + hour * 2 * MINUTE), *runs)
        if wrong(facts(*runs[:21])) is Wrong.NEAR_INTERVAL:
            break
    assert hour in {19, 20}


def test_what_has_no_interval_is_near_none() -> None:
    """A boot job, and one that is due once."""
    for schedule in (
        Schedule(Form.ON_BOOT, "on_boot"),
        Schedule(Form.AT, "2026-03-10", at=T0 + 200 * HOUR),
    ):
        assert wrong(facts(*history(20), job=replace(JOB, schedule=schedule))) is None


# Too long, too short


def test_a_run_overruns_three_times_what_is_usual() -> None:
    """And by a minute at least; judged by ten successes before it, whatever became of it."""
    long = run(100, 30 * MINUTE)
    assert trouble(facts(long, *history(10))) == Trouble(
        Wrong.OVERRAN,
        "etl.20260306T040000Z on one took 30min; usual are at most 10min, as for 95 % of 10 "
        "successes",
    )
    assert wrong(facts(run(100, 30 * MINUTE, Outcome.FAILED), *history(10))) is Wrong.OVERRAN
    assert wrong(facts(long, *history(9))) is None
    assert wrong(facts(run(100, 29 * MINUTE), *history(10))) is None
    assert wrong(facts(run(100, 20 * SECOND), *history(10, SECOND))) is None
    assert wrong(facts(run(100, 61 * SECOND), *history(10, SECOND))) is Wrong.OVERRAN


def test_a_run_that_goes_on_overruns_at_an_instant() -> None:
    """Whoever runs it is told when to look again, and says so then; the next usual run ends it."""
    goes = run(100, None)
    assert goes.started_at is not None
    early_on = diagnosis.decide(facts(*history(10), going=LiveRun(goes)))
    assert (early_on.trouble, early_on.overruns_at) == (None, goes.started_at + 30 * MINUTE)
    then = replace(facts(*history(10), going=LiveRun(goes)), now=goes.started_at + 30 * MINUTE)
    reason = "etl.20260306T040000Z on one goes on for more than 30min; usual are at most 10min, "
    found = diagnosis.decide(then)
    expected = Trouble(Wrong.OVERRAN, reason + "as for 95 % of 10 successes")
    assert (found.trouble, found.overruns_at) == (expected, None)
    ended = (run(100, 40 * MINUTE), *history(10))
    assert wrong(facts(*ended)) is Wrong.OVERRAN
    over = facts(run(101), *ended, standing=standing(Wrong.OVERRAN))
    assert trouble(over) is None
    assert diagnosis.decide(over).relief == "etl.20260306T050000Z succeeded on one after 10min"


def test_a_success_is_too_short_below_a_tenth() -> None:
    """Of what takes ten seconds or more; a failure is another matter."""
    short = run(100, 50 * SECOND)
    assert trouble(facts(short, *history(10))) == Trouble(
        Wrong.TOO_SHORT,
        "etl.20260306T040000Z on one succeeded after 50s; usual are 10min, the median of the 10 "
        "before it",
    )
    assert wrong(facts(run(100, MINUTE), *history(10))) is None
    assert wrong(facts(run(100, 50 * SECOND, Outcome.FAILED), *history(10))) is None
    assert wrong(facts(short, *history(9))) is None
    assert wrong(facts(run(100, timedelta(0)), *history(10, 9 * SECOND))) is None


@pytest.mark.parametrize("more", [{"kind": Kind.MANUAL}, {"kind": Kind.BACKFILL}, {"covers": 3}])
def test_only_what_compares_is_compared(more: dict[str, object]) -> None:
    """What a person asked for, or stands for several, may take another time."""
    odd = run(100, 30 * MINUTE, **more)  # type: ignore[arg-type]
    assert wrong(facts(odd, *history(10))) is None
    goes = replace(odd, ended_at=None, outcome=None)
    assert diagnosis.decide(facts(*history(10), going=LiveRun(goes))).overruns_at is None
    mixed = [replace(one, kind=odd.kind, covers=odd.covers) for one in history(10)]
    assert durations.usual(mixed) is None


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_what_is_usual_is_one_of_the_spans(seconds: list[int]) -> None:
    """Of the newest twenty; at most one of them exceeds the 95 %."""
    runs = [run(100 - at, timedelta(seconds=one)) for at, one in enumerate(seconds)]
    spans = [timedelta(seconds=one) for one in seconds[:20]]
    known = durations.usual(runs)
    assert known is not None
    assert known.count == len(spans)
    assert {known.median, known.most} <= set(spans)
    assert sum(span > known.most for span in spans) <= 1
    assert sum(span > known.median for span in spans) <= len(spans) / 2


@given(st.lists(st.floats(0.5, 1.5), min_size=2, max_size=22), st.integers(0, 30))
def test_runs_that_vary_by_half_are_unremarkable(factors: list[float], minutes: int) -> None:
    """Nothing is said of them, however many there are."""
    runs = [run(100 - at, MINUTE * minutes * one) for at, one in enumerate(factors)]
    assert trouble(facts(*runs)) is None


# Late


def test_a_start_that_had_to_wait_is_late() -> None:
    """After jitter, 15 s, and a tenth of the interval: between a minute and an hour."""
    allowed = 2 * MINUTE + 15 * SECOND + 6 * MINUTE
    assert wrong(facts(run(100, behind=allowed))) is None
    late = run(100, behind=20 * MINUTE)
    assert trouble(facts(late)) == Trouble(
        Wrong.LATE,
        "etl.20260306T040000Z on one started 20min after it was due; allowed are 8min 15s",
    )
    assert wrong(facts(run(101), late)) is None
    often = replace(JOB, schedule=replace(HOURLY, calendar=("*-*-* *:*:00",), jitter=0 * MINUTE))
    assert early.late_by(often, run(100, behind=76 * SECOND)) == 76 * SECOND
    assert early.late_by(often, run(100, behind=75 * SECOND)) is None
    once = replace(JOB, schedule=Schedule(Form.AT, "x", at=T0))
    assert early.late_by(once, run(100, behind=61 * MINUTE)) == 61 * MINUTE
    assert early.late_by(once, run(100, behind=60 * MINUTE)) is None


def test_a_late_run_is_told_while_it_goes_on() -> None:
    """It need not end for that."""
    goes = LiveRun(run(100, None, behind=20 * MINUTE))
    assert wrong(facts(*history(3), going=goes)) is Wrong.LATE


def test_what_catches_up_or_is_tried_again_is_not_late() -> None:
    """The gate says why; so does a run by hand, and a boot."""
    late = run(100, behind=20 * MINUTE)
    for other in (
        replace(late, covers_from=late.scheduled_for),
        replace(late, attempt=2),
        replace(late, kind=Kind.MANUAL),
        replace(late, started_at=None),
    ):
        assert early.late_by(JOB, other) is None
    boot = replace(JOB, schedule=Schedule(Form.ON_BOOT, "on_boot"))
    assert early.late_by(boot, late) is None


# Hung, and what only the host that runs it knows


STILL = "has used no CPU time and no I/O, and has printed nothing, for 5min"


def test_a_run_that_stands_still_may_hang() -> None:
    """While it does: when it moves, or is over, so is the alarm."""
    goes = run(100, None)
    still = facts(*history(3), going=LiveRun(goes, STILL, moves=True))
    assert trouble(still) == Trouble(Wrong.HUNG, f"etl.20260306T040000Z on one {STILL}")
    stands = standing(Wrong.HUNG)
    moves = diagnosis.decide(replace(still, going=LiveRun(goes, moves=True), standing=stands))
    assert (moves.trouble, moves.relief) == (None, "etl.20260306T040000Z moves on")
    gone = diagnosis.decide(replace(still, going=None, standing=stands))
    assert (gone.trouble, gone.relief) == (None, "its run is over")


def test_an_agent_that_begins_anew_looks_before_it_says_that_all_is_well() -> None:
    """What was seen before stands until the run was seen to move; an older alarm's end is told."""
    some = facts(*history(3), going=LiveRun(run(100, None)), standing=standing(Wrong.HUNG))
    assert trouble(some) == Trouble(Wrong.HUNG, "as was seen")
    assert trouble(replace(some, standing=None)) is None
    over = replace(standing(Wrong.HUNG), over_at=some.now)
    assert trouble(replace(some, standing=over)) is None


@pytest.mark.parametrize("kind", [Wrong.HUNG, Wrong.OVERRAN, Wrong.LATE])
def test_of_anothers_run_its_host_speaks(kind: Wrong) -> None:
    """Others see the same ledger, and leave alone what it cannot say; but what is worse counts."""
    some = facts(*history(3), is_elsewhere=True, standing=standing(kind))
    assert trouble(some) == Trouble(kind, "as was seen")
    assert trouble(replace(some, is_elsewhere=False)) is None
    assert wrong(replace(some, quarantined="out")) is Wrong.QUARANTINED
    near = facts(*history(3), is_elsewhere=True, standing=standing(Wrong.NEAR_INTERVAL))
    assert trouble(near) is None


# What is worth a look


USUAL = Usual(20, 5 * SECOND, 6 * SECOND)


@pytest.mark.parametrize(
    ("took", "known", "expected"),
    [
        (5 * SECOND, USUAL, False),
        (timedelta(0), USUAL, False),
        (10 * SECOND, USUAL, True),
        (5 * SECOND, None, True),
        (5 * SECOND, replace(USUAL, count=1), False),
        (5 * SECOND, replace(USUAL, count=9, median=11 * SECOND), True),
        (1 * SECOND, replace(USUAL, median=11 * SECOND), True),
        (2 * SECOND, replace(USUAL, median=11 * SECOND), False),
    ],
)
def test_most_successes_cost_no_look(took: timedelta, known: Usual | None, expected: bool) -> None:
    """Who is quick, as always, is not looked after."""
    assert early.may_tell(JOB, run(100, took), known) is expected


def test_what_may_be_told_is_worth_a_look() -> None:
    """A failure, a late start, and what is near a short interval."""
    assert early.may_tell(JOB, run(100, SECOND, Outcome.FAILED), USUAL)
    assert early.may_tell(JOB, run(100, SECOND, behind=HOUR), USUAL)
    often = replace(JOB, schedule=Schedule(Form.EVERY, "5s", every=5 * SECOND, anchor=T0))
    assert early.may_tell(often, run(100, 4 * SECOND), USUAL)
    assert not early.may_tell(often, run(100, 3 * SECOND), replace(USUAL, most=3 * SECOND))
    assert early.may_tell(often, run(100, 3 * SECOND), USUAL)


SPANS = st.one_of(st.integers(0, 13), st.integers(0, 300), st.just(11), st.just(4))


@given(
    st.lists(st.tuples(SPANS, st.integers(1, 15)), max_size=12),
    st.sampled_from([timedelta(seconds=5), MINUTE, HOUR]),
)
def test_no_warning_is_missed(story: list[tuple[int, int]], every: timedelta) -> None:
    """Whoever looks only where it may tell something, and so knows only what was usual then, sees
    each warning of an ended run begin.
    """
    job = replace(JOB, schedule=Schedule(Form.EVERY, "x", every=every, anchor=T0))
    known: Usual | None = None
    runs: tuple[Run, ...] = ()
    before: set[Wrong] = set()
    for hour, seconds in enumerate(span for span, times in story for _ in range(times)):
        runs = (run(hour, timedelta(seconds=seconds)), *runs[: durations.HISTORY])
        some = facts(*runs, job=job)
        found = [early.overran(some)[1], early.too_short(some), early.near(some)]
        now = {one.wrong for one in found if one}
        if early.may_tell(job, runs[0], known):
            known = durations.usual(runs)
        else:
            assert now <= before
        before = now
