"""The times that people write (cli.out)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.cli import out
from hostagent.errors import InputError

NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It is one in the afternoon there."""
    monkeypatch.setattr(out, "now", lambda: NOW)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-20T02:00:00Z", "2026-11-20 02:00"),
        ("2026-11-20T02:00", "2026-11-20 01:00"),
        ("2026-11-20", "2026-11-19 23:00"),
        ("02:00", "2026-11-21 01:00"),
        ("2:00", "2026-11-21 01:00"),
        ("14:30:15", "2026-11-21 13:30:15"),
        ("today", "2026-11-20 23:00"),
        ("yesterday", "2026-11-19 23:00"),
        ("yesterday 02:00", "2026-11-20 01:00"),
        ("tomorrow 06:00", "2026-11-22 05:00"),
    ],
)
def test_a_point_in_time_is_the_same_for_every_option(text: str, utc: str) -> None:
    """Local, and today's, unless it says otherwise; only spans know a direction."""
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert out.parse_time(text) == out.parse_past(text) == expected


def test_a_span_leads_to_a_whole_second_and_is_never_shorter() -> None:
    """Nobody who wrote 2h wants microseconds in what is then shown."""
    assert out.parse_time("2h") == datetime(2026, 11, 21, 14, 0, 1, tzinfo=UTC)
    assert out.parse_past("2h") == datetime(2026, 11, 21, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "someday", "25:00", "2:0", "02:00 today", "today today"])
def test_what_is_no_time_is_told_with_what_is_taken(text: str) -> None:
    """All of it."""
    with pytest.raises(InputError) as caught:
        out.parse_past(text)
    assert caught.value.message == f'"{text}" is not a time'
    assert caught.value.hint is not None
    for taken in ("2026-11-21T02:00:00Z", "02:00", "yesterday", "2h"):
        assert f'"{taken}"' in caught.value.hint
        assert out.parse_past(taken)


def test_an_order_that_would_end_before_it_begins_is_refused() -> None:
    """A time of day is today's: in the afternoon 06:00 is past."""
    assert out.parse_future("--until", "14:00") == NOW.replace(hour=13, microsecond=0)
    assert out.parse_future("--until", "1h") > NOW + timedelta(minutes=59)
    with pytest.raises(InputError, match="--until 06:00 is past: Sat 2026-11-21 06:00:00 CET"):
        out.parse_future("--until", "06:00")
