"""The store that hosts share may be away, or hang: nobody waits for it for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from hostagent.agent.cluster import Cluster
from hostagent.agent.offload import Offloaded
from hostagent.agent.shared import UNREACHED, Line, Shared, lazily
from hostagent.errors import StoreUnavailable
from hostagent.store.port import Store

SHORT = timedelta(milliseconds=50)


class Stub:
    """A store of one method. ``gate`` is what a call waits for."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.is_away = False
        self.is_closed = False

    def now(self) -> str:
        """What a call comes to."""
        self.gate.wait()
        if self.is_away:
            raise StoreUnavailable("gone")
        return "now"

    def close(self) -> None:
        """Noted."""
        self.is_closed = True


def opened(stub: Stub) -> Callable[[], Store]:
    """How it is opened."""
    return lambda: cast("Store", stub)


def ask(line: Line) -> Any:
    """One call."""
    return asyncio.run(line.call(line.it.now))


def test_a_call_that_hangs_is_not_waited_for() -> None:
    """The caller is told in time; once the store answers, the next call is heard."""
    stub = Stub()
    line = Line(lazily(opened(stub), "line"), SHORT)
    with pytest.raises(StoreUnavailable, match=r"no answer within 0\.05 s"):
        ask(line)
    stub.gate.set()
    assert ask(line) == "now"
    assert line.close()
    assert stub.is_closed


def test_a_line_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent stops although a call never ends."""
    monkeypatch.setattr("hostagent.agent.offload.CLOSE_S", 0.05)
    stub = Stub()
    line = Line(lazily(opened(stub), "line"), SHORT)
    with pytest.raises(StoreUnavailable):
        ask(line)
    assert not line.close()
    assert not stub.is_closed, "a thread is in it"
    stub.gate.set()


def test_it_is_opened_when_it_is_there() -> None:
    """An agent starts without it, and tries again with each call."""
    stub, tries = Stub(), iter([StoreUnavailable("not mounted"), None])
    stub.gate.set()

    def opener() -> Store:
        if error := next(tries):
            raise error
        return cast("Store", stub)

    line = Line(lazily(opener, "line"), SHORT)
    with pytest.raises(StoreUnavailable, match="not mounted"):
        ask(line)
    assert ask(line) == "now"
    assert ask(line) == "now"
    line.close()


def test_what_is_not_reached_is_not_asked() -> None:
    """After one failure all are told at once, until a beat says that it is back."""
    stub, cluster = Stub(), Cluster("one", ttl=timedelta(seconds=15), is_reached=True)
    stub.gate.set()
    shared = Shared(lazily(opened(stub), "store"), cluster)
    assert ask(shared) == "now"
    stub.is_away = True
    with pytest.raises(StoreUnavailable, match="gone"):
        ask(shared)
    stub.is_away = False
    with pytest.raises(StoreUnavailable, match=UNREACHED):
        ask(shared)
    cluster.is_reached = True
    assert ask(shared) == "now"
    shared.close()


def test_who_waits_is_told_when_a_beat_failed() -> None:
    """Not at the end of its own patience; and who is cancelled itself is not told that."""
    stub, cluster = Stub(), Cluster("one", ttl=timedelta(seconds=15), is_reached=True)
    shared = Shared(lazily(opened(stub), "store"), cluster)

    async def all_of_it() -> None:
        first, second = (asyncio.create_task(shared.call(shared.it.now)) for _ in range(2))
        await asyncio.sleep(0.01)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        cluster.is_reached = False
        shared.give_up()
        with pytest.raises(StoreUnavailable, match=UNREACHED):
            await first

    asyncio.run(all_of_it())
    stub.gate.set()
    shared.close()


def test_calls_are_made_one_after_the_other_and_counted() -> None:
    """Whoever gives up before its turn has its call undone."""
    made: list[int] = []
    gate = threading.Event()

    def call(number: int) -> int:
        gate.wait()
        made.append(number)
        return number

    async def all_of_it() -> None:
        offloaded = Offloaded[None](None, "thread")
        first, second, third = (
            asyncio.create_task(offloaded.call(call, number)) for number in range(3)
        )
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.set()
        assert (await first, await third) == (0, 2)
        assert offloaded.calls == 3
        with pytest.raises(ZeroDivisionError):
            await offloaded.call(lambda: 1 // 0)
        began = time.monotonic()
        assert offloaded.close()
        assert time.monotonic() - began < 1

    asyncio.run(all_of_it())
    assert made == [0, 2]
