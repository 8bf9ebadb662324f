"""A host that does not reach the shared store says so, by its own ledger (agent.reach)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book
from hostagent.agent.cluster import Cluster
from hostagent.agent.hung import Hung
from hostagent.agent.offload import Offloaded
from hostagent.agent.tell.alarms import Alarms
from hostagent.agent.tell.misses import Misses
from hostagent.agent.world import World
from hostagent.errors import StoreUnavailable
from hostagent.host import paths
from hostagent.model import Alarm, Manifest, Notify
from hostagent.policy.alarms import WAITS
from hostagent.policy.backlog import Wake
from hostagent.policy.hosts import UNREACHED_TTLS
from hostagent.policy.lease import TTL
from hostagent.store.open import open_store
from hostagent.store.port import Store
from hostagent.systemd.beside import Done

T0 = datetime(2026, 3, 2, tzinfo=UTC)
BOUND, SECOND = UNREACHED_TTLS * TTL, timedelta(seconds=1)
MANIFEST = Manifest(
    1, T0, 252, "one", (), notify=(Notify("ops", command=("/bin/true",), of_hosts=True),)
)


class Away:
    """The shared store, which nobody reaches."""

    it = cast("Store", SimpleNamespace(alarms=None, change_alarm=None, specs=None))

    async def call(self, *_: object) -> object:
        raise StoreUnavailable("away")


class Host:
    """One host, over agents that begin anew."""

    def __init__(self, ledger: Store) -> None:
        self.now = T0
        self.heard: list[tuple[str, str]] = []
        self.answer = Done(0, "")
        self.ledger = ledger
        self.own = Offloaded(ledger, "ledger")
        self.book = Book(MANIFEST, "one", is_shared=True)
        self._tasks: list[asyncio.Task[None]] = []
        self.start()

    def start(self) -> None:
        """Another agent, which knows nothing but the ledger."""
        self.cluster = Cluster("one", ttl=TTL)
        fake = SimpleNamespace(
            host="one",
            own=self.own,
            shared=Away(),
            clock=SimpleNamespace(
                now=lambda: self.now, boottime_s=self._since_s, monotonic_s=self._since_s
            ),
            wake=Wake(float("-inf")),
            cluster=self.cluster,
            record=lambda *_: None,
            beside=self._deliver,
            misses=Misses(),
            paths=paths.system(),
        )
        world = cast("World", fake)
        hung = Hung(world, lambda: self.book, lambda: None)
        self.alarms = Alarms(world, lambda: self.book, self._spawn, hung, Backlog(world))

    def _since_s(self) -> float:
        return (self.now - T0).total_seconds()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _deliver(self, _: Sequence[str], told: bytes, **__: object) -> Done:
        message = json.loads(told)["message"]
        self.heard.append((message["alarm"], message["text"]))
        return self.answer

    async def beat(self, after: timedelta, why: str | None = None) -> list[str]:
        """A beat so long after the beginning, and what follows from it; what was told by then."""
        self.now = T0 + after
        if why is None:
            self.cluster.find()
        else:
            self.cluster.lose(self._since_s(), why)
        self.alarms.reach.look()
        while self._tasks:
            await self._tasks.pop()
        return [alarm for alarm, _ in self.heard]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """It has a ledger of its own."""
    ledger = open_store(f"sqlite://{tmp_path}/state.db")
    made = Host(ledger)
    yield made
    made.own.close()
    ledger.close()


def told(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it."""
    asyncio.run(story())


