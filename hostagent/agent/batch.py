"""Calls that come while one of their kind is under way go together in the next.

A pulse of a thousand occurrences is then a few transactions of the store, and a single one waits
for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Batch(Generic[A, B]):
    """``call`` takes many and answers each, in order; what it raises, all of them get."""

    def __init__(self, call: Callable[[Sequence[A]], Awaitable[Sequence[B]]]) -> None:
        self._call = call
        self._waiting: list[tuple[A, asyncio.Future[B]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def ask(self, one: A) -> B:
        """The answer to one."""
        answer: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, answer))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                answers = await self._call([one for one, _ in asked])
            except Exception as error:  # noqa: BLE001 -- it is whoever asked who handles it
                for _, waiter in asked:
                    if not waiter.done():
                        waiter.set_exception(error)
                continue
            for (_, waiter), answer in zip(asked, answers, strict=True):
                if not waiter.done():
                    waiter.set_result(answer)
