"""Blocking collaborators beside the event loop: each on one thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, ParamSpec, TypeVar

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

CLOSE_S = 3.0
"""How long a call under way may take when the thread is to end."""


class Offloaded(Generic[T]):
    """Calls to ``it`` happen one after the other on one thread; the loop goes on meanwhile.

    ``calls`` counts them. The thread never keeps the process alive: a call may hang for ever.
    """

    def __init__(self, it: T, name: str) -> None:
        self.it = it
        self.calls = 0
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], None]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def call(self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await ``method(*args)`` on the thread. Raises what it raises.

        Who stops waiting has its call undone if it has not begun; else it goes on.
        """
        self.calls += 1
        future: Future[R] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = method(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 -- it is the caller's
                future.set_exception(error)
            else:
                future.set_result(result)

        self._work.put((future, work))
        return await asyncio.wrap_future(future)

    def close(self) -> bool:
        """End the thread; whether it has ended. A call that hangs is left to itself.

        Calls that wait are cancelled.
        """
        with contextlib.suppress(Empty):
            while waiting := self._work.get_nowait():
                waiting[0].cancel()
        self._work.put(None)
        self._thread.join(CLOSE_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (waiting := self._work.get()) is not None:
            waiting[1]()
