"""The ledger's commands, over a real ledger (cli.runs, cli.why, cli.jobs)."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.cli import jobs, runs, why
from hostagent.errors import InputError
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from hostagent.store.port import Pause, PauseTarget
from hostagent.store.sqlite.engine import SqliteStore
from tests import deployed
from tests.unit.cli.conftest import asked

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
JOBS = [
    Job(name, ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), HOUR)
    for name in ("backup", "report")
]


def row(job: str, hours: float, outcome: Outcome = Outcome.SUCCEEDED, **more: object) -> Run:
    """What came of the occurrence so many hours ago."""
    at = NOW - hours * HOUR
    facts: dict[str, object] = {
        "host": "one",
        "reason": "due, admitted 58ms after",
        "started_at": at,
        "ended_at": at + timedelta(minutes=2),
        "end_reason": "exited with status 0",
        **more,
    }
    return Run(job, "", Kind.SCHEDULED, at, 1, 1, outcome=outcome, **facts)  # type: ignore[arg-type]


@pytest.fixture
def here(paths: Paths) -> Paths:
    """backup ran 1, 3 and 30 h ago, once on another host, and was paused; report failed 2 h ago."""
    deployed.deploy(paths, "one", JOBS, NOW - 40 * HOUR)
    deployed.record(
        paths,
        [
            row("backup", 1),
            row("backup", 3, host="two"),
            row("backup", 4, Outcome.SKIPPED, reason="paused: by uid 0", end_reason=None),
            row("backup", 30),
            row("report", 2, Outcome.FAILED, end_reason="killed: OOM"),
        ],
    )
    return paths


@pytest.mark.parametrize(
    ("words", "hours"),
    [
        ([], [1, 2, 3, 4, 30]),
        (["backup"], [1, 3, 4, 30]),
        (["--host", "two"], [3]),
        (["--since", "5h"], [1, 2, 3, 4]),
        (["--until", "150min"], [3, 4, 30]),
        (["--since", "5h", "--until", "150min"], [3, 4]),
        (["--since", (NOW - 2 * HOUR).isoformat()], [1, 2]),
        (["--outcome", "failed", "--outcome", "skipped"], [2, 4]),
        (["--reason", "oom"], [2]),
        (["--reason", "PAUSED"], [4]),
        (["backup", "--host", "one", "--since", "2d", "-n", "2"], [1, 4]),
    ],
)
def test_runs_are_found_by_all_that_is_asked(
    here: Paths, words: list[str], hours: list[int]
) -> None:
    """Each filter narrows, a span counts back from now, and the newest comes first."""
    found = json.loads(asked(runs.runs, *words, "--json").output)
    ages = [(NOW - datetime.fromisoformat(run["scheduled_for"])) / HOUR for run in found]
    assert ages == hours


def test_a_table_of_runs_says_where_and_why(here: Paths) -> None:
    """One line for each; and what it says when there is none."""
    shown = asked(runs.runs, "--host", "two").output
    assert [word in shown for word in ("succeeded", " two ", "2min", "exited")] == [True] * 4
    assert asked(runs.runs, "nobody").output == 'No run of "nobody" is on record.\n'
    none = 'No run of "backup" on record is like that.\n'
    assert asked(runs.runs, "backup", "--reason", "nowhere").output == none


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--outcome", "broken"], 'there is no outcome "broken"'),
        (["--since", "someday"], '"someday" is not a time'),
        (["--since", "1h", "--until", "2h"], "--until 2h lies before --since 1h"),
    ],
)
def test_what_cannot_be_meant_is_told(here: Paths, words: list[str], said: str) -> None:
    """With a hint, as bad input."""
    error = asked(runs.runs, *words).exception
    assert isinstance(error, InputError)
    assert said in error.message
    assert error.hint


def test_why_finds_the_run_of_an_occurrence(here: Paths) -> None:
    """Also where that run stands for it among others."""
    first = NOW - 9 * HOUR
    deployed.record(here, [row("report", 6, covers_from=first, covers=4)])
    for at, found in ((first, True), (NOW - 7 * HOUR, True), (NOW - 10 * HOUR, False)):
        told = json.loads(asked(why.why, "report", "--at", at.isoformat(), "--json").output)
        assert (told[0]["state"] == "succeeded") == found


def test_the_list_has_the_last_run_of_each_job(here: Paths) -> None:
    """And says that nothing starts while there is no agent."""
    shown = asked(jobs.list_).output.splitlines()
    assert [line.split()[0] for line in shown[1:3]] == ["backup", "report"]
    assert "failed" in shown[2]
    assert "no agent is up" in shown[3]


@pytest.mark.parametrize(("lasts", "marks"), [(None, [True] * 3), (2 * HOUR, [True, True, False])])
def test_what_a_pause_will_skip_is_marked(
    here: Paths, lasts: timedelta | None, marks: list[bool]
) -> None:
    """Beside its time, in the list and in what is due next; a pause that ends before marks none."""
    until = None if lasts is None else NOW.replace(minute=30) + lasts
    pause = Pause(PauseTarget.JOB, "backup", "the disks move", "uid 0", NOW, until)
    with closing(SqliteStore(here.state / "state.db")) as store:
        store.pause(pause)
    listed = asked(jobs.list_).output.splitlines()
    assert [", paused" in line for line in listed[1:3]] == [True, False]
    due = asked(jobs.next_, "backup", "-n", "3", "--from", NOW.isoformat()).output.splitlines()
    assert [line.endswith(", paused") for line in due[1:]] == marks
