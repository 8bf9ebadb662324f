"""The rules of what becomes of owed occurrences (hostagent.policy.due)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.model import Form, Job, Kind, Missed, Outcome, Overlap, Run, Schedule
from hostagent.policy.due import (
    Again,
    Expired,
    Facts,
    Owed,
    Paused,
    Settle,
    Start,
    Stop,
    Wait,
    abandon,
    decide,
    is_catch_up,
)

T = datetime(2026, 11, 21, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
JOB = Job(
    name="backup",
    command=("/bin/true",),
    schedule=Schedule(Form.CALENDAR, "hourly", ("hourly",)),
    timeout=HOUR,
    catch_up_window=timedelta(days=1),
)
RUN = Run("backup", "", Kind.SCHEDULED, T - HOUR, 1, 7, "h", "due", started_at=T - HOUR + SECOND)


def facts(*hours: int, late: timedelta = SECOND, job: Job = JOB) -> Facts:
    """Occurrences at T + hours, looked at ``late`` after the last of them."""
    times = tuple(T + hour * HOUR for hour in hours)
    return Facts(job=job, now=times[-1] + late, owed=(Owed(times),))


def with_missed(missed: Missed) -> Job:
    """The job with another misfire policy."""
    return replace(JOB, missed=missed)


def test_nothing_owed_needs_nothing_done() -> None:
    """A start that matches no due occurrence is nobody's: promise 5."""
    assert decide(Facts(job=JOB, now=T, owed=())) == ()


def test_a_fresh_occurrence_starts_on_its_own() -> None:
    """What just fell due starts, and stands for itself alone."""
    (start,) = decide(facts(0))
    assert isinstance(start, Start)
    assert (start.at, start.covers, start.missed) == (T, 1, False)
    assert start.reason == "due 2026-11-21 02:00:00Z, admitted 1s after"


def test_latest_runs_once_for_all_that_was_missed() -> None:
    """missed = "latest": the last occurrence runs and carries the range it stands for."""
    (start,) = decide(facts(0, 1, 2, late=HOUR / 2))
    assert isinstance(start, Start)
    assert (start.at, start.covers_from, start.covers) == (T + 2 * HOUR, T, 3)
    assert start.missed


def test_a_fresh_occurrence_that_stands_for_missed_ones_is_no_catch_up() -> None:
    """It starts at once, whatever the gate holds; the reason says so, and what it stands for."""
    (start,) = decide(facts(0, 1, 2))
    assert isinstance(start, Start)
    assert (start.covers, start.missed) == (3, False)
    assert start.reason == (
        "due 2026-11-21 04:00:00Z, admitted 1s after; the 2 before it, from 2026-11-21 02:00:00Z "
        'on, had not run: missed = "latest" runs once for all'
    )
    (start,) = decide(facts(1, 2))
    assert isinstance(start, Start)
    assert "; the one before it, due 2026-11-21 03:00:00Z, had not run: " in start.reason


def test_skip_settles_what_was_missed_and_runs_what_is_fresh() -> None:
    """missed = "skip": nothing late ever starts, and each has its outcome."""
    settle, start = decide(facts(0, 1, 2, job=with_missed(Missed.SKIP)))
    assert isinstance(settle, Settle)
    assert (settle.first, settle.last, settle.count) == (T, T + HOUR, 2)
    assert isinstance(start, Start)
    assert (start.at, start.covers, start.missed) == (T + 2 * HOUR, 1, False)
    late = decide(facts(0, late=HOUR / 2, job=with_missed(Missed.SKIP)))
    assert [type(action) for action in late] == [Settle]


def test_all_runs_the_oldest_first() -> None:
    """missed = "all": attempts of one job start in the order of scheduled_for."""
    (start,) = decide(facts(0, 1, 2, job=with_missed(Missed.ALL)))
    assert isinstance(start, Start)
    assert (start.at, start.covers, start.missed) == (T, 1, True)


def test_catch_up_max_drops_the_oldest_with_a_reason() -> None:
    """catch_up_max bounds how many missed occurrences run; the others are recorded."""
    job = replace(with_missed(Missed.ALL), catch_up_max=1)
    settle, start = decide(facts(0, 1, 2, late=HOUR / 2, job=job))
    assert isinstance(settle, Settle)
    assert (settle.count, settle.reason) == (2, "catch_up_max: 3 were missed, allowed are 1")
    assert isinstance(start, Start)
    assert start.at == T + 2 * HOUR


