"""Blocking collaborators beside the event loop: each on one thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Offloaded(Generic[T]):
    """Calls to ``it`` happen one after the other on one thread; the loop goes on meanwhile."""

    def __init__(self, it: T, name: str) -> None:
        self.it = it
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def call(self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Await ``method(*args)`` on the thread. Raises what it raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: method(*args, **kwargs))

    def close(self) -> None:
        """Wait for the call under way, then end the thread; calls that wait are cancelled."""
        self._thread.shutdown(cancel_futures=True)
