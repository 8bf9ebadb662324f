"""Intervals: anchors, instants, and the calendar that covers them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.model import Form, Schedule
from hostagent.schedule import interval, occurrences

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

round_periods = st.sampled_from([1, 60, 300, 900, 1800, 3600, 5400, 7200, 86400, 100_800, 604_800])
seconds = st.one_of(
    round_periods,
    st.integers(1, 10_000),
    st.integers(1, 600).map(lambda minutes: minutes * 60),
    st.integers(1, 400).map(lambda hours: hours * 3600),
    st.integers(1, 60).map(lambda days: days * 86_400),
)
instants = st.integers(0, 4_000_000_000).map(lambda number: EPOCH + number * SECOND)


def grid(lines: tuple[str, ...]) -> Schedule:
    """The calendar of a timer, as a schedule."""
    return Schedule(Form.CALENDAR, "", calendar=lines)


@settings(deadline=None)  # the machine may be busy
@given(seconds, instants, instants)
def test_every_instant_is_an_elapse_of_the_timer(
    period: int, anchor: datetime, after: datetime
) -> None:
    """A timer wakes at each anchor + k * every; and where it says so, at no other time."""
    every = period * SECOND
    lines, exact = interval.timer_calendar(every, anchor)
    due = list(itertools.islice(interval.instants(every, anchor, after, None), 5))
    assert len(lines) <= 24
    for instant in due:
        assert occurrences.next_after(grid(lines), instant - SECOND) == instant
    if exact:
        woken = list(occurrences.between(grid(lines), after, due[-1]))
        assert woken == due


@settings(deadline=None)  # the machine may be busy
@given(seconds, instants, instants)
def test_instants_are_the_anchor_plus_whole_periods(
    period: int, anchor: datetime, after: datetime
) -> None:
    """Also before the anchor; strictly after the bound, a period apart."""
    every = period * SECOND
    first, second = itertools.islice(interval.instants(every, anchor, after, None), 2)
    assert after < first <= after + every
    assert (first - anchor) % every == timedelta(0)
    assert second - first == every
    assert list(interval.instants(every, anchor, after, second)) == [first, second]


@pytest.mark.parametrize(
    ("every", "lines", "exact"),
    [
        (timedelta(hours=24), ("*-*-* 01:02:03",), True),
        (timedelta(hours=1), ("*-*-* *:02:03",), True),
        (timedelta(minutes=30), ("*-*-* *:02/30:03",), True),
        (timedelta(minutes=1), ("*-*-* *:*:03",), True),
        (timedelta(seconds=20), ("*-*-* *:*:03/20",), True),
        (timedelta(seconds=1), ("*-*-* *:*:*",), True),
        (timedelta(hours=6), ("*-*-* 01/6:02:03",), True),
        (timedelta(minutes=90), ("*-*-* 01/3:02:03", "*-*-* 02/3:32:03"), True),
        (timedelta(days=7), ("Thu *-*-* 01:02:03",), True),
        (timedelta(hours=84), ("Thu *-*-* 01:02:03", "Sun *-*-* 13:02:03"), True),
        (timedelta(days=14), ("Thu *-*-* 01:02:03",), False),
        (timedelta(days=2), ("*-*-* 01:02:03",), False),
        (timedelta(hours=36), ("*-*-* 01/12:02:03",), False),
        (timedelta(hours=5), ("*-*-* *:02:03",), False),
        (timedelta(minutes=7), ("*-*-* *:*:03",), False),
    ],
)
def test_the_shortest_calendar_is_chosen(
    every: timedelta, lines: tuple[str, ...], exact: bool
) -> None:
    """Exact where a week is a whole number of periods, else the coarsest grid that covers them."""
    anchor = EPOCH + timedelta(hours=1, minutes=2, seconds=3)
    assert interval.timer_calendar(every, anchor) == (lines, exact)


@settings(deadline=None)  # the machine may be busy
@given(st.text(min_size=1), seconds)
def test_a_default_anchor_is_stable_and_within_the_first_period(job: str, period: int) -> None:
    """It depends on nothing but the name and the period."""
    every = period * SECOND
    anchor = interval.default_anchor(job, every)
    assert EPOCH <= anchor < EPOCH + every
    assert anchor.microsecond == 0
    assert anchor == interval.default_anchor(job, every)


def test_default_anchors_spread_jobs_over_the_period() -> None:
    """A thousand daily jobs do not meet: no minute of the day holds more than eight of them."""
    day = timedelta(days=1)
    anchors = [interval.default_anchor(f"job-{n}", day) for n in range(1000)]
    minutes = [(anchor - EPOCH) // timedelta(minutes=1) for anchor in anchors]
    assert max(minutes.count(minute) for minute in minutes) <= 8


def test_a_default_anchor_never_changes_between_releases() -> None:
    """A job's interval would move with it: this value is for ever."""
    anchor = interval.default_anchor("backup", timedelta(days=1))
    assert anchor == datetime(1970, 1, 1, 10, 31, 20, tzinfo=UTC)
