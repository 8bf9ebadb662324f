"""Blackout ranges."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.schedule import blackout
from hostagent.schedule.calendar import CalendarError


def covered(text: str, wall: str, zone: str = "Europe/Berlin") -> bool:
    """Whether the range covers that wall time of the zone."""
    at = datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return blackout.covering((text,), zone, at) == text


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (
            "2026-12-24..2027-01-02",
            ["2026-12-24T00:00", "2027-01-02T23:59:59"],
            ["2026-12-23T23:59:59", "2027-01-03T00:00"],
        ),
        ("2026-12-24", ["2026-12-24T00:00", "2026-12-24T23:59"], ["2026-12-25T00:00"]),
        (
            "2026-12-24T08:00..2026-12-24T18:00",
            ["2026-12-24T08:00", "2026-12-24T17:59:59"],
            ["2026-12-24T07:59", "2026-12-24T18:00"],
        ),
        ("2026-12-24T12:00..2026-12-26", ["2026-12-26T23:59"], ["2026-12-24T11:59"]),
        (
            "Mon..Fri 08:00..18:00",
            ["2026-11-23T08:00", "2026-11-27T17:59"],
            ["2026-11-23T07:59", "2026-11-27T18:00", "2026-11-28T12:00"],
        ),
        (
            "22:00..06:00",
            ["2026-11-23T22:00", "2026-11-24T05:59", "2026-11-24T00:00"],
            ["2026-11-23T21:59", "2026-11-24T06:00"],
        ),
        (
            "Fri 22:00..06:00",
            ["2026-11-27T23:00", "2026-11-28T05:59"],
            ["2026-11-27T05:59", "2026-11-28T06:00", "2026-11-28T22:00"],
        ),
        ("Sun 22:00..06:00", ["2026-11-30T05:00"], ["2026-11-29T05:00"]),
        ("Sat,Sun", ["2026-11-28T00:00", "2026-11-29T23:59"], ["2026-11-30T00:00"]),
        ("friday 18:00..24:00", ["2026-11-27T23:59"], ["2026-11-28T00:00", "2026-11-27T17:00"]),
        ("Mon, Wed 10:00..11:00", ["2026-11-23T10:00", "2026-11-25T10:59"], ["2026-11-24T10:00"]),
        ("02:00..03:00", ["2026-10-25T02:30"], ["2026-10-25T03:00"]),
    ],
)
def test_a_range_covers_its_wall_times(text: str, inside: list[str], outside: list[str]) -> None:
    """The start is inside, the end is outside; dates alone are whole days."""
    blackout.check(text, "Europe/Berlin")
    assert [covered(text, wall) for wall in inside] == [True] * len(inside)
    assert [covered(text, wall) for wall in outside] == [False] * len(outside)


def test_both_passes_of_a_repeated_hour_are_covered() -> None:
    """The range is in wall time, and 02:30 is 02:30 both times."""
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for at in (first, first + timedelta(hours=1)):
        assert blackout.covering(("02:00..03:00",), "Europe/Berlin", at) == "02:00..03:00"
    assert blackout.covering(("02:00..03:00",), "Europe/Berlin", first - timedelta(hours=1)) is None


def test_the_first_range_that_covers_is_named() -> None:
    """As it was written, for the reason of the skipped occurrence."""
    ranges = ("Sat", "Mon..Fri 08:00..18:00", "Mon")
    at = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert blackout.covering(ranges, "UTC", at) == "Mon..Fri 08:00..18:00"
    assert blackout.covering((), "UTC", at) is None


@settings(deadline=None)  # the machine may be busy
@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)),  # noqa: DTZ001 -- made aware below
)
def test_a_window_and_its_complement_share_the_day(first: int, second: int, at: datetime) -> None:
    """Each instant is in exactly one of a..b and b..a."""
    if first == second:
        return
    a, b = (f"{number // 60:02}:{number % 60:02}" for number in (first, second))
    instant = at.replace(tzinfo=UTC)
    found = [blackout.covering((text,), "UTC", instant) for text in (f"{a}..{b}", f"{b}..{a}")]
    assert found.count(None) == 1


ranges = st.lists(
    st.sampled_from(
        [
            *("Sat,Sun", "22:00..06:00", "Mon..Fri 08:00..18:00", "02:00..03:00", "01:30..24:00"),
            *("2026-03-29", "2026-10-25T02:30..2026-10-25T03:00", "2026-04-05..2026-04-06"),
            *("9999-12-30", "Sun 23:00..02:30"),
        ]
    ),
    min_size=1,
    max_size=3,
)


@settings(deadline=None)  # the machine may be busy
@given(
    ranges,
    st.sampled_from(["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"]),
    st.sampled_from(["2026-03-28", "2026-04-04", "2026-09-05", "2026-10-03", "2026-10-24"]),
    st.integers(0, 86_400_000_000 * 3),
    st.integers(1, 86_400_000_000 * 3),
    st.lists(st.floats(0, 1), min_size=10, max_size=10),
)
def test_stretches_say_of_every_instant_what_covers_it(
    texts: list[str], zone: str, day: str, start: int, length: int, shares: list[float]
) -> None:
    """Over clock changes, too; neighbours differ, and the last one ends at the end."""
    after = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(microseconds=start)
    until = after + timedelta(microseconds=length)
    found = list(blackout.stretches(texts, zone, after, until))
    assert found[-1][0] == until
    begin = after
    for number, (last, text) in enumerate(found):
        assert begin < last
        assert not number or text != found[number - 1][1]
        inside = [begin + timedelta(microseconds=1), last]
        inside += [begin + max(share, 1e-9) * (last - begin) for share in shares]
        for at in inside:
            if begin < at:
                assert blackout.covering(texts, zone, at) == text
        begin = last


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "08:00",
        "08:00..08:00",
        "24:00..08:00",
        "8:00..18:00",
        "25:00..26:00",
        "Mon..Fri 08:00",
        "Foo 08:00..18:00",
        "Fri..Mon",
        "5 08:00..18:00",
        "2026-12-24T08:00",
        "2026-13-24",
        "2026-12-24..2026-12-23",
        "2026-12-24T08:00..2026-12-24T08:00",
        "2026-12-24 08:00..18:00",
        "2026-12-24..",
        "9999-12-31",
        "daily",
    ],
)
def test_what_is_no_range_is_refused_with_examples(text: str) -> None:
    """The message names the text, the hint shows how ranges are written."""
    with pytest.raises(CalendarError) as refusal:
        blackout.check(text, "UTC")
    assert f'"{text}"' in str(refusal.value)
    assert "Mon..Fri 08:00..18:00" in (refusal.value.hint or "")


def test_a_range_in_an_unknown_zone_is_refused() -> None:
    """The zone is checked with the range."""
    with pytest.raises(CalendarError, match="not a time zone"):
        blackout.check("Sat", "Mars/Olympus")
