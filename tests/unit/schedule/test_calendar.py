"""Calendar expressions: what is refused, with which hint, and what a timer gets to read."""

from __future__ import annotations

import pytest

from hostagent.schedule import calendar
from hostagent.schedule.calendar import CalendarError


def refusal(expression: str, zone: str = "UTC") -> CalendarError:
    """The error that check raises."""
    with pytest.raises(CalendarError) as caught:
        calendar.check(expression, zone)
    return caught.value


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("every day", 'write "daily" or "*-*-* 02:00"'),
        ("Every Hour", '"hourly"'),
        ("every 5 minutes", '"*:0/5"'),
        ("every 2 hours", '"0/2:00"'),
        ("every 7 minutes", "every ="),
        ("each week", '"weekly"'),
        ("dayly", 'did you mean "daily"?'),
        ("Mondy 02:00", 'did you mean "monday"?'),
        ("@daily", 'cron = "@daily"'),
        ("@reboot", "on_boot"),
        ("@1400000000", "at ="),
        ("30 2 * * *", 'cron = "30 2 * * *"'),
        ("*:*/5", '"*:0/5"'),
        ("*-*-*/2 03:00", '"*-*-1/2 03:00"'),
        ("2am", '"*-*-* 02:00"'),
        ("10:30 pm", '"*-*-* 22:30"'),
        ("12 am", '"*-*-* 00:00"'),
        ("24:00", '"00:00"'),
        ("9-17:00", "two dots"),
        ("", '"daily"'),
        ("nonsense", '"daily"'),
    ],
)
def test_a_refusal_hints_at_a_valid_expression_nearby(expression: str, hint: str) -> None:
    """The message names the expression; the hint says what to write."""
    error = refusal(expression)
    assert f'"{expression}"' in str(error)
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("25:00", '"25" is not within 0 to 23'),
        ("2026-13-01", '"13" is not within 1 to 12'),
        ("Fri..Mon", "run backwards"),
        ("*:0/0", "a step of 0"),
        ("20/9:00", "a step that leads beyond 23"),
        ("17..9:00", '"17..9" is not within'),
        ("Mon Tue 02:00", '"Tue" is neither'),
        ("02:00 daily", '"daily" is one part too many'),
        ("2:3:4:5", "not a time"),
        ("*:*:0/0.000001", "more than ten times a second"),
        ("*-*~29", '"29" is not within 1 to 28'),
        ("daily\n", "is not a weekday"),
        ("daily\nOnBootSec=1", "is not a weekday"),
        ("٢:00", "not ASCII"),
        ("\u017fun", "not ASCII"),
        ("1" * 5000 + ":00", "is not a valid hour"),
    ],
)
def test_a_refusal_says_which_part_is_wrong(expression: str, reason: str) -> None:
    """One line that names the part, whatever was written."""
    message = str(refusal(expression))
    assert reason in message
    assert len(message) < 300
    assert "\n" not in message


@pytest.mark.parametrize("expression", ["*-02-30", "2025-02-29", "*-04,06-31 12:00"])
def test_what_never_elapses_is_refused(expression: str) -> None:
    """A calendar without one occurrence from 1970 to 2199 is a mistake."""
    assert "never elapses" in str(refusal(expression))


def test_what_is_past_is_not_refused() -> None:
    """Whether a calendar still elapses depends on the day, and check does not know the day."""
    calendar.check("1999-12-31 23:59", "UTC")


def test_a_day_that_only_one_zone_left_out_never_elapses_there() -> None:
    """Samoa went from the 29th to the 31st of December 2011."""
    calendar.check("2011-12-30", "UTC")
    assert "never elapses" in str(refusal("2011-12-30", "Pacific/Apia"))


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", '"Europe/Berlin"'),
        ("new york", '"America/New_York"'),
        ("CEST", 'such as "Europe/Berlin"'),
        ("", "such as"),
        ("/etc/passwd", "such as"),
        ("../../etc/passwd", "such as"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_one(zone: str, hint: str) -> None:
    """A path is never a zone."""
    assert hint in (refusal("daily", zone).hint or "")


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("02:00 Europe/Berlin", ("02:00", "Europe/Berlin")),
        ("Mon *-*-* 02:00  UTC", ("Mon *-*-* 02:00", "UTC")),
        ("daily", ("daily", None)),
        ("Mon", ("Mon", None)),
        ("Mon Tue", ("Mon Tue", None)),
        ("Mon, 02:00", ("Mon, 02:00", None)),
        ("UTC", ("UTC", None)),
    ],
)
def test_a_zone_behind_an_expression_is_split_off(
    expression: str, parts: tuple[str, str | None]
) -> None:
    """As systemd.time(7) writes it; what is no zone stays, and check names it."""
    assert calendar.split_zone(expression) == parts


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("daily", "daily"),
        ("Mon..Fri 02:00", "Mon..Fri 02:00"),
        ("2/4:37", "*-*-* 2..22/4:37:00"),
        ("Sat *:0/10", "Sat *-*-* *:0..50/10:00"),
        ("*-1/3-1/9", "*-1..10/3-1..28/9 00:00:00"),
        ("*-*~10/8", "*-*~2..10/8 00:00:00"),
        ("20/4-02-29 12:00:0/0.5", "20..2196/4-02-29 12:00:0..59.5/0.5"),
        (
            "*-*~1,7..23,19/14",
            "*-*~1,7..23,19/14",
        ),  # closed, it would be a list that systemd refuses
    ],
)
def test_a_timer_gets_steps_with_an_end(expression: str, written: str) -> None:
    """Steps without one make systemd give up a timer near a change of the clock."""
    assert calendar.for_timer(expression) == written
    assert calendar.parse(written) == calendar.parse(expression)
