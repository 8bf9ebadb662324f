"""Command and agent of two ages: over the agent's real socket, with another's interface."""

# ruff: noqa: N802 -- Varlink methods are written LikeThis

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

import pytest
from asyncvarlink import VarlinkInterface, varlinkmethod

from hostagent import __version__
from hostagent.agent import server
from hostagent.agent.interface import NAME, NotPossible, Service
from hostagent.cli.client import NoAgent, call
from hostagent.errors import RefusedError
from hostagent.host import paths as places
from hostagent.host.paths import Paths

RESTART = "systemctl restart hostagent"


class Other(TypedDict):
    """A status as another version says it."""

    host: str
    mood: str


class OtherInterface(VarlinkInterface, name=NAME):
    """Of an agent that knows other things."""

    def __init__(self, *_: object) -> None:
        """Whoever calls."""

    @varlinkmethod
    async def Status(self) -> Other:
        """With a field more, and without most of ours."""
        return Other(host="one", mood="good")

    @varlinkmethod
    async def Reload(self) -> None:
        """No."""
        raise NotPossible(reason="not now")

    @varlinkmethod(return_parameter="was_paused")
    async def Resume(self, *, name: str) -> bool:
        """With a parameter less."""
        return bool(name)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Of a system below this directory."""
    found = places.system(tmp_path)
    Path(found.socket).parent.mkdir(parents=True)
    return found


@pytest.fixture
def agent(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The agent of another version, up."""
    monkeypatch.setattr(server, "AgentInterface", OtherInterface)
    monkeypatch.setattr(server, "__version__", "0.0.9")
    loop, up = asyncio.new_event_loop(), threading.Event()
    ending = asyncio.Event()

    async def serve() -> None:
        listener = server.listening_socket(paths.socket, None)
        one = server.Server(listener, cast("Service", None))
        one.start()
        up.set()
        await ending.wait()
        one.close()
        listener.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    up.wait()
    yield
    loop.call_soon_threadsafe(ending.set)
    thread.join()
    loop.close()


def test_what_a_newer_agent_says_besides_is_let_pass(paths: Paths, agent: None) -> None:
    """A field that is not known here is no error."""
    assert call(paths, lambda proxy: proxy.Status())["host"] == "one"


def test_what_an_older_agent_does_not_say_is_told_as_that(paths: Paths, agent: None) -> None:
    """Not before it is needed, with both versions and what to do."""
    told = call(paths, lambda proxy: proxy.Status())
    with pytest.raises(RefusedError, match=r"0\.0\.9.* does not say barred") as raised:
        told["barred"]
    assert f"this is hostagent {__version__}" in raised.value.message
    assert raised.value.hint == RESTART


def test_a_call_that_the_agent_does_not_know_is_told_as_that(paths: Paths, agent: None) -> None:
    """A method, or a parameter of one."""
    with pytest.raises(RefusedError, match=r"0\.0\.9.* does not know this .*Drain") as raised:
        call(paths, lambda proxy: proxy.Drain(drains=True))
    assert raised.value.hint == RESTART
    with pytest.raises(RefusedError, match="does not know this") as raised:
        call(paths, lambda proxy: proxy.Resume(target="job", name="a"))
    assert raised.value.hint == RESTART


def test_a_no_is_the_agent_s_sentence(paths: Paths, agent: None) -> None:
    """Whatever version says it."""
    with pytest.raises(RefusedError) as raised:
        call(paths, lambda proxy: proxy.Reload())
    assert raised.value.message == "not now"


def test_nobody_at_the_socket_is_no_agent(paths: Paths) -> None:
    """With the command that starts one."""
    with pytest.raises(NoAgent) as raised:
        call(paths, lambda proxy: proxy.Status())
    assert raised.value.hint == "systemctl start hostagent"
