"""Cron expressions and what they become."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from cronsim import CronSim, CronSimError

from hostagent.model import Form, Schedule
from hostagent.schedule import occurrences
from hostagent.schedule.calendar import CalendarError, check
from hostagent.schedule.cron import to_calendar

BASE = datetime(2027, 6, 1, tzinfo=UTC)
YEAR = timedelta(days=366)  # with the 29th of February 2028


def ours(cron: str, count: int) -> list[datetime]:
    """Our first occurrences within the year, in UTC."""
    schedule = Schedule(Form.CRON, cron, calendar=to_calendar(cron))
    return list(itertools.islice(occurrences.between(schedule, BASE, BASE + YEAR), count))


def cronsims(cron: str, count: int) -> list[datetime]:
    """The same from cronsim."""
    within = itertools.takewhile(lambda at: at <= BASE + YEAR, CronSim(cron, BASE))
    return list(itertools.islice(within, count))


def component(rng: random.Random, low: int, high: int, names: tuple[str, ...] = ()) -> str:
    """A random field of a cron expression."""

    def n() -> str:
        return rng.choice(names) if names and rng.random() < 0.3 else str(rng.randint(low, high))

    def span() -> str:
        first = rng.randint(low, high)
        return f"{first}-{rng.randint(first, high)}"

    step = rng.randint(1, max(1, high // 2))
    forms = ["*", n(), span(), f"*/{step}", f"{span()}/{step}", f"{n()},{span()},{n()}"]
    return rng.choices(forms, [30, 25, 15, 15, 5, 10])[0]


def expression(rng: random.Random) -> str:
    """Five random fields."""
    months = ("jan", "Feb", "JUL", "dec")
    days = ("sun", "Mon", "FRI", "sat")
    fields = ((0, 59), (0, 23), (1, 31), (1, 12, months), (0, 7, days))
    return " ".join(component(rng, *field) for field in fields)


def test_a_year_of_occurrences_is_the_one_cron_names() -> None:
    """The union of the translations is the cron schedule: compared with cronsim over a year."""
    rng = random.Random(5)
    compared = 0
    while compared < 600:
        cron = expression(rng)
        try:
            theirs = cronsims(cron, 400)
        except CronSimError:
            continue  # a day that no month has
        assert ours(cron, 400) == theirs, cron
        compared += 1


@pytest.mark.parametrize(
    ("cron", "calendar"),
    [
        ("30 2 * * *", ("*-*-* 02:30:00",)),
        ("*/5 * * * *", ("*-*-* *:00/5:00",)),
        ("0 9-17 * * mon-fri", ("Mon..Fri *-*-* 09..17:00:00",)),
        ("0 0 1,15 * 5", ("*-*-01,15 00:00:00", "Fri *-*-* 00:00:00")),
        ("0 0 */2 * 1", ("Mon *-*-01/2 00:00:00",)),
        ("0 0 1-31 * 1", ("*-*-* 00:00:00",)),
        ("0 0 * * 7", ("Sun *-*-* 00:00:00",)),
        ("0 0 * * 5-7", ("Fri..Sun *-*-* 00:00:00",)),
        ("@daily", ("*-*-* 00:00:00",)),
        ("@Hourly", ("*-*-* *:00:00",)),
        ("@weekly", ("Sun *-*-* 00:00:00",)),
        ("@yearly", ("*-01-01 00:00:00",)),
    ],
)
def test_a_translation_is_short_and_readable(cron: str, calendar: tuple[str, ...]) -> None:
    """An administrator recognises the schedule in list-timers; a starred day field means AND."""
    assert to_calendar(cron) == calendar


@pytest.mark.parametrize(
    ("cron", "hint"),
    [
        ("@reboot", "on_boot"),
        ("@fortnightly", "@daily"),
        ("* * * *", "minute, hour"),
        ("0 30 2 * * *", "seconds"),
        ("60 * * * *", None),
        ("* * * * mon-sun", "ends in 7"),
        ("0 0 L * *", "calendar"),
        ("0 0 * * 5L", "calendar"),
        ("0 0 * * fri#2", None),
        ("0 0 30 2 *", None),
        ("*/0 * * * *", None),
        ("", "minute, hour"),
        ("٣ * * * *", None),
    ],
)
def test_what_is_not_cron_is_refused_with_a_hint(cron: str, hint: str | None) -> None:
    """Errors name the expression, and say what to write where that is known."""
    with pytest.raises(CalendarError) as refusal:
        to_calendar(cron)
    assert cron in str(refusal.value)
    assert hint is None or hint in (refusal.value.hint or "")


def test_every_translation_is_a_calendar_expression() -> None:
    """Whatever to_calendar returns, check accepts."""
    rng = random.Random(6)
    for _ in range(500):
        cron = expression(rng)
        try:
            lines = to_calendar(cron)
        except CalendarError:
            continue
        assert 1 <= len(lines) <= 2
        if len(lines) == 1:
            check(lines[0], "UTC")
