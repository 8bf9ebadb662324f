"""The command that watches the host, on a real terminal and over the agent's real socket."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostagent.agent.interface import Activity, Backlog, Status
from hostagent.cli import client
from hostagent.cli.top import top
from hostagent.errors import InputError, RefusedError
from hostagent.host.paths import Paths
from tests import answers
from tests.unit.cli.conftest import asked

CHECKOUT = Path(__file__).parents[3]
OTHER_SCREEN, FIRST_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


PATIENCE_S = 60


class Agent:
    """Runs one job, and holds one."""

    async def status(self) -> Status:
        return answers.status(host="one")

    async def going(self) -> Activity:
        return answers.going(runs=[answers.using(run_id="import.20261121T020000Z")])

    async def backlog(self) -> Backlog:
        return answers.backlog(held=[answers.held("report", reason="held: level 1 is used up")])


@pytest.fixture
def agent(paths: Paths) -> Iterator[None]:
    """Up, where the commands look for it."""
    paths.socket.parent.mkdir(parents=True)
    with answers.served(paths, Agent()):
        yield


class Terminal:
    """A terminal on which ``hostagent top`` runs."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(24, 80)
        self.before = termios.tcgetattr(theirs)
        environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(CHECKOUT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hostagent", "top", "--user", "--interval", "1h"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={k: v for k, v in environment.items() if k not in {"COLUMNS", "LINES"}},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 -- no threads
        )
        self._theirs = theirs
        self.shown = b""

    def resize(self, lines: int, columns: int) -> None:
        """The kernel tells who runs in front."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, *texts: bytes) -> bytes:
        """What was shown since it was asked last, up to all of these."""
        while not all(text in self.shown for text in texts):
            assert select.select([self._ours], [], [], PATIENCE_S)[0], (texts, self.shown)
            self.shown += os.read(self._ours, 65536)
        shown, self.shown = self.shown, b""
        return shown

    def press(self, keys: bytes) -> None:
        """As a person does."""
        os.write(self._ours, keys)

    def left(self) -> int:
        """The exit code; the terminal must be as it was."""
        self.wait_for(FIRST_SCREEN)
        code = self.process.wait()
        assert termios.tcgetattr(self._theirs) == self.before
        return code


@pytest.fixture
def terminal(agent: None) -> Iterator[Terminal]:
    """With the first picture."""
    one = Terminal()
    try:
        shown = one.wait_for(b"import.20261121T020000Z", b"level 1 is used up")
        assert OTHER_SCREEN in shown
        yield one
    finally:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize(
    "way", ["q", "ctrl-c", signal.SIGTERM], ids=lambda way: getattr(way, "name", way)
)
def test_however_one_leaves_the_terminal_is_as_it_was(terminal: Terminal, way: Any) -> None:
    """And to leave is no error."""
    if isinstance(way, signal.Signals):
        terminal.process.send_signal(way)
    else:
        terminal.press({"q": b"q", "ctrl-c": b"\x03"}[way])
    assert terminal.left() == 0


def test_it_is_drawn_anew_where_the_terminal_gets_another_size(terminal: Terminal) -> None:
    """At once, not with the next picture; and again after a ctrl-z, which gives the screen back."""
    terminal.resize(9, 40)
    assert b"and 1 more" in terminal.wait_for(b"and 1 more")
    terminal.press(b"\x1a")
    terminal.wait_for(FIRST_SCREEN)
    os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED)
    assert termios.tcgetattr(terminal._theirs) == terminal.before
    terminal.process.send_signal(signal.SIGCONT)
    terminal.wait_for(OTHER_SCREEN, b"and 1 more")
    terminal.press(b"q")
    assert terminal.left() == 0


def test_where_it_is_piped_it_is_one_picture(agent: None) -> None:
    """Without colours and not cut; or JSON."""
    shown = asked(top).output
    assert shown.startswith("one: 1 job of generation 1, ")
    assert "level 1 is used up" in shown
    assert "\x1b" not in shown
    told = json.loads(asked(top, "--json").output)
    assert told["runs"][0]["run_id"] == "import.20261121T020000Z"
    assert told["held"][0]["reason"] == "held: level 1 is used up"
    assert told["kernel"].keys() == {"cpu", "memory", "io", "load", "in_memory"}


def test_an_agent_that_does_not_answer_is_told(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for its store, or stand still."""

    class Silent(Agent):
        async def going(self) -> Activity:
            await asyncio.sleep(3600)
            return await super().going()

    paths.socket.parent.mkdir(parents=True)
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    with answers.served(paths, Silent()):
        refused = asked(top).exception
    assert isinstance(refused, RefusedError)
    assert refused.hint == "systemctl --user status hostagent"


@pytest.mark.parametrize("wrong", ["soon", "0.5s", "-1"])
def test_an_interval_is_a_span_of_a_second_at_least(paths: Paths, wrong: str) -> None:
    """Anything else is bad input, before an agent is asked."""
    refused = asked(top, "--interval", wrong).exception
    assert isinstance(refused, InputError)
    assert refused.hint == "write 2s"
