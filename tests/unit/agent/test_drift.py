"""When an agent has it looked whether the units are as applied, and what it makes of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import pytest

from hostagent.agent.tell import drift
from hostagent.agent.tell.drift import Drift
from hostagent.agent.world import World
from hostagent.host import paths
from hostagent.systemd.beside import Done


class Looks:
    """PID 1, which runs the program that looks: ``answers`` in turn, then it is as applied."""

    def __init__(self, *answers: Done) -> None:
        self.paths = paths.system()
        self.asked: list[Sequence[str]] = []
        self.found: list[str | None] = []
        self.drift = Drift(cast("World", self), lambda: self.found.append(self.drift.found))
        self.during: Callable[[], None] = lambda: None
        self._answers = list(answers)

    async def beside(self, command: Sequence[str], _: bytes, **__: object) -> Done:
        self.asked.append(command)
        self.during()
        return self._answers.pop(0) if self._answers else Done(0, "")

    async def until(self, what: Callable[[], bool]) -> None:
        """Until it is so."""
        async with asyncio.timeout(30):
            while not what():  # noqa: ASYNC110 -- it is about several things
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "BURST_S", 0.0)


def tell(looks: Looks, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the story beside the drift's own loop."""

    async def both() -> None:
        work = asyncio.create_task(looks.drift.run())
        await asyncio.sleep(0)  # from here on hints count
        await story()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(both())


def test_it_looks_when_it_is_hinted_and_says_what_it_found() -> None:
    """What differs, then that it does no more; no hint, no look."""
    looks = Looks(Done(0, "a is edited"), Done(0, ""))

    async def story() -> None:
        assert looks.drift.found is None
        for expected in ("a is edited", ""):
            looks.drift.hint()
            await looks.until(lambda: looks.found[-1:] == [expected])  # noqa: B023 -- awaited here
        assert len(looks.asked) == 2
        assert looks.asked[0][1:] == ("-m", "hostagent.deploy.drifted")

    tell(looks, story)


def test_what_could_not_be_looked_at_is_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """The journal says why; nothing is told, and nothing taken back."""
    looks = Looks(Done(0, "a is edited"), Done(3, "no bus"))

    async def story() -> None:
        looks.drift.hint()
        await looks.until(lambda: looks.found == ["a is edited"])
        looks.drift.hint()
        await looks.until(lambda: "as applied is not known (no bus)" in caplog.text)
        assert looks.drift.found == "a is edited"
        assert looks.found == ["a is edited"]

    tell(looks, story)


def test_a_hint_during_a_look_is_another_look() -> None:
    """It may have come too late to be seen; several are one."""
    looks = Looks(Done(0, "a is masked"), Done(0, ""))

    def during() -> None:
        looks.during = lambda: None
        looks.drift.hint()
        looks.drift.hint()

    looks.during = during

    async def story() -> None:
        looks.drift.hint()
        await looks.until(lambda: looks.found == ["a is masked", ""])

    tell(looks, story)


def test_it_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time after the start, and again and again after that."""
    monkeypatch.setattr(drift, "FIRST_S", 0.0)
    monkeypatch.setattr(drift, "EVERY_S", 0.0)
    looks = Looks()

    async def story() -> None:
        await looks.until(lambda: len(looks.asked) > 2)

    tell(looks, story)


def test_its_own_start_is_no_hint() -> None:
    """An agent reads what is deployed when it starts: that is no apply."""
    looks = Looks()
    looks.drift.hint()

    async def story() -> None:
        for _ in range(50):
            await asyncio.sleep(0)
        assert looks.asked == []

    tell(looks, story)
