"""A job's name that none is called by, and what is said before anything is deployed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.cli import acting, cluster, jobs, running, runs, why
from hostagent.errors import InputError, RefusedError
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Kind, Outcome, Run, Schedule
from tests import deployed
from tests.unit.cli.conftest import asked

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
JOBS = [
    Job(name, ("/bin/true",), Schedule(Form.CALENDAR, "hourly", ("hourly",)), HOUR)
    for name in ("etc-backup", "report")
]


@pytest.fixture
def here(paths: Paths) -> Paths:
    """Two jobs, no agent; of etc-backup a run failed, a later one succeeded, one was skipped."""
    deployed.deploy(paths, "one", JOBS, NOW - 40 * HOUR)
    ends = {3: Outcome.FAILED, 2: Outcome.SUCCEEDED, 1: Outcome.SKIPPED}
    deployed.record(
        paths,
        [
            Run("etc-backup", "", Kind.SCHEDULED, NOW - h * HOUR, 1, 1, "one", "due", outcome=end)
            for h, end in ends.items()
        ],
    )
    return paths


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (running.run, []),
        (running.pause, []),
        (runs.logs, []),
        (why.why, []),
        (jobs.next_, []),
        (acting.retry, []),
        (acting.backfill, ["--from", "1h"]),
        (cluster.show, []),
        (cluster.reinstate, []),
    ],
)
def test_a_job_that_there_is_not_is_bad_input_everywhere(
    here: Paths, command: Callable[..., None], words: list[str]
) -> None:
    """One sentence, and the name that may have been meant; else where the names stand."""
    for name, hint in (("etc-bakcup", 'did you mean "etc-backup"?'), ("x", "see: hostagent list")):
        error = asked(command, name, *words).exception
        assert isinstance(error, InputError)
        assert (error.message, error.hint) == (f'there is no job "{name}"', hint)


def test_a_job_that_there_is_is_refused_as_ever(here: Paths) -> None:
    """Only the name was judged: that no agent is up stays what it is."""
    for command in (running.run, running.pause, cluster.reinstate):
        error = asked(command, "report").exception
        assert isinstance(error, RefusedError)
        assert error.message == "no agent is up on this host"


def test_a_job_that_is_to_be_retried_is_told_its_last_failed_run(here: Paths) -> None:
    """Not tried again by itself: since then a run may have succeeded."""
    error = asked(acting.retry, "etc-backup").exception
    assert isinstance(error, InputError)
    assert error.hint == "its last failed run: hostagent retry etc-backup.20261121T090000Z"
    error = asked(acting.retry, "report").exception
    assert isinstance(error, InputError)
    assert error.hint == "none of its runs failed; see: hostagent runs report"
    error = asked(acting.retry, "etc-backup.20261121T090000Z").exception
    assert isinstance(error, RefusedError)


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("report", "no run of report was ever started", "see: hostagent why report"),
        (
            "report.20261121T090000Z",
            "no run report.20261121T090000Z is on record",
            "see: hostagent runs report",
        ),
        (
            "etc-backup.20261121T110000Z",
            "the run etc-backup.20261121T110000Z was never started",
            "see: hostagent why etc-backup.20261121T110000Z",
        ),
    ],
)
def test_what_has_no_logs_leads_to_where_more_is_said(
    here: Paths, name: str, said: str, hint: str
) -> None:
    """The command in the hint knows what it is asked for."""
    error = asked(runs.logs, name).exception
    assert isinstance(error, RefusedError)
    assert (error.message, error.hint) == (said, hint)
    command = why.why if "why" in hint else runs.runs
    assert asked(command, hint.rsplit(maxsplit=1)[-1]).exception is None


def test_before_the_first_apply_the_list_is_empty_and_says_how_to_begin(paths: Paths) -> None:
    """With an example while there is no jobs.toml; then with plan and apply."""
    listed = asked(jobs.list_)
    assert (listed.exit_code, listed.stdout) == (0, "No job is deployed.\n")
    assert f"write {paths.jobs_toml} (an example: /usr/share/doc/hostagent/" in listed.stderr
    assert asked(jobs.list_, "--json").stdout == "[]\n"
    paths.jobs_toml.parent.mkdir(parents=True)
    paths.jobs_toml.touch()
    error = asked(jobs.next_).exception
    assert isinstance(error, RefusedError)
    assert error.hint == "hostagent plan --user, then: hostagent apply --user"
