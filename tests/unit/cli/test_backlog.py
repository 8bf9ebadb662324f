"""The backlog's commands, over the agent's real socket (cli.backlog)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hostagent.agent.interface import (
    Abandoned,
    Abandonment,
    Backfilling,
    Backlog,
    Held,
    Sample,
    StormFact,
)
from hostagent.cli import backlog
from hostagent.errors import InputError
from hostagent.host import paths as places
from hostagent.host.paths import Paths
from tests import answers

LONG_AGO = "2026-11-21T02:00:00Z"


class Agent:
    """Holds one run, and writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.is_over = False
        self.given_up = [Abandoned(name="report@eu", count=3, retry=False)]
        self.fresh: list[str] = []
        self.bound = ""
        self.noted: list[Sample] = []

    async def backlog(self) -> Backlog:
        """One is held."""
        held = Held(
            name="report@eu",
            due=LONG_AGO,
            covers=3,
            since=LONG_AGO,
            lost=LONG_AGO,
            expected=LONG_AGO,
            bound=self.bound,
            reason="held: level 1",
        )
        return answers.backlog(
            settles="settle = 1min",
            level=2,
            most=8,
            used=1,
            pace="6/min by hand, 4 to go",
            held=[held],
            catching_up=["a.20261121T020000Z"],
            backfills=[
                Backfilling(name="import", first=LONG_AGO, last=LONG_AGO, left=7, by="uid 0")
            ],
            storm=[
                StormFact(is_so=True, sentence="calm"),
                StormFact(is_so=self.is_over, sentence="one is held"),
            ],
        )

    async def pause(self, _: object, *args: object) -> None:
        """Noted."""
        self.asked.append(("pause", *args))

    async def samples(self) -> list[Sample]:
        """What was noted."""
        return self.noted

    async def release(self, _: object, job: str, rate: str | None) -> list[str]:
        """Noted."""
        self.asked.append(("release", job, rate))
        return ["report@eu"] if job else []

    async def abandon(self, _: object, *args: object) -> Abandonment:
        """Noted."""
        self.asked.append(("abandon", *args))
        return Abandonment(abandoned=self.given_up, fresh=self.fresh)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """Up, where the commands look for it."""
    paths: Paths = places.system(tmp_path)
    paths.socket.parent.mkdir(parents=True)
    monkeypatch.setattr(backlog, "paths_of", lambda *, user: paths)
    one = Agent()
    with answers.served(paths, one):
        yield one


def ask(*words: str) -> Result:
    """Call the command."""
    return CliRunner().invoke(backlog.backlog, words)


def test_what_is_held_is_listed_with_its_reason(agent: Agent) -> None:
    """And what it is good for."""
    shown = ask("list").output
    assert "settles: settle = 1min" in shown
    assert "catches up: a.20261121T020000Z" in shown
    assert "backfill: import, 7 left of 2026-11-21T02:00:00Z" in shown
    assert [word in shown for word in ("report@eu", "level 1", "ago")] == [True] * 3
    assert json.loads(ask("list", "--json").output)["held"][0]["covers"] == 3


def test_an_estimate_says_that_it_is_one(agent: Agent) -> None:
    """And where only the earliest time is known, why."""
    told = datetime.fromisoformat(LONG_AGO).astimezone().strftime("%a %Y-%m-%d %H:%M")
    assert f"about {told}" in ask("list").output
    agent.bound = "settles"
    assert f"not before {told} (settles)" in ask("list").output


def test_the_last_hour_is_plotted(agent: Agent) -> None:
    """Or told as JSON; and that there was none is said."""
    assert ask("plot").output.startswith("Nothing was held in the last hour")
    at = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    agent.noted = [
        Sample(
            at=at,
            cpu=99.0,
            memory=None,
            memory_full=None,
            in_use=40.0,
            level=4.0,
            used=2.0,
            held=7,
            released=1,
        )
    ]
    shown = ask("plot").output
    assert "CPU pressure, %" in shown
    assert "#" in shown
    assert shown.isascii()
    assert json.loads(ask("plot", "--json").output) == agent.noted


def test_a_storm_is_over_when_all_three_facts_say_so(agent: Agent) -> None:
    """Exit 0 then, else 1."""
    found = ask("list", "--storm-check")
    assert (found.exit_code, found.output) == (1, "yes  calm\nno   one is held\n")
    agent.is_over = True
    assert ask("list", "--storm-check").exit_code == 0


def test_a_job_or_all_of_them(agent: Agent) -> None:
    """Never all by an oversight."""
    assert ask("release").exit_code != 0
    assert ask("release", "report", "--all").exit_code != 0
    assert ask("abandon", "report").exit_code == 2  # without a reason
    assert agent.asked == []
    assert ask("hold", "--all", "--reason", "disk is full").exit_code == 0
    assert "released: report@eu" in ask("release", "report").output
    assert "nothing of all jobs is held" in ask("release", "--all").output
    told = ask("abandon", "report", "--reason", "too old").output
    assert told == "report@eu: 3 occurrences abandoned\n"
    assert agent.asked == [
        ("pause", "backlog", "", None, "disk is full"),
        ("release", "report", None),
        ("release", "", None),
        ("abandon", "report", None, "too old"),
    ]


def test_a_rate_is_read_before_the_agent_is_asked(agent: Agent) -> None:
    """What is none is bad input, with what to write instead."""
    for wrong in ("6", "61/min"):
        refused = ask("release", "--all", "--rate", wrong).exception
        assert isinstance(refused, InputError)
        assert (refused.exit_code, refused.hint) == (2, "write 6/min, or 30/h")
    assert agent.asked == []
    assert ask("release", "report", "--rate", "6/min").output == "released at 6/min: report@eu\n"
    assert agent.asked == [("release", "report", "6/min")]
    assert "released: 6/min by hand, 4 to go" in ask("list").output


def test_a_retry_is_given_up_too(agent: Agent) -> None:
    """It is said beside the occurrences, or alone."""
    agent.given_up = [
        Abandoned(name="a", count=1, retry=True),
        Abandoned(name="b", count=0, retry=True),
    ]
    shown = ask("abandon", "--all", "--reason", "x")
    assert shown.output == "a: 1 occurrence and a retry abandoned\nb: a retry abandoned\n"


def test_what_was_not_missed_is_not_given_up_and_it_is_said_how_to_skip_it(agent: Agent) -> None:
    """Exit 1 when there is nothing else; else it is said beside."""
    agent.fresh = ["report@eu"]
    both = ask("abandon", "--all", "--reason", "x")
    assert both.exit_code == 0
    assert "report@eu was not missed" in both.stderr
    agent.given_up = []
    alone = ask("abandon", "report", "--reason", "x")
    assert (alone.exit_code, alone.stdout) == (1, "")
    assert "To skip it: hostagent pause report, then hostagent resume report" in alone.stderr
    assert ask("abandon", "report", "--reason", "x", "--json").exit_code == 1
    agent.fresh = []
    assert ask("abandon", "--all", "--reason", "x").output == "nothing of all jobs is held\n"


def test_only_what_is_older_can_be_given_up(agent: Agent) -> None:
    """A span, counted back from now."""
    assert ask("abandon", "--all", "--older-than", "nonsense", "--reason", "x").exit_code != 0
    ask("abandon", "--all", "--older-than", "2h", "--reason", "x")
    ((_, name, before, _),) = agent.asked
    assert name == ""
    assert before
