"""What comes after other jobs waits until they have succeeded (hostagent.policy.upstream, due)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hostagent.model import Form, Job, Kind, Missed, Outcome, Overlap, Run, RunOn, Schedule
from hostagent.policy import early, upstream
from hostagent.policy.due import (
    Await,
    Facts,
    Owed,
    Paused,
    Settle,
    Start,
    Wait,
    abandon,
    decide,
    is_catch_up,
)
from hostagent.policy.upstream import UNASKED, Free, Lacks, Period, Upstream

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND = (timedelta(seconds=n) for n in (86400, 3600, 60, 1))
DAILY = Schedule(Form.CALENDAR, "02:00", ("*-*-* 02:00:00",))
VERIFY = Job(
    "verify",
    ("/bin/true",),
    Schedule(Form.CALENDAR, "hourly", ("hourly",)),
    timeout=HOUR,
    catch_up_window=DAY,
    after=("backup",),
)
RUN = Run("backup", "", Kind.SCHEDULED, T, 1, 7, "web1", "due", claimed_at=T)
LACKS = Lacks("backup of 2026-11-21 02:00:00Z", "has not started")


def known(*rows: Run, **changes: object) -> Upstream:
    """What is known of backup in the period of T."""
    found = Upstream("backup", "", Period(T, T + DAY), rows)
    return replace(found, **changes)  # type: ignore[arg-type]


def ended(outcome: Outcome = Outcome.SUCCEEDED, at: datetime = T + MINUTE, **more: object) -> Run:
    """A run of backup that ended so."""
    run = replace(RUN, outcome=outcome, started_at=T + SECOND, ended_at=at, end_reason="exit 1")
    return replace(run, **more)  # type: ignore[arg-type]


def facts(*owed: Owed, late: timedelta = SECOND, job: Job = VERIFY) -> Facts:
    """Looked at ``late`` after the last of them."""
    return Facts(job=job, now=owed[-1].times[-1] + late, owed=owed)


def hours(*numbers: int, upstream: Free | Lacks | None) -> Owed:
    """Occurrences at T + hours."""
    return Owed(tuple(T + n * HOUR for n in numbers), upstream=upstream)


def test_a_period_lasts_from_an_occurrence_to_the_next() -> None:
    """The last one at or before: at the very instant, a new period begins."""
    for at in (T, T + HOUR, T + DAY - SECOND):
        assert upstream.period(DAILY, at) == Period(T, T + DAY)
    assert upstream.period(DAILY, T - SECOND) == Period(T - DAY, T)
    yearly = Schedule(Form.CALENDAR, "leap", ("*-02-29 00:00:00",))
    assert upstream.period(yearly, T).begins == datetime(2024, 2, 29, tzinfo=UTC)
    once = Schedule(Form.AT, "once", at=T)
    assert upstream.period(once, T - SECOND) == Period(None, T)
    assert upstream.period(once, T + 400 * DAY) == Period(T, None)
    boot = Schedule(Form.ON_BOOT, "on_boot")
    assert upstream.period(boot, T + SECOND) == Period(T + SECOND, None)


def test_the_same_scope_is_waited_for_else_all() -> None:
    """A scope that both have waits for its own; else the whole of the other job counts."""
    one = replace(VERIFY, name="other", after=())
    fanned = replace(one, for_each=("a", "b"))
    each = replace(one, run_on=RunOn.EACH)
    assert upstream.scopes("a", fanned) == ("a",)
    assert upstream.scopes("c", fanned) == upstream.scopes("", fanned) == ("a", "b")
    assert upstream.scopes("a", one) == upstream.scopes("", one) == ("",)
    assert upstream.scopes("web1", each) == ("web1",)


def test_any_success_of_the_period_lets_it_go() -> None:
    """By the first: whoever asked for it, and whatever else failed."""
    by_hand = ended(at=T + HOUR, kind=Kind.MANUAL, host="web2")
    failed = ended(Outcome.FAILED, at=T + 2 * HOUR)
    free = upstream.judge([known(failed, by_hand)], T + DAY)
    assert free == Free(T + HOUR, "backup of 2026-11-21 02:00:00Z succeeded on web2")


def test_all_must_have_succeeded() -> None:
    """The last of them counts, and the first that lacks is named."""
    late = known(ended(at=T + HOUR), job="export", scope="a")
    free = upstream.judge([known(ended()), late], T + DAY)
    assert isinstance(free, Free)
    assert free.at == T + HOUR
    assert "export@a of " in free.reason
    lacks = upstream.judge([known(ended()), replace(late, rows=())], T + DAY)
    assert isinstance(lacks, Lacks)
    assert lacks.reason.startswith("waits for export@a of 2026-11-21 02:00:00Z, which has not")


def test_the_sentence_says_how_the_other_stands() -> None:
    """And what a person can type, where nothing happens by itself."""

    def told(one: Upstream) -> str:
        lacks = upstream.judge([one], T + 5 * MINUTE)
        assert isinstance(lacks, Lacks)
        return lacks.reason

    who = "waits for backup of 2026-11-21 02:00:00Z, which "
    assert told(known()) == f"{who}has not started; see: hostagent why backup"
    assert told(known(RUN)) == f"{who}is being started on web1"
    going = replace(RUN, started_at=T, attempt=2)
    assert told(known(going, ended(Outcome.FAILED))) == f"{who}runs on web1 since 5min"
    failed = ended(Outcome.FAILED)
    again = "try it again: hostagent retry backup.20261121T020000Z"
    assert told(known(failed)) == f"{who}failed on web1: exit 1; {again}"
    retried = known(failed, retry=failed, retry_at=T + HOUR)
    at = "2026-11-21 03:00:00Z"
    assert told(retried) == f"{who}failed on web1: exit 1, and is tried again at {at}"
    skipped = replace(ended(Outcome.SKIPPED), attempt=0, reason="overlap: it still runs")
    by_hand = "run it: hostagent run backup"
    assert told(known(skipped)) == f"{who}was skipped: overlap: it still runs; {by_hand}"
    assert told(known(rows=None)).endswith("the store that hosts share is not reached")
    never = known(period=Period(None, T + DAY))
    first = "its first occurrence is due 2026-11-22 02:00:00Z"
    assert told(never) == f"waits for backup, which has no occurrence yet: {first}"


def test_what_lacks_its_upstream_waits() -> None:
    """Nothing is settled, and nothing starts: it is looked at again at its deadline."""
    (action,) = decide(facts(hours(0, upstream=LACKS)))
    assert action == Await(LACKS.reason, T, T + DAY)
    soon = replace(VERIFY, start_deadline=HOUR)
    (action,) = decide(facts(hours(0, upstream=LACKS), job=soon))
    assert action == Await(LACKS.reason, T, T + HOUR)


def test_at_its_deadline_it_is_skipped_with_the_upstreams_name() -> None:
    """start_deadline, or else the catch-up window."""
    soon = replace(VERIFY, start_deadline=HOUR)
    who = "upstream: backup of 2026-11-21 02:00:00Z has not started; it was waited for"
    for job, late, why in (
        (soon, HOUR, f"{who} 1h, as start_deadline says"),
        (VERIFY, DAY, f"{who} 1d, as catch_up_window says"),
    ):
        (action,) = decide(facts(hours(0, upstream=LACKS), late=late + SECOND, job=job))
        assert isinstance(action, Settle)
        assert (action.outcome, action.first, action.last) == (Outcome.SKIPPED, T, T)
        assert action.reason == why


def test_it_is_fresh_when_its_upstream_has_just_ended() -> None:
    """It waited, and was not missed: it goes past the gate, even with missed = "skip"."""
    for missed in Missed:
        job = replace(VERIFY, missed=missed)
        free = Free(T + HOUR, "backup succeeded")
        (start,) = decide(facts(hours(0, upstream=free), late=HOUR + SECOND, job=job))
        assert isinstance(start, Start)
        assert not start.missed
        assert start.reason.endswith("; backup succeeded")
    (start,) = decide(facts(hours(0, upstream=Free(T, "")), late=HOUR))
    assert isinstance(start, Start)
    assert start.missed  # it could have started an hour ago


def test_a_run_that_waited_is_no_catch_up_run() -> None:
    """Nor late: its agent, or the next one, does not take it for that."""
    run = Run("verify", "", Kind.SCHEDULED, T, 1, 7, "h", "", started_at=T + 5 * HOUR)
    assert not is_catch_up(VERIFY, run)
    assert early.late_by(VERIFY, run) is None
    assert is_catch_up(VERIFY, replace(run, covers_from=T - HOUR, covers=2))
    assert is_catch_up(replace(VERIFY, after=()), run)


def test_a_later_one_that_may_start_stands_for_those_that_wait() -> None:
    """missed = "latest": the newest whose upstream succeeded; newer ones go on waiting."""
    free = Free(T + 2 * HOUR, "")
    owed = hours(0, upstream=LACKS), hours(1, upstream=free), hours(2, upstream=LACKS)
    (start,) = decide(facts(*owed))
    assert isinstance(start, Start)
    assert (start.at, start.covers_from, start.covers) == (T + HOUR, T, 2)


def test_nothing_passes_by_what_waits() -> None:
    """A settlement behind it would move the mark past it for good."""
    late = Owed((T - 2 * DAY,), upstream=LACKS)
    dark = Owed((T + HOUR,), blackout="03:00..04:00")
    settled, awaits = decide(facts(late, hours(0, upstream=LACKS), dark))
    assert isinstance(settled, Settle)
    assert settled.last == T - 2 * DAY
    assert isinstance(awaits, Await)
    assert awaits.at == T


def test_all_starts_the_oldest_or_waits_for_it() -> None:
    """missed = "all": the order is kept."""
    job = replace(VERIFY, missed=Missed.ALL)
    free = Free(T + HOUR, "")
    (start,) = decide(facts(hours(0, upstream=free), hours(1, 2, upstream=UNASKED), job=job))
    assert isinstance(start, Start)
    assert start.at == T
    (awaits,) = decide(facts(hours(0, upstream=LACKS), hours(1, 2, upstream=UNASKED), job=job))
    assert isinstance(awaits, Await)
    assert awaits.until == T + DAY


def test_catch_up_max_leaves_what_nobody_has_looked_at_for_the_next_time() -> None:
    """What it drops is settled; the upstream of the next one is asked at once."""
    job = replace(VERIFY, missed=Missed.ALL, catch_up_max=1)
    owed = hours(0, upstream=LACKS), hours(1, 2, upstream=UNASKED)
    asked = facts(*owed, late=HOUR, job=job)
    settled, awaits = decide(asked)
    assert isinstance(settled, Settle)
    assert (settled.first, settled.last) == (T, T + HOUR)
    assert isinstance(awaits, Await)
    assert (awaits.at, awaits.until) == (T + 2 * HOUR, asked.now)


def test_overlap_counts_from_when_it_could_have_started() -> None:
    """While its own run goes on, what waits is not skipped for that; what is free is."""
    going = replace(RUN, job="verify", started_at=T)
    waits = replace(facts(hours(1, upstream=LACKS)), active=going)
    assert [type(action) for action in decide(waits)] == [Await]
    free = replace(facts(hours(1, upstream=Free(T + HOUR, ""))), active=going)
    (settled,) = decide(free)
    assert isinstance(settled, Settle)
    assert settled.reason.startswith("overlap: ")
    queue = replace(free, job=replace(VERIFY, overlap=Overlap.QUEUE))
    assert [type(action) for action in decide(queue)] == [Wait]


def test_a_pause_and_a_blackout_skip_what_waits() -> None:
    """Nobody wants it to run, whatever it comes after."""
    owed = facts(hours(0, upstream=LACKS))
    (paused,) = decide(replace(owed, paused=Paused("job verify by uid 0: stop")))
    (dark,) = decide(facts(replace(hours(0, upstream=LACKS), blackout="00:00..24:00")))
    assert isinstance(paused, Settle)
    assert isinstance(dark, Settle)
    assert (paused.reason[:7], dark.reason[:9]) == ("paused:", "blackout:")


def test_a_person_can_give_up_what_waits() -> None:
    """Once it has waited for a while: abandon says so in its outcome."""
    (given_up,) = abandon(facts(hours(0, upstream=LACKS), late=MINUTE), None, "enough")
    assert (given_up.outcome, given_up.reason) == (Outcome.ABANDONED, "enough")
