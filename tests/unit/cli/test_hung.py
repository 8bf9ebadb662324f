"""A run that stands still is shown as hung? wherever runs are, over the agent's real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hostagent.agent.interface import Status
from hostagent.cli import cluster, runs, why
from hostagent.host import paths as places
from hostagent.host.identity import host_name
from hostagent.host.paths import Paths
from hostagent.store.sqlite.engine import SqliteStore
from tests import answers
from tests.contract.store.builders import claimed, finish, job, t, want

REASON = "has used no CPU time and no I/O, and has printed nothing, for 7min"
SINCE = "2025-03-01T00:00:05Z"
STILL, BUSY, OVER = (f"{name}.20250301T000001Z" for name in ("still", "busy", "over"))
SENTENCE = f"{REASON}, since 2025-03-01 00:00:05Z"


class Agent:
    """Has a mark on one run, and another on one that has ended by now."""

    asked = 0

    async def status(self) -> Status:
        """As the agent's own."""
        self.asked += 1
        return answers.status(
            running=[STILL, BUSY],
            hung=[STILL, OVER],
            hung_since=[SINCE, SINCE],
            hung_because=[REASON, REASON],
        )


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """A host whose ledger has two runs that go on, and one that has ended."""
    found: Paths = places.system(tmp_path)
    found.socket.parent.mkdir(parents=True)
    file = Path(found.store_url.removeprefix("sqlite://"))
    file.parent.mkdir(parents=True)
    with closing(SqliteStore(file)) as store:
        names = ("still", "busy", "over")
        store.register([job(name) for name in names], [], t(0), remove_others=False)
        session = store.open_session(host_name(), "boot")
        for name in names:
            run = claimed(store, session, want(1, name, invocation=name))
            if name == "over":
                store.finish([finish(run)])
    for module in (runs, why, cluster):
        monkeypatch.setattr(module, "paths_of", lambda *, user: found)
    return found


@pytest.fixture
def agent(paths: Paths) -> Iterator[Agent]:
    """Up, where the commands look for it."""
    one = Agent()
    with answers.served(paths, one):
        yield one


def states(text: str) -> dict[str, str]:
    """OUTCOME by run, of ``hostagent runs``."""
    return dict(line.split()[:2] for line in text.splitlines()[1:])


def rows(text: str) -> dict[str, dict[str, Any]]:
    """The rows of ``hostagent runs --json``, by run."""
    return {row["run_id"]: row for row in json.loads(text)}


@pytest.mark.usefixtures("agent")
def test_runs_shows_the_mark_in_place_of_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the run that goes on, with the evidence; what has ended keeps its outcome."""
    runs.runs(outcome=None, since=None, limit=20)
    text = capsys.readouterr().out
    assert states(text) == {STILL: "hung?", BUSY: "running", OVER: "succeeded"}
    assert text.count(SENTENCE) == 1


@pytest.mark.usefixtures("agent")
def test_scripts_find_it_beside_the_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    """Which stays null: it is a mark, no outcome."""
    runs.runs(outcome=None, since=None, limit=20, as_json=True)
    found = rows(capsys.readouterr().out)
    assert [found[STILL][key] for key in ("outcome", "hung_since", "hung_because")] == [
        None,
        SINCE,
        REASON,
    ]
    for run in (BUSY, OVER):
        assert (found[run]["hung_since"], found[run]["hung_because"]) == (None, None)


@pytest.mark.usefixtures("agent")
def test_why_tells_since_when_and_that_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """And where to look next."""
    why.why(STILL, at=None)
    first, *sentences = capsys.readouterr().out.splitlines()
    assert first == f"{STILL}  hung?"
    assert sentences[-2:] == [
        f"  it {SENTENCE}; it may hang, or wait: it is not stopped for that",
        f"  what it printed: hostagent logs {STILL}",
    ]
    why.why(BUSY, at=None)
    assert capsys.readouterr().out.startswith(f"{BUSY}  running\n")


@pytest.mark.usefixtures("agent")
def test_status_has_one_line_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Marked or not."""
    cluster.status(cluster=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [f"  hung?    {STILL}: {SENTENCE}", f"  running  {BUSY}"]


def test_nobody_is_asked_about_what_has_ended(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ledger of old runs is read without an agent."""
    runs.runs(outcome=["succeeded"], since=None, limit=20)
    why.why(OVER, at=None)
    assert "succeeded" in capsys.readouterr().out
    assert agent.asked == 0


def test_without_an_agent_the_ledger_is_shown(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    """What runs is running, for all that is known."""
    assert not paths.socket.exists()
    runs.runs(outcome=None, since=None, limit=20)
    assert states(capsys.readouterr().out)[STILL] == "running"