def test_as_many_run_as_catch_up_max_allows() -> None:
    """The oldest are dropped once: what a run of the chain leaves is not measured anew."""
    job = replace(with_missed(Missed.ALL), catch_up_max=5)
    hours, ran = list(range(20)), 0
    while hours:
        asked = replace(facts(*hours, job=job), now=T + 20 * HOUR)
        *settled, start = decide(asked)
        assert isinstance(start, Start)
        assert sum(one.count for one in settled if isinstance(one, Settle)) == (0 if ran else 15)
        hours, ran = [hour for hour in hours if T + hour * HOUR > start.at], ran + 1
    assert ran == 5


def test_beyond_the_window_is_skipped_in_one_record() -> None:
    """What is older than catch_up_window is one settlement, however many there were."""
    old = Expired(T - 100 * HOUR, T - 30 * HOUR, 71)
    settle, start = decide(replace(facts(0), expired=old))
    assert isinstance(settle, Settle)
    assert (settle.count, settle.outcome) == (71, Outcome.SKIPPED)
    assert settle.reason == "missed: older than the catch-up window of 1d"
    assert isinstance(start, Start)


def test_a_pause_skips_with_who_and_why() -> None:
    """While paused nothing scheduled starts; the order's words stand in the ledger."""
    (settle,) = decide(replace(facts(0, 1), paused=Paused("job backup by uid 0: migration")))
    assert isinstance(settle, Settle)
    assert settle.reason == "paused: job backup by uid 0: migration"
    assert settle.count == 2


def test_a_blackout_skips_only_what_it_covers() -> None:
    """An occurrence in a blackout range is skipped; its neighbours are not."""
    owed = (Owed((T - 2 * SECOND,)), Owed((T,), blackout="Sat"))
    start, settle = decide(Facts(job=JOB, now=T + SECOND, owed=owed))
    assert isinstance(start, Start)
    assert start.at == T - 2 * SECOND
    assert isinstance(settle, Settle)
    assert (settle.first, settle.count) == (T, 1)


def test_past_its_start_deadline_an_occurrence_is_skipped() -> None:
    """start_deadline: rather never than too late."""
    job = replace(JOB, start_deadline=timedelta(minutes=5))
    (settle,) = decide(facts(0, late=timedelta(minutes=6), job=job))
    assert isinstance(settle, Settle)
    assert settle.reason == "start_deadline: 6min late, allowed are 5min"


def test_what_is_late_or_blacked_out_together_is_one_record() -> None:
    """However many there are: their reason has the figures of the first and of the last."""
    job = replace(JOB, start_deadline=timedelta(minutes=30))
    settle, start = decide(facts(0, 1, 2, 3, job=job))
    assert isinstance(settle, Settle)
    assert (settle.count, settle.last) == (3, T + 2 * HOUR)
    assert settle.reason == "start_deadline: 1h 1s to 3h 1s late, allowed are 30min"
    assert isinstance(start, Start)
    owed = (Owed((T, T + HOUR), "Sat"),)
    (settle,) = decide(Facts(job=JOB, now=T + HOUR, owed=owed))
    assert isinstance(settle, Settle)
    span = "2026-11-21 02:00:00Z to 2026-11-21 03:00:00Z"
    assert settle.reason == f'blackout: {span} lie in "Sat"'


class Looked(Sequence[datetime]):
    """Occurrences that count how often one of them is looked at."""

    def __init__(self, first: datetime, numbers: range, looks: list[int]) -> None:
        self.first, self.numbers, self.looks = first, numbers, looks

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> datetime: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[datetime]: ...
    def __getitem__(self, index: int | slice) -> datetime | Sequence[datetime]:
        if isinstance(index, slice):
            return Looked(self.first, self.numbers[index], self.looks)
        self.looks.append(index)
        return self.first + self.numbers[index] * SECOND


@pytest.mark.parametrize("missed", Missed)
@pytest.mark.parametrize("deadline", [None, timedelta(minutes=5)])
@pytest.mark.parametrize("black", [None, "Sat"])
def test_a_million_owed_cost_what_a_few_cost(
    missed: Missed, deadline: timedelta | None, black: str | None
) -> None:
    """Nothing walks through occurrences, and settlements are as few as reasons."""
    job = replace(with_missed(missed), catch_up_max=10, start_deadline=deadline)
    looks: list[int] = []
    half = 500_000
    owed = (
        Owed(Looked(T, range(half), looks), black),
        Owed(Looked(T, range(half, 2 * half), looks)),
    )
    asked = Facts(job, T + 2 * half * SECOND, owed)
    actions = decide(asked)
    assert len(actions) <= 5
    assert sum(one.count for one in actions if isinstance(one, Settle)) <= 2 * half
    abandon(asked, None, "")
    assert len(looks) < 300


def test_overlap_skip_names_the_run_in_the_way() -> None:
    """overlap = "skip": the occurrence is skipped, and the record says what still ran."""
    (settle,) = decide(replace(facts(0), active=RUN))
    assert isinstance(settle, Settle)
    assert settle.reason.startswith("overlap: run backup.20261121T010000Z is still running since")


