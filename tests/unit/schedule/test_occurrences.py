"""The occurrences of a schedule, over all of its forms."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.model import Form, Schedule
from hostagent.schedule import occurrences
from hostagent.schedule.cron import to_calendar
from hostagent.schedule.occurrences import Span

SECOND = timedelta(seconds=1)
NOW = datetime(2026, 11, 21, 7, 20, tzinfo=UTC)


def calendar(*expressions: str, zone: str = "UTC") -> Schedule:
    """A schedule of calendar expressions."""
    return Schedule(Form.CALENDAR, "", calendar=expressions, zone=zone)


def every(period: timedelta, anchor: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> Schedule:
    """An interval."""
    return Schedule(Form.EVERY, "", every=period, anchor=anchor)


def utc(text: str) -> datetime:
    """An instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


schedules = st.sampled_from(
    [
        calendar("daily", zone="Europe/Berlin"),
        calendar("02:30", zone="Europe/Berlin"),
        calendar("*:0/7", "*:0/5", zone="America/Santiago"),
        calendar("Mon..Fri 0/3:15", "Sat 0/4:15", zone="Africa/Casablanca"),
        calendar("*-*~1 12:00", "*-*-1..7 12:00"),
        calendar("*:*:0/20", "*:*:0.5", zone="Australia/Lord_Howe"),
        calendar("2026-03-29 02:30", zone="Europe/Berlin"),
        Schedule(Form.CRON, "", calendar=to_calendar("0 */2 1,15 * mon"), zone="Europe/Dublin"),
        every(timedelta(hours=36)),
        every(timedelta(minutes=7)),
        Schedule(Form.AT, "", at=utc("2026-03-29T01:00")),
        Schedule(Form.ON_BOOT, ""),
    ]
)
bounds = st.tuples(
    st.datetimes(datetime(2026, 3, 27), datetime(2026, 4, 7)),  # noqa: DTZ001 -- aware below
    st.timedeltas(timedelta(0), timedelta(days=3)),
).map(lambda pair: (pair[0].replace(tzinfo=UTC), pair[0].replace(tzinfo=UTC) + pair[1]))
limits = st.none() | st.datetimes(
    datetime(2026, 3, 27),  # noqa: DTZ001 -- aware by its strategy
    datetime(2026, 4, 9),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@settings(deadline=None)  # the machine may be busy
@given(schedules, bounds, limits, limits)
def test_all_views_of_a_schedule_agree(
    schedule: Schedule,
    bound: tuple[datetime, datetime],
    not_before: datetime | None,
    not_after: datetime | None,
) -> None:
    """between ascends without duplicates within its bounds; next_after walks it, latest sums it."""
    schedule = replace(schedule, not_before=not_before, not_after=not_after)
    after, until = bound
    found = list(occurrences.between(schedule, after, until))
    assert all(earlier < later for earlier, later in itertools.pairwise([after, *found]))
    assert all(at <= until and at.utcoffset() == timedelta(0) for at in found)
    assert all(not_before is None or not_before <= at for at in found)
    assert all(not_after is None or at < not_after for at in found)

    span = Span(found[0], found[-1], len(found)) if found else None
    assert occurrences.latest(schedule, after, until) == span

    row = occurrences.row(schedule, after, until)
    assert (list(row), len(row)) == (found, len(found))
    third = len(found) // 3
    assert list(row[third : 2 * third]) == found[third : 2 * third]
    assert list(row[:-1][third:]) == found[:-1][third:]
    assert [row[-n - 1] for n in range(min(3, len(found)))] == found[::-1][:3]

    for previous, at in itertools.islice(itertools.pairwise([after, *found]), 20):
        assert occurrences.next_after(schedule, previous) == at
    last = occurrences.next_after(schedule, found[-1] if found else after)
    assert last is None or last > until


@settings(deadline=None)  # the machine may be busy
@given(schedules, bounds, st.floats(0, 1))
def test_a_range_is_its_two_halves(
    schedule: Schedule, bound: tuple[datetime, datetime], share: float
) -> None:
    """No occurrence is lost or doubled where one look-back ends and the next begins."""
    after, until = bound
    middle = after + share * (until - after)
    halves = [*occurrences.between(schedule, after, middle)]
    halves += occurrences.between(schedule, middle, until)
    assert halves == list(occurrences.between(schedule, after, until))


def test_the_lower_bound_is_outside_and_the_upper_one_inside() -> None:
    """Strictly after, up to and including."""
    day = calendar("daily")
    noon, next_noon = utc("2026-03-01T00:00"), utc("2026-03-02T00:00")
    assert list(occurrences.between(day, noon, next_noon)) == [next_noon]
    assert list(occurrences.between(day, next_noon, noon)) == []


def test_an_hour_that_the_clock_skips_is_skipped_and_one_it_repeats_runs_once() -> None:
    """As systemd does: docs/explanation/dst.md."""
    at_half_past = calendar("02:30", zone="Europe/Berlin")
    spring = occurrences.between(at_half_past, utc("2026-03-28T00:00"), utc("2026-03-30T12:00"))
    assert list(spring) == [utc("2026-03-28T01:30"), utc("2026-03-30T00:30")]
    autumn = occurrences.between(at_half_past, utc("2026-10-24T12:00"), utc("2026-10-26T12:00"))
    assert list(autumn) == [utc("2026-10-25T00:30"), utc("2026-10-26T01:30")]


def test_an_instant_named_by_two_expressions_is_one_occurrence() -> None:
    """The union has no duplicates: identity is the instant."""
    union = calendar("*:0/20", "*:0/30")
    found = [f"{at:%M}" for at in occurrences.between(union, NOW, NOW + timedelta(hours=1))]
    assert found == ["30", "40", "00", "20"]


def test_an_interval_does_not_know_the_zone() -> None:
    """Every 24 hours stays at its UTC time over a change of the clock."""
    daily = replace(every(timedelta(days=1)), zone="Europe/Berlin")
    hours = {at.hour for at in occurrences.between(daily, utc("2026-03-20"), utc("2026-04-10"))}
    assert hours == {0}


@pytest.mark.parametrize(
    ("schedule", "period"),
    [
        (calendar("daily", zone="Europe/Berlin"), timedelta(days=1)),
        (calendar("Mon..Fri 09..17:00"), timedelta(hours=1)),
        (calendar("monthly"), timedelta(days=28)),
        (calendar("02:00", "23:55"), timedelta(hours=2, minutes=5)),
        (calendar("*:*:0.5"), timedelta(minutes=1)),
        (calendar("2020-01-01", "2020-01-03"), timedelta(days=2)),
        (calendar("2020-01-01"), None),
        (replace(calendar("hourly"), not_after=utc("2020-01-01")), timedelta(hours=1)),
        (every(timedelta(hours=36)), timedelta(hours=36)),
        (Schedule(Form.AT, "", at=NOW), None),
        (Schedule(Form.ON_BOOT, ""), None),
    ],
)
def test_the_period_is_the_smallest_gap(schedule: Schedule, period: timedelta | None) -> None:
    """In wall time, and whatever the day it is asked on."""
    assert occurrences.period(schedule) == period


@pytest.mark.parametrize(
    ("schedule", "lines"),
    [
        (calendar("daily", "Sat 12:00", zone="Europe/Berlin"),
         ("daily Europe/Berlin", "Sat 12:00 Europe/Berlin")),
        (calendar("*:0/10"), ("*-*-* *:0..50/10:00 UTC",)),
        (every(timedelta(days=1)), ("*-*-* 00:00:00 UTC",)),
        (Schedule(Form.AT, "", at=NOW), ("2026-11-21 07:20:00 UTC",)),
        (Schedule(Form.AT, "", at=NOW + timedelta(milliseconds=1)),
         ("2026-11-21 07:20:00.001000 UTC",)),
        (Schedule(Form.ON_BOOT, ""), ()),
    ],
)  # fmt: skip
def test_a_timer_elapses_by_expressions_with_their_zone(
    schedule: Schedule, lines: tuple[str, ...]
) -> None:
    """Whatever the host's own zone is, its timers mean the same."""
    assert occurrences.timer_expressions(schedule) == lines


def test_a_month_of_minutes_is_counted() -> None:
    """By the day, not walked through: catch-up asks this of every job at each wake."""
    month = (NOW - timedelta(days=31), NOW)
    span = occurrences.latest(calendar("minutely", zone="Europe/Berlin"), *month)
    assert span == Span(month[0] + timedelta(minutes=1), NOW, 31 * 24 * 60 - 60)


@given(schedules, bounds)
def test_the_last_until_an_instant_is_the_last_of_all_before(
    schedule: Schedule, span: tuple[datetime, datetime]
) -> None:
    """Itself, if it is one; looked for over years, however often it elapses."""
    since, until = span
    last = occurrences.last_until(schedule, until)
    known = list(occurrences.between(schedule, since, until))
    assert not known or last == known[-1]
    if last is not None:
        assert last <= until
        assert not list(occurrences.between(schedule, last, until))
