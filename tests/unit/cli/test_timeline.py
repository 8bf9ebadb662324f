"""The timeline over a real ledger (cli.timeline)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.cli import timeline
from hostagent.errors import InputError
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from tests import deployed
from tests.unit.cli.conftest import asked

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""The last full hour, or, if one has passed by now, that before: what was due then has no row."""

LONG = "a-job-with-a-name-that-is-far-too-long"
JOBS = [
    Job(name, ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), HOUR)
    for name in ("backup", LONG)
]


def row(job: str, hours: int, outcome: Outcome | None, took: timedelta | None) -> Run:
    """Due so many hours before the last one."""
    at = NOW - hours * HOUR
    ended = at + took if took is not None else None
    return Run(
        *(job, "", Kind.SCHEDULED, at, 1, hours + 1, "one", "due"),
        started_at=at,
        ended_at=ended,
        outcome=outcome,
        invocation_id="i",
    )


@pytest.fixture
def here(paths: Paths) -> Paths:
    """backup ran each hour, one run failed; the other job runs since two days."""
    deployed.deploy(paths, "one", JOBS, NOW - 100 * HOUR)
    won, minute = Outcome.SUCCEEDED, timedelta(minutes=1)
    rows = [row("backup", n, Outcome.FAILED if n == 5 else won, minute) for n in range(1, 90)]
    deployed.record(paths, [*rows, row(LONG, 60, None, None), row("gone", 30, won, minute)])
    return paths


def test_a_day_is_readable_in_80_columns(here: Paths) -> None:
    """A line for each job, whose runs go where they belong; plain signs, as it is piped."""
    shown = asked(timeline.timeline).output
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "\x1b" not in shown
    head, first, second, legend = shown.splitlines()
    assert ":00" in head
    assert first.startswith("a-job-with-a-name-that-…  ███")
    assert first.endswith("▶")
    name, cells = second[:24].rstrip(), second[26:]
    assert (name, cells.count("✗")) == ("backup", 1)
    assert "┆" in cells[-6:]
    assert "failed" in legend


def test_a_job_and_a_time_can_be_chosen(here: Paths) -> None:
    """What was due before, and ran into it, is there, too."""
    words = ("--since", "45h", "--until", "44h", "--json")
    told = json.loads(asked(timeline.timeline, *words).output)
    assert [lane["name"] for lane in told["lanes"]] == [LONG, "backup"]
    assert [run["state"] for run in told["lanes"][0]["runs"]] == ["running"]
    assert len(told["lanes"][1]["runs"]) == 1
    told = json.loads(asked(timeline.timeline, "backup", "--json").output)
    (lane,) = told["lanes"]
    assert lane["due_without_a_run"][0] == NOW.isoformat().replace("+00:00", "Z")
    due = [run["scheduled_for"] for run in lane["runs"]]
    assert len(due) in {22, 23}
    assert due == sorted(due)


def test_hosts_are_lines_where_that_is_asked(here: Paths) -> None:
    """As many as ran at once."""
    _, line, legend = asked(timeline.timeline, "--by", "host").output.splitlines()
    assert line.startswith("one  ")
    assert set(line[5:]) == {"1", "2"}
    assert "at once" in legend


def test_where_there_is_nothing_it_says_so(here: Paths) -> None:
    """And what cannot be meant is bad input."""
    assert asked(timeline.timeline, "nobody").output == "Nothing was due then, and nothing ran.\n"
    for words in (("--by", "moon"), ("--since", "1h", "--until", "2h"), ("--since", "soon")):
        assert isinstance(asked(timeline.timeline, *words).exception, InputError)
