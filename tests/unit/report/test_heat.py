"""Which minutes are crowded (report.heat)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from hostagent.model import Form, Job, Schedule
from hostagent.report.heat import Hour, heat, rows
from hostagent.schedule.jitter import delay

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
T = datetime(2026, 11, 21, 12, tzinfo=UTC)


def job(name: str, calendar: str = "daily", jitter: timedelta = timedelta(0)) -> Job:
    """One that starts then."""
    schedule = Schedule(Form.CALENDAR, calendar, (calendar,), jitter=jitter)
    return Job(name, ("/bin/true",), schedule, HOUR)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead: what is due at midnight UTC starts at 1."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_minute_counts_all_that_start_in_it() -> None:
    """By local day and hour: how many fall due, and the most of one minute."""
    jobs = [*(job(f"a{n}") for n in range(5)), job("b", "*-*-* 00:30"), job("c", "hourly")]
    found = heat(jobs, "one", T, T + DAY)
    assert found[date(2026, 11, 22), 1] == Hour(7, 6, 6)
    assert found[date(2026, 11, 21), 14] == Hour(1, 1, 1)
    assert sum(hour.due for hour in found.values()) == 6 + 24


def test_jitter_spreads_what_starts_together() -> None:
    """Each by its own stable delay, past the hour if need be; nothing is lost by it."""
    jobs = [job(f"a{n}", jitter=2 * HOUR) for n in range(60)]
    found = heat(jobs, "one", T, T + DAY)
    assert found[date(2026, 11, 22), 1].scheduled == 60
    assert 1 <= found[date(2026, 11, 22), 1].jittered < 8
    assert found[date(2026, 11, 22), 2].due == 0
    minutes = [int(delay(one.name, "", 2 * HOUR).total_seconds()) // 60 for one in jobs]
    second = max(minutes.count(minute) for minute in minutes if 60 <= minute < 120)
    assert found[date(2026, 11, 22), 2].jittered == second


def test_a_row_has_all_the_hours_of_its_day() -> None:
    """Those without a start, too."""
    found = heat([job("a"), job("b")], "one", T, T + 2 * DAY)
    (first, counts), (second, _) = rows(found, with_jitter=False)
    assert (first, second) == (date(2026, 11, 22), date(2026, 11, 23))
    assert counts == (0, 2, *[0] * 22)
    assert rows(found, with_jitter=True) == rows(found, with_jitter=False)
