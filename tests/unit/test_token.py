"""What a job is told about its token, whatever the agent says or does not say (hostagent.token)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hostagent import token

YES = b'{"parameters":{"holds":true}}\0'
NO = b'{"parameters":{"holds":false}}\0'


@dataclass
class Agent:
    """An agent that gives each caller the same reply. None: it takes the call and is silent."""

    reply: bytes | None = YES
    asked: list[dict[str, Any]] = field(default_factory=list)
    silent: list[socket.socket] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        while True:
            try:
                channel, _ = listener.accept()
            except OSError:
                return
            self.asked.append(json.loads(channel.recv(65536)[:-1]))
            if self.reply is None:
                self.silent.append(channel)
                continue
            channel.sendall(self.reply)
            channel.close()


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent at the socket of a run with token 7."""
    path = tmp_path / "socket"
    values = {"JOB": "backup", "SCOPE": "orders", "TOKEN": "7", "SOCKET": str(path)}
    for name, value in values.items():
        monkeypatch.setenv(f"HOSTAGENT_{name}", value)
    one = Agent()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=one.serve, args=(listener,))
        thread.start()
        yield one
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for channel in one.silent:
        channel.close()


def test_the_run_that_asks_is_known_by_its_environment(agent: Agent) -> None:
    """A yes is true, and nothing is said."""
    assert token.check() is True
    assert token.main() == 0
    parameters = {"job": "backup", "scope": "orders", "token": 7}
    assert agent.asked == [{"method": "io.hostagent.Agent.Holds", "parameters": parameters}] * 2


def test_another_run_can_be_asked_about(agent: Agent) -> None:
    """The scope of the environment is not that of another job."""
    assert token.check("other", 8)
    assert token.check("other", 8, "customers")
    told = [call["parameters"] for call in agent.asked]
    assert told == [
        {"job": "other", "scope": "", "token": 8},
        {"job": "other", "scope": "customers", "token": 8},
    ]


def test_a_no_is_said(agent: Agent, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, and a sentence for the job's journal."""
    agent.reply = NO
    assert token.main() == 1
    told = "hostagent: token 7 of backup@orders is not the holder's (any more)\n"
    assert capsys.readouterr().err == told


NO_ANSWERS = {
    b"": "it hung up",
    b'{"parameters":{"holds":tr': "it hung up",
    b'{"error":"org.varlink.service.MethodNotFound","parameters":{}}\0': "is no answer",
    b'{"parameters":[]}\0': "is no answer",
    b"null\0": "is no answer",
    b"\xff\0": "is no answer",
}


@pytest.mark.parametrize("reply", NO_ANSWERS)
def test_whatever_is_no_answer_is_a_no(
    reply: bytes, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent of another version, one that breaks off, one that is none."""
    agent.reply = reply
    assert token.check() is False
    told = capsys.readouterr().err
    assert NO_ANSWERS[reply] in told
    assert told.endswith("; taken for a no\n")


@pytest.mark.parametrize("value", ["1", '"true"', "[true]", "null"])
def test_only_true_is_a_yes(value: str, agent: Agent) -> None:
    """Not whatever Python takes for true."""
    agent.reply = b'{"parameters":{"holds":%b}}\0' % value.encode()
    assert token.check() is False


def test_an_agent_that_hangs_is_waited_for_no_longer_than_said(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second here, five in earnest."""
    monkeypatch.setattr(token, "TIMEOUT_S", 1)
    agent.reply = None
    assert token.check() is False
    assert "does not answer within 1 s; taken for a no" in capsys.readouterr().err


def test_without_an_agent_the_answer_is_no(
    agent: Agent,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nobody can tell."""
    monkeypatch.setenv("HOSTAGENT_SOCKET", str(tmp_path / "nothing"))
    assert token.check() is False
    assert "the agent does not answer: No such file or directory" in capsys.readouterr().err
    assert agent.asked == []


@pytest.mark.parametrize("missing", ["HOSTAGENT_JOB", "HOSTAGENT_TOKEN"])
def test_outside_a_run_the_answer_is_no(
    missing: str,
    agent: Agent,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is no token that anybody could hold."""
    monkeypatch.delenv(missing)
    assert token.check() is False
    assert f"{missing} is not set: this is no run of a job" in capsys.readouterr().err
    monkeypatch.setenv(missing, "x")
    assert token.check() is (missing == "HOSTAGENT_JOB")


def test_the_module_stands_alone() -> None:
    """It can be copied beside a job: no import of hostagent, none from outside Python."""
    source = Path(token.__file__).read_text()
    imports = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert imports == [
        "from __future__ import annotations",
        "import json",
        "import os",
        "import socket",
        "import struct",
        "import sys",
    ]