def test_overlap_queue_waits_and_then_starts_fresh() -> None:
    """overlap = "queue": what waited for a run is not missed when that run has ended."""
    job = replace(with_missed(Missed.SKIP), overlap=Overlap.QUEUE)
    assert isinstance(decide(replace(facts(0, job=job), active=RUN))[0], Wait)
    later = replace(facts(0, late=HOUR / 2, job=job), freed_at=T + HOUR / 2 - SECOND)
    (start,) = decide(later)
    assert isinstance(start, Start)


def test_what_waits_for_a_place_of_its_pool_stays_fresh() -> None:
    """What was missed before that does not become fresh."""
    job = with_missed(Missed.SKIP)
    (start,) = decide(replace(facts(0, late=HOUR / 2, job=job), kept_from=T))
    assert isinstance(start, Start)
    assert not start.missed
    later = replace(facts(0, late=HOUR / 2, job=job), kept_from=T + SECOND)
    assert [type(action) for action in decide(later)] == [Settle]


def test_who_waits_for_its_start_when_the_next_falls_due_is_passed_by_it() -> None:
    """missed = "skip" says so; "latest" runs once for both, and neither was missed."""
    waits = replace(facts(0, 1, job=with_missed(Missed.SKIP)), kept_from=T)
    settle, start = decide(waits)
    assert isinstance(settle, Settle)
    assert settle.reason == (
        "it waited until the occurrence of 2026-11-21 03:00:00Z fell due, which starts instead"
    )
    assert isinstance(start, Start)
    (start,) = decide(replace(waits, job=with_missed(Missed.LATEST)))
    assert isinstance(start, Start)
    assert (start.covers, start.missed) == (2, False)


def test_a_backlog_does_not_turn_fresh_because_its_own_run_ended() -> None:
    """missed = "all": what fell due before a catch-up run began is still missed after it."""
    later = replace(
        facts(0, 1, late=HOUR, job=with_missed(Missed.ALL)),
        freed_from=T + 2 * HOUR - 10 * SECOND,
        freed_at=T + 2 * HOUR - SECOND,
    )
    (start,) = decide(later)
    assert isinstance(start, Start)
    assert start.missed


@given(st.sampled_from(Overlap), st.sampled_from(Missed))
def test_a_backfill_costs_no_occurrence(overlap: Overlap, missed: Missed) -> None:
    """What falls due beside its run waits for its end, and is fresh then, whatever the policy."""
    job = replace(with_missed(missed), overlap=overlap)
    active = replace(RUN, kind=Kind.BACKFILL)
    (wait,) = decide(replace(facts(0, job=job), active=active))
    assert isinstance(wait, Wait)
    assert "backup.20261121T010000Z.backfill is still running" in wait.reason
    late = replace(facts(0, late=HOUR / 2, job=job), freed_at=T + HOUR / 2, freed_from=T - HOUR)
    (start,) = decide(late)
    assert isinstance(start, Start)
    assert not start.missed


def test_a_backfill_is_let_go_by_the_gate() -> None:
    """As what was missed is; a manual run is not."""
    assert is_catch_up(JOB, replace(RUN, kind=Kind.BACKFILL))
    assert not is_catch_up(JOB, replace(RUN, kind=Kind.MANUAL))


def test_overlap_replace_stops_the_active_run() -> None:
    """overlap = "replace": the old run is stopped; the new one is decided when it has ended."""
    job = replace(JOB, overlap=Overlap.REPLACE)
    (stop,) = decide(replace(facts(0, job=job), active=RUN))
    assert isinstance(stop, Stop)


FAILED = replace(RUN, outcome=Outcome.FAILED, ended_at=T - HOUR / 2)


def failed(asked: Facts, kind: Kind = Kind.SCHEDULED) -> Facts:
    """Where the run before failed, and is to be tried again in a minute."""
    tried = replace(FAILED, kind=kind)
    return replace(asked, retry=tried, retry_at=asked.now + timedelta(minutes=1))


def test_what_failed_goes_before_the_next_one_that_was_missed() -> None:
    """missed = "all": the chain keeps its order, its fresh one waits too, and nothing is lost."""
    job = replace(with_missed(Missed.ALL), catch_up_max=1)
    (again,) = decide(failed(facts(0, 1, 2, job=job)))
    assert again == Again(
        "queued: backup.20261121T010000Z failed and is tried again first, at 2026-11-21 04:01:01Z"
    )
    expired = Expired(T - 3 * HOUR, T - 2 * HOUR, 2)
    settle, again = decide(replace(failed(facts(0, 1, job=job)), expired=expired))
    assert isinstance(settle, Settle)
    assert (settle.last, type(again)) == (T - 2 * HOUR, Again)


