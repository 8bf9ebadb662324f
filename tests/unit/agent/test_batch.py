"""Calls that go together (hostagent.agent.batch)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from hostagent.agent.batch import Batch


def test_what_comes_meanwhile_goes_together() -> None:
    """The first goes alone and at once, the others in one call; each gets its own answer."""
    calls: list[list[int]] = []

    async def double(many: Sequence[int]) -> list[int]:
        calls.append(list(many))
        await asyncio.sleep(0)
        return [2 * one for one in many]

    async def ask() -> list[int]:
        batch = Batch(double)
        first = asyncio.create_task(batch.ask(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = await asyncio.gather(*(batch.ask(number) for number in (2, 3, 4)))
        return [await first, *rest]

    assert asyncio.run(ask()) == [2, 4, 6, 8]
    assert calls == [[1], [2, 3, 4]]


def test_an_error_is_everybodys_and_the_next_call_is_another() -> None:
    """Nobody waits for an answer that never comes."""
    failing = [True]

    async def once_broken(many: Sequence[int]) -> Sequence[int]:
        if failing:
            failing.pop()
            raise ValueError("away")
        return many

    async def ask() -> list[int | BaseException]:
        batch = Batch(once_broken)
        broken = await asyncio.gather(batch.ask(1), batch.ask(2), return_exceptions=True)
        return [*broken, await batch.ask(3)]

    first, second, third = asyncio.run(ask())
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)
    assert third == 3


def test_who_gives_up_holds_up_nobody() -> None:
    """A caller that was cancelled takes its answer with it, and the others get theirs."""

    async def slow(many: Sequence[int]) -> Sequence[int]:
        await asyncio.sleep(0.01)
        return many

    async def ask() -> int:
        batch = Batch(slow)
        given_up = asyncio.create_task(batch.ask(1))
        kept = asyncio.create_task(batch.ask(2))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        return await kept

    assert asyncio.run(ask()) == 2
