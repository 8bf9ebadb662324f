"""What waits for other jobs is shown by each command that says how a job stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hostagent.agent.interface import Status
from hostagent.cli import cluster, jobs, why
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Schedule
from tests import answers, deployed
from tests.unit.cli.conftest import asked

T = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAILY = Schedule(Form.CALENDAR, "daily", ("daily",))
DUMP = Job("dump", ("/bin/true",), DAILY, timedelta(hours=1))
CHECK = Job("check", ("/bin/true",), DAILY, timedelta(hours=1), after=("dump",))
OTHER = "dump of 2026-11-21 00:00:00Z, which runs on one since 5min"
LINE = f"check waits for {OTHER}"


class Agent:
    """One job of it waits."""

    async def status(self) -> Status:
        """As the agent's own."""
        return answers.status(waits=["check"], waits_because=[f"waits for {OTHER}"])


@pytest.fixture
def host(paths: Paths) -> Iterator[Paths]:
    """With both jobs, and its agent up."""
    deployed.deploy(paths, "one", (DUMP, CHECK), T)
    paths.socket.parent.mkdir(parents=True, exist_ok=True)
    paths.ready.parent.mkdir(parents=True, exist_ok=True)
    paths.ready.touch()
    with answers.served(paths, Agent()):
        yield paths


@pytest.mark.usefixtures("host")
def test_status_and_why_say_for_what_it_waits() -> None:
    """With what a person can do about it."""
    assert f"  waits    check: {OTHER}" in asked(cluster.status).output.splitlines()
    told = asked(why.why, "check").output.splitlines()
    at = told.index("occurrence of check  waits")
    assert told[at + 1 :] == [
        f"  waits for {OTHER}",
        "  start it at once: hostagent run check",
    ]
    assert "occurrence of check" not in asked(why.why, "dump").output


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("command", [jobs.list_, jobs.next_])
def test_what_is_due_is_followed_by_what_waits(command: Callable[..., Any]) -> None:
    """Below the table, for it is due already."""
    assert asked(command).output.splitlines()[-1] == LINE
    assert LINE not in asked(jobs.next_, "dump").output
    assert asked(command, "--json").output.count("waits") == 0


def test_without_an_agent_the_calendar_is_shown(paths: Paths) -> None:
    """Nothing waits that anybody knows of."""
    deployed.deploy(paths, "one", (DUMP, CHECK), T)
    shown = asked(jobs.next_)
    assert shown.exit_code == 0
    assert "waits" not in shown.output