@pytest.mark.parametrize(
    "asked",
    [
        failed(facts(0, job=with_missed(Missed.ALL))),
        failed(facts(0, 1, late=HOUR / 2)),
        failed(facts(0, 1, job=with_missed(Missed.ALL)), Kind.BACKFILL),
    ],
    ids=["a fresh one", "latest", "a backfill's"],
)
def test_what_a_retry_does_not_keep_waiting(asked: Facts) -> None:
    """Fresh > retry > catch-up > backfill; one that stands for all missed ones needs no retry."""
    (start,) = decide(asked)
    assert isinstance(start, Start)


def test_a_chain_of_missed_runs_is_not_cut_by_overlap() -> None:
    """missed = "all": a fresh occurrence joins its own job's chain instead of being skipped."""
    caught_up = replace(RUN, started_at=T - SECOND)
    (wait,) = decide(replace(facts(0, job=with_missed(Missed.ALL)), active=caught_up))
    assert isinstance(wait, Wait)


times = st.lists(st.integers(0, 5000), min_size=1, max_size=30, unique=True).map(sorted)


@given(
    minutes=times,
    black=st.sets(st.integers(0, 5000)),
    missed=st.sampled_from(Missed),
    overlap=st.sampled_from(Overlap),
    most=st.none() | st.integers(1, 5),
    deadline=st.none() | st.integers(1, 3000),
    active=st.booleans(),
    paused=st.booleans(),
    late=st.integers(0, 4000),
)
def test_no_occurrence_is_lost_or_counted_twice(
    minutes: list[int],
    black: set[int],
    missed: Missed,
    overlap: Overlap,
    most: int | None,
    deadline: int | None,
    active: bool,
    paused: bool,
    late: int,
) -> None:
    """Decided again and again, each owed occurrence is settled or covered exactly once."""
    job = replace(
        JOB,
        missed=missed,
        overlap=overlap,
        catch_up_max=most,
        start_deadline=timedelta(minutes=deadline) if deadline else None,
    )
    minute = timedelta(minutes=1)
    owed = {T + m * minute: "black" if m in black or m % 7 == 0 else None for m in minutes}
    now = T + (minutes[-1] + late) * minute
    run = RUN if active else None
    taken: list[datetime] = []
    for _ in range(2 * len(owed) + 2):
        if not owed:
            break
        pause = Paused("p") if paused else None
        stretches = tuple(
            Owed(tuple(at for at, _ in group), text)
            for text, group in groupby(owed.items(), key=lambda item: item[1])
        )
        now_facts = Facts(job, now, stretches, active=run, paused=pause)
        starts = 0
        for action in decide(now_facts):
            if isinstance(action, Settle):
                first, last, count = action.first, action.last, action.count
            elif isinstance(action, Start):
                assert run is None
                starts += 1
                first, last, count = action.covers_from, action.at, action.covers
            else:
                run = None
                continue
            inside = [at for at in owed if first <= at <= last]
            assert len(inside) == count
            assert not taken or taken[-1] < first
            taken += inside
            owed = {at: text for at, text in owed.items() if at > last}
        assert starts <= 1
    assert not owed
    assert len(taken) == len(minutes)


def test_a_person_gives_up_what_was_missed_and_nothing_else() -> None:
    """What is fresh goes on, and so does what is younger than they say."""
    asked = facts(0, 1, 2, job=with_missed(Missed.ALL))
    (settle,) = abandon(asked, None, "by uid 0: too old")
    assert (settle.first, settle.last, settle.count) == (T, T + HOUR, 2)
    assert (settle.outcome, settle.reason) == (Outcome.ABANDONED, "by uid 0: too old")
    (settle,) = abandon(asked, T + HOUR / 2, "")
    assert (settle.first, settle.last, settle.count) == (T, T, 1)
    assert abandon(asked, T - HOUR, "") == ()
    assert abandon(facts(0), None, "") == ()
    older = Expired(T - 9 * HOUR, T - 5 * HOUR, 5)
    found = abandon(replace(asked, expired=older), None, "")
    assert [settle.outcome for settle in found] == [Outcome.SKIPPED, Outcome.ABANDONED]


def test_another_attempt_of_a_missed_run_catches_up_too() -> None:
    """That of a fresh one is late as well, but was not missed."""
    late = replace(RUN, started_at=RUN.scheduled_for + HOUR)
    assert is_catch_up(JOB, late)
    assert not is_catch_up(JOB, RUN)
    assert not is_catch_up(JOB, replace(late, attempt=2))
    assert is_catch_up(JOB, replace(late, attempt=2, covers_from=RUN.scheduled_for))
