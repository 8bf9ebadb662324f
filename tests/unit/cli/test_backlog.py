"""The backlog's commands, over the agent's real socket (cli.backlog)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner, Result

from hostagent.agent import server
from hostagent.agent.interface import Abandoned, Backfilling, Backlog, Held, Service, StormFact
from hostagent.cli import backlog
from hostagent.host import paths as places
from hostagent.host.paths import Paths

LONG_AGO = "2026-11-21T02:00:00Z"


class Agent:
    """Holds one run, and writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.is_over = False

    async def backlog(self) -> Backlog:
        """One is held."""
        held = Held(
            name="report@eu",
            due=LONG_AGO,
            covers=3,
            since=LONG_AGO,
            lost=LONG_AGO,
            reason="held: level 1",
        )
        return Backlog(
            settles="settle = 1min",
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

    async def release(self, _: object, job: str) -> list[str]:
        """Noted."""
        self.asked.append(("release", job))
        return ["report@eu"] if job else []

    async def abandon(self, _: object, *args: object) -> list[Abandoned]:
        """Noted."""
        self.asked.append(("abandon", *args))
        return [Abandoned(name="report@eu", count=3)]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """Up, where the commands look for it."""
    paths: Paths = places.system(tmp_path)
    paths.socket.parent.mkdir(parents=True)
    monkeypatch.setattr(backlog, "paths_of", lambda *, user: paths)
    loop, up, ending, one = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), Agent()

    async def serve() -> None:
        listener = server.listening_socket(paths.socket, None)
        serving = server.Server(listener, cast("Service", one))
        serving.start()
        up.set()
        await ending.wait()
        serving.close()
        listener.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    up.wait()
    yield one
    loop.call_soon_threadsafe(ending.set)
    thread.join()
    loop.close()


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
        ("release", "report"),
        ("release", ""),
        ("abandon", "report", None, "too old"),
    ]


def test_only_what_is_older_can_be_given_up(agent: Agent) -> None:
    """A span, counted back from now."""
    assert ask("abandon", "--all", "--older-than", "nonsense", "--reason", "x").exit_code != 0
    ask("abandon", "--all", "--older-than", "2h", "--reason", "x")
    ((_, name, before, _),) = agent.asked
    assert name == ""
    assert before
