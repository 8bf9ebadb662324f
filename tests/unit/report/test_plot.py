"""The last hour of a backlog, drawn (report.plot)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hostagent.policy.samples import Sample
from hostagent.report.plot import BLOCKS, PLAIN, Marks, plot

T = datetime(2026, 11, 21, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SAMPLES = [
    Sample(T - 3.5 * MINUTE, cpu=100.0, in_use=50.0, level=1.0, used=1.0, released=1),
    Sample(T - 2.5 * MINUTE, cpu=50.0, in_use=75.0, level=4.0, used=2.0, released=3),
    Sample(T - 1.5 * MINUTE, cpu=0.0, in_use=100.0, level=8.0, used=8.0, released=0),
]


def chart(title: str, marks: Marks = PLAIN) -> list[str]:
    """The rows below a title, without what no minute of ``SAMPLES`` has."""
    lines = list(plot(SAMPLES, T, marks))
    at = next(number for number, line in enumerate(lines) if line.startswith(title))
    return [line[8:].ljust(60)[56:59] for line in lines[at + 1 : at + 5]]


def test_a_minute_is_a_column_and_its_height_the_figure() -> None:
    """A zero is seen, and differs from a minute in which nothing waited."""
    assert chart("CPU pressure") == ["#  ", "#  ", "## ", "##."]
    assert chart("memory in use") == ["  #", " ##", "###", "###"]
    assert chart("released") == ["   ", " # ", " # ", "##."]


def test_the_level_is_seen_above_what_uses_it() -> None:
    """Of eight slots two are used, and the level is four; one is half a row."""
    assert chart("slots") == ["  #", "  #", " -#", "###"]


def test_what_the_host_does_not_tell_is_left_out() -> None:
    """No PSI, no chart of it."""
    told = "\n".join(plot([Sample(T, in_use=5.0)], T, PLAIN))
    assert "pressure" not in told
    assert "memory in use" in told


@pytest.mark.parametrize("marks", [PLAIN, BLOCKS])
def test_it_fits_eighty_columns_and_all_begin_at_one(marks: Marks) -> None:
    """Whatever is drawn with; what is plain is ASCII."""
    lines = list(plot(SAMPLES, T, marks))
    assert max(map(len, lines)) <= 80
    assert {line[7] for line in lines if line.startswith("    ") and len(line) > 7} <= set("|+ ")
    assert marks is BLOCKS or "".join(lines).isascii()


def test_half_a_row_is_half_a_block() -> None:
    """On a terminal; 12.5 % of four rows."""
    lines = list(plot([Sample(T, cpu=12.5)], T, BLOCKS))
    assert lines[4].endswith(BLOCKS.bars[4])


def test_the_axis_has_local_times() -> None:
    """From an hour ago to now."""
    *_, axis = plot(SAMPLES, T, PLAIN)
    told = axis.split()
    assert len(told) == 5
    assert told[-1] == f"{T.astimezone():%H:%M}"
    assert told[0] == f"{(T - 60 * MINUTE).astimezone():%H:%M}"
