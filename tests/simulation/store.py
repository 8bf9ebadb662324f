"""The store of a simulated cluster: the real SQLite engine, and the lines that lead to it.

The engine is the product's. What is simulated is the way to it: each host's calls take a moment,
hang, come late, are turned away, or are carried out and never answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, Generic, ParamSpec, TypeVar

from hostagent.agent.offload import Offloaded
from hostagent.errors import StoreUnavailable
from hostagent.store.port import Accepted, Refused, Settlement
from hostagent.store.sqlite.connection import Connection
from hostagent.store.sqlite.engine import SqliteStore
from tests.simulation.clocks import instant
from tests.simulation.loop import Process, VirtualLoop

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

AFTER = 60_000_000
"""How long what was due by the store's clock may still start after that was set back."""


@dataclass(slots=True)
class StoreClock:
    """The store's clock: so many microseconds ahead of true time."""

    loop: VirtualLoop
    offset: int = 0
    _latest: int = 0
    _stepped_at: int = 0

    @property
    def micros(self) -> int:
        """Its time, in microseconds since the epoch."""
        return self.loop.true_now + self.offset

    @property
    def latest(self) -> int:
        """The same; for ``AFTER`` a step, the time from before it, if that was later."""
        is_recent = self.loop.now - self._stepped_at < AFTER
        return max(self._latest, self.micros) if is_recent else self.micros

    def step(self, offset: int) -> None:
        """It is set."""
        self._latest, self._stepped_at = self.micros, self.loop.now
        self.offset = offset


class SharedStore(SqliteStore):
    """The engine as several hosts use it. In memory there is nothing to be durable for."""

    is_shared = True

    def __init__(self, path: Path, clock: StoreClock, rnd: Random) -> None:
        super().__init__(path, clock=lambda: instant(clock.micros))
        self._new_id = lambda: f"{rnd.getrandbits(128):032x}"
        self.early: list[str] = []
        _hasten(self)

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """See the port. Whatever is settled must have been due."""
        answers = super().settle(settlements)
        for one, answer in zip(settlements, answers, strict=True):
            if isinstance(answer, Accepted) and one.last > self.now():
                self.early.append(f"{one.host} settles {one.job} of {one.last}: {one.reason}")
        return answers

    def leap(self, by: int) -> None:
        """Idle time was skipped: every session was renewed as before."""
        sql = "UPDATE session SET expires_at=expires_at+? WHERE state=0"
        self._db.change(lambda db: db.execute(sql, (by,)))


class OwnLedger(SqliteStore):
    """A host's own."""

    def __init__(self, path: Path, clock: Callable[[], datetime], rnd: Random) -> None:
        super().__init__(path, clock=clock)
        self._new_id = lambda: f"{rnd.getrandbits(128):032x}"
        _hasten(self)


def _hasten(store: SqliteStore) -> None:
    connection = store._db
    assert isinstance(connection, Connection)
    for setting in ("locking_mode=EXCLUSIVE", "journal_mode=MEMORY", "synchronous=OFF"):
        connection._db.execute(f"PRAGMA {setting}")


class Weather(Enum):
    """What becomes of a host's calls to the store."""

    FAIR = "fair"
    SLOW = "slow"  # seconds, before or after they are carried out
    CUT = "cut"  # not carried out: an error at once, or after a while
    MUTE = "mute"  # carried out, or not; the answer is an error


@dataclass(slots=True)
class Link:
    """A host's way to the store, shared by its connections."""

    rnd: Random
    weather: Weather = Weather.FAIR
    is_store_down: bool = False

    @property
    def is_fair(self) -> bool:
        """Nothing stands in the way."""
        return self.weather is Weather.FAIR and not self.is_store_down

    def fate(self) -> Fate:
        """What becomes of the next call."""
        rnd = self.rnd
        if self.is_store_down:
            return Fate(rnd.choice((0.002, 1.0, 5.0)), is_done=False, is_answered=False)
        match self.weather:
            case Weather.FAIR:
                return Fate(0.0003 + rnd.random() * 0.002)
            case Weather.SLOW:
                return Fate(rnd.random() * 4, rnd.random() * 4)
            case Weather.CUT:
                pause = rnd.choice((0.002, 3.0, 5.0))
                return Fate(pause, is_done=False, is_answered=False)
            case Weather.MUTE:
                is_done = rnd.random() < 0.7
                return Fate(0.01, rnd.random() * 5, is_done=is_done, is_answered=False)


@dataclass(frozen=True, slots=True)
class Fate:
    """Seconds until a call is carried out, and from then on to its answer."""

    before_s: float
    after_s: float = 0.0
    is_done: bool = True
    is_answered: bool = True


@dataclass(slots=True)
class _Call:
    work: Callable[[], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = field(default=None)


class Line(Offloaded[T], Generic[T]):
    """``Offloaded`` without a thread: one call after the other, each with its fate.

    A call that was sent is carried out even if its process is dead by then, or nobody waits.
    """

    def __init__(
        self, it: T, loop: VirtualLoop, process: Process, fate: Callable[[], Fate]
    ) -> None:
        self.it = it
        self.calls = 0
        self._loop = loop
        self._process = process
        self._fate = fate
        self._waiting: deque[_Call] = deque()
        self._is_busy = False
        self._outside = Process(loop, "the network")

    async def call(self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """See ``Offloaded``."""
        self.calls += 1
        future: asyncio.Future[R] = self._loop.create_future()
        self._waiting.append(_Call(lambda: method(*args, **kwargs), future))
        if not self._is_busy:
            self._send()
        return await future

    def close(self) -> bool:
        """There is no thread to end."""
        return True

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way."""
        return not self._is_busy

    def _send(self) -> None:
        while self._waiting and self._waiting[0].future.cancelled():
            self._waiting.popleft()
        self._is_busy = bool(self._waiting)
        if self._is_busy:
            fate, one = self._fate(), self._waiting.popleft()
            self._outside.later(fate.before_s, self._carry_out, one, fate)

    def _carry_out(self, one: _Call, fate: Fate) -> None:
        if fate.is_done:
            try:
                one.result = one.work()
            except Exception as error:  # noqa: BLE001 -- it is the caller's
                one.error = error
        if not fate.is_answered:
            one.error = StoreUnavailable("the store does not answer")
        if fate.after_s:
            self._outside.later(fate.after_s, self._answer, one)
        else:
            self._answer(one)

    def _answer(self, one: _Call) -> None:
        """The process goes on with it when it can."""
        if self._process.is_frozen or self._process.is_dead:
            self._process.soon(self._answer, one)
            return
        if not one.future.done():
            if one.error is not None:
                one.future.set_exception(one.error)
            else:
                one.future.set_result(one.result)
        self._send()


def at_once(rnd: Random) -> Callable[[], Fate]:
    """The fate of calls to PID 1: a moment."""
    return lambda: Fate(0.0002 + rnd.random() * 0.001)
