"""When things were due and when they ran, in cells (report.timeline)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.codec import content_json
from hostagent.model import Form, Kind, Outcome, Run, Schedule
from hostagent.report.timeline import (
    Lane,
    Window,
    axis,
    by_host,
    by_job,
    cells_of_host,
    cells_of_job,
)
from hostagent.store.port import SpecRecord

T = datetime(2026, 11, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOURLY = Schedule(Form.CALENDAR, "hourly", ("hourly",))
SPEC = SpecRecord("backup", 1, HOURLY.hash, content_json(HOURLY), ("",), T - timedelta(days=9))
WINDOW = Window(T, T + 60 * MINUTE, 12, T + 60 * MINUTE)
"""A cell is five minutes."""


def run(
    due: float,
    start: float | None = None,
    end: float | None = None,
    outcome: Outcome | None = Outcome.SUCCEEDED,
    **more: object,
) -> Run:
    """Times in minutes after ``T``; one that never started has no attempt."""

    def at(minutes: float | None) -> datetime | None:
        return None if minutes is None else T + minutes * MINUTE

    facts: dict[str, object] = {
        "attempt": 0 if start is None else 1,
        "kind": Kind.SCHEDULED,
        "started_at": at(start),
        "ended_at": at(end),
        "outcome": outcome,
        **more,
    }
    return Run("backup", "", scheduled_for=at(due), token=1, host="one", reason="", **facts)  # type: ignore[arg-type]


FAILED, SKIPPED = Outcome.FAILED, Outcome.SKIPPED


@pytest.mark.parametrize(
    ("runs", "cells"),
    [
        ([run(10, 10, 24)], "  ███       "),
        ([run(10, 12, 12.5)], "  █         "),
        ([run(10, 25, 29)], "  ░░░█      "),
        ([run(10, 10, 24, FAILED)], "  ██✗       "),
        ([run(10, 10, 11, FAILED), run(10, 25, 29, attempt=2)], "  ✗  █      "),
        ([run(40, 40, outcome=None)], "        ███▶"),
        ([run(10, outcome=SKIPPED)], "  -         "),
        ([run(30, outcome=SKIPPED, covers_from=T + 10 * MINUTE, covers=5)], "  -----     "),
        ([run(-30, -30, 11)], "███         "),
        ([run(55, 56, 90)], "           █"),
        ([run(0, 10, 14, kind=Kind.MANUAL)], "  █         "),
        ([run(10, outcome=SKIPPED), run(9, 9, 11)], " ██         "),
    ],
)
def test_a_cell_shows_the_worst_of_its_time(runs: list[Run], cells: str) -> None:
    """Due and waiting, running, failed, skipped; what lies outside is cut off."""
    window = Window(T, WINDOW.until, 12, T + 59 * MINUTE)
    assert cells_of_job(Lane("backup", tuple(runs)), window) == cells


def test_what_was_due_without_a_record_is_marked() -> None:
    """Covered is what a row stands for; a manual run stands for nothing."""
    until = T + 300 * MINUTE
    wide = run(180, 181, 182, covers_from=T + 120 * MINUTE, covers=2)
    manual = run(240, 241, 242, kind=Kind.MANUAL)
    (lane,) = by_job([wide, manual], [SPEC], T, until)
    assert lane.unmet == (T + 60 * MINUTE, T + 240 * MINUTE, until)
    shown = cells_of_job(lane, Window(T, until + MINUTE, 10, until))
    assert shown == " ┆   ░█┆█┆"


def test_each_schedule_is_drawn_for_its_own_time() -> None:
    """Before an apply and after a removal nothing was due."""
    spec = SpecRecord(*(SPEC.job, 1, SPEC.hash, SPEC.schedule, ("",), T, T + 90 * MINUTE))
    (lane,) = by_job([], [spec], T - 300 * MINUTE, T + 300 * MINUTE)
    assert lane.unmet == (T + 60 * MINUTE,)


def test_hosts_show_how_many_ran_at_once() -> None:
    """At the busiest moment of a cell: one that ends as the next begins is none more."""
    runs = [run(0, 0, 12), run(0, 12, 20), run(0, 16, 18), *[run(0, 41, 42)] * 10]
    (lane,) = by_host(runs)
    assert lane.name == "one"
    assert cells_of_host(lane, WINDOW) == "11121   +   "


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("hours", "width", "marks"),
    [
        (1, 60, "01:00     01:10     01:20     01:30     01:40     01:50"),
        (24, 60, "            06:00          12:00          18:00"),
        (24 * 9, 60, "             Mon 23       Wed 25       Fri 27        Sun 29"),
    ],
)
def test_the_axis_has_round_local_times(berlin: None, hours: int, width: int, marks: str) -> None:
    """As many as do not touch; one that does not fit at the end is left out."""
    shown = axis(Window(T, T + timedelta(hours=hours), width, T))
    assert shown == marks
