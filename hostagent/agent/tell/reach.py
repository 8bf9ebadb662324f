"""Whether this host reaches the store that hosts share: an alarm that cannot stand there.

So it stands in this host's own ledger, and each host that loses the store tells it for itself. What
looks is the beat, which tries every second while the store is away: no clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from hostagent.agent.book import Book
from hostagent.agent.tell.outbox import Outbox
from hostagent.agent.tell.this_host import ThisHost
from hostagent.agent.world import World
from hostagent.model import Alarm
from hostagent.policy.hosts import decide_reach
from hostagent.policy.trouble import Verdict


class Reach:
    """One agent's. Idle where no store is shared: then no beat calls."""

    def __init__(
        self,
        world: World,
        host: ThisHost,
        book: Callable[[], Book],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._world = world
        self._host = host
        self._book = book
        self._spawn = spawn
        self._outbox = Outbox(world, world.own, book, spawn, lambda _: self.look())
        self._has_read = False
        self._is_busy = False

    def look(self) -> None:
        """A beat had an answer, or none. Who is to be told stands in what is deployed."""
        if self._is_busy or self._book().manifest is None:
            return
        box, host = self._outbox, self._host
        due_at = box.due_at()
        is_due = due_at is not None and due_at <= box.now()
        if not self._has_read or is_due or box.is_news(host.name, self._verdict(), host.told()):
            self._is_busy = True
            self._spawn(self._judge())

    def standing(self) -> list[Alarm]:
        """It, while it stands."""
        return list(self._outbox.standing.values())

    async def _judge(self) -> None:
        try:
            await self._outbox.read(only=self._host.name)
            self._has_read = True
            await self._outbox.judge(self._host.name, self._verdict(), self._host.told())
            await self._outbox.try_again()
        finally:
            self._is_busy = False

    def _verdict(self) -> Verdict:
        cluster, standing = self._world.cluster, self._outbox.standing.get(self._host.name)
        away_for, why = None, ""
        if cluster.away is not None:
            since_s, why = cluster.away.since_s, cluster.away.why
            away_for = timedelta(seconds=self._world.clock.monotonic_s() - since_s)
        kind = standing.kind if standing is not None and standing.over_at is None else ""
        return decide_reach(cluster.ttl or timedelta(0), away_for, why, kind)
