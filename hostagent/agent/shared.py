"""The store that hosts share, as one of them reaches it: it may be away, slow, or hang.

It is opened when it is first asked, on the thread that asks, and again if that failed. No call is
waited for longer than its patience; and once one had no answer, none is tried until a beat had.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, cast

from hostagent.agent.cluster import Cluster
from hostagent.agent.offload import Offloaded
from hostagent.errors import StoreUnavailable
from hostagent.store.port import DEFAULT_BUSY, Store

R = TypeVar("R")
P = ParamSpec("P")

UNREACHED = "the store is not reached: waiting; see: hostagent doctor"

PATIENCE = DEFAULT_BUSY + timedelta(seconds=2)
"""An engine waits for others for so long by itself; whoever asks for admission waits longer."""


class _Lazy:
    """A store that is opened by the first call; by each, until it is open."""

    def __init__(self, opener: Callable[[], Store]) -> None:
        self._opener = opener
        self._store: Store | None = None

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if self._store is None:
                self._store = self._opener()
            result: object = getattr(self._store, name)(*args, **kwargs)
            return result

        return call

    def close(self) -> None:
        """Close it if it is open."""
        if self._store is not None:
            self._store.close()


def lazily(opener: Callable[[], Store], name: str) -> Offloaded[Store]:
    """A thread of its own for a store that is opened when it is first asked."""
    return Offloaded(cast("Store", _Lazy(opener)), name)


class Line(Offloaded[Store]):
    """A connection to the shared store; no call of it is waited for longer than ``patience``."""

    def __init__(self, line: Offloaded[Store], patience: timedelta) -> None:
        # Not Offloaded's: the thread is the line's.
        self.it = line.it
        self._line = line
        self._patience_s = patience.total_seconds()

    async def call(self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As ``Offloaded.call``.

        Raises:
            StoreUnavailable: there was no answer in time; whether it was done is not known.
        """
        try:
            work = self._line.call(method, *args, **kwargs)
            return await asyncio.wait_for(work, self._patience_s)
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {self._patience_s:g} s") from error

    def close(self) -> bool:
        """End the thread, and the connection if nothing hangs."""
        has_ended = self._line.close()
        if has_ended:
            self.it.close()
        return has_ended


class Shared(Line):
    """The connection for all but beats, whose success says that the store is reached."""

    def __init__(self, line: Offloaded[Store], cluster: Cluster) -> None:
        super().__init__(line, PATIENCE)
        self._cluster = cluster
        self._waiting: set[asyncio.Future[Any]] = set()

    async def call(self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """As ``Line.call``, but nothing is tried while the store is not reached."""
        if not self._cluster.is_reached:
            raise StoreUnavailable(UNREACHED)
        work = asyncio.ensure_future(super().call(method, *args, **kwargs))
        self._waiting.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            if work.cancelled() and not _is_cancelled():
                raise StoreUnavailable(UNREACHED) from None
            raise
        except StoreUnavailable:
            self._cluster.is_reached = False
            raise
        finally:
            self._waiting.discard(work)

    def give_up(self) -> None:
        """The store is not reached: whoever waits is told now."""
        for work in self._waiting:
            work.cancel()


def _is_cancelled() -> bool:
    """Whether the caller itself is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