def test_an_outage_is_told_once_and_its_end_once(host: Host) -> None:
    """After minutes, by the host itself, and status shows it meanwhile: nothing asks the store."""

    async def story() -> None:
        assert await host.beat(SECOND) == []
        assert await host.beat(2 * SECOND, "refused\n  by db1") == []
        assert await host.beat(BOUND + SECOND, "refused") == []
        assert await host.beat(BOUND + 2 * SECOND, "timed out") == ["store"]
        assert await host.beat(2 * BOUND, "timed out") == ["store"]
        assert host.heard[0][1] == (
            "host one does not reach the store: not for 3min by now (timed out); "
            "its runs of the cluster wait; see: hostagent doctor"
        )
        (standing,) = await host.alarms.standing()
        assert (standing.kind, standing.job, standing.scope) == ("store", "", "one")
        assert await host.beat(2 * BOUND + SECOND) == ["store", "recovered"]
        assert host.heard[1][1].endswith(": it reaches the store again")
        assert await host.alarms.standing() == host.ledger.alarms() == []

    told(story)


def test_a_store_that_comes_back_in_time_is_not_told(host: Host) -> None:
    """Each outage counts anew."""

    async def story() -> None:
        for minute in range(0, 20, 2):
            await host.beat(minute * 60 * SECOND, "restarts")
            await host.beat(minute * 60 * SECOND + 90 * SECOND)
        assert host.heard == []

    told(story)


def test_an_agent_that_begins_anew_tells_it_neither_again_nor_over(host: Host) -> None:
    """What was told stands in the ledger; the end is told by whichever agent finds it."""

    async def story() -> None:
        await host.beat(SECOND, "refused")
        assert await host.beat(BOUND + SECOND, "refused") == ["store"]
        host.start()
        assert await host.beat(BOUND + 2 * SECOND, "refused") == ["store"]
        assert await host.beat(3 * BOUND, "refused") == ["store"]
        host.start()
        assert await host.beat(3 * BOUND + SECOND) == ["store", "recovered"]

    told(story)


def test_who_does_not_take_it_is_tried_again_while_the_store_is_away(host: Host) -> None:
    """By the beats, at the instants of every alarm."""

    async def story() -> None:
        host.answer = Done(1, "no paper")
        await host.beat(SECOND, "refused")
        assert await host.beat(BOUND + SECOND, "refused") == ["store"]
        again = BOUND + SECOND + WAITS[0]
        assert await host.beat(again - SECOND, "refused") == ["store"]
        host.answer = Done(0, "")
        assert await host.beat(again, "refused") == ["store", "store"]
        assert await host.beat(again + WAITS[-1], "refused") == ["store", "store"]

    told(story)


def test_what_else_the_ledger_holds_is_left_alone(host: Host) -> None:
    """Alarms of jobs, from a time when no store was shared."""
    old = Alarm("a", "", "failed", T0, "x", untold=("ops",), due_at=T0)
    assert host.ledger.change_alarm(None, old)

    async def story() -> None:
        await host.beat(SECOND, "refused")
        assert await host.beat(BOUND + SECOND, "refused") == ["store"]
        assert [one.kind for one in await host.alarms.standing()] == ["store"]
        assert old in host.ledger.alarms()

    told(story)


def test_nobody_is_told_before_it_is_known_who(host: Host) -> None:
    """The first beat comes before the manifest is read; the second one tells that it is over."""

    async def story() -> None:
        await host.beat(SECOND, "refused")
        await host.beat(BOUND + SECOND, "refused")
        host.start()
        known, host.book = host.book, Book(None, "one", is_shared=True)
        assert await host.beat(2 * BOUND) == ["store"]
        host.book = known
        assert await host.beat(2 * BOUND + SECOND) == ["store", "recovered"]

    told(story)


def test_others_that_are_told_of_hosts_are_found_by_what_is_deployed(host: Host) -> None:
    """Without any, it still stands in status."""

    async def story() -> None:
        nobody = replace(MANIFEST, notify=(replace(MANIFEST.notify[0], of_hosts=False),))
        host.book = Book(nobody, "one", is_shared=True)
        await host.beat(SECOND, "refused")
        assert await host.beat(BOUND + SECOND, "refused") == []
        assert [one.kind for one in await host.alarms.standing()] == ["store"]
        await host.beat(2 * BOUND)
        assert await host.alarms.standing() == []

    told(story)
