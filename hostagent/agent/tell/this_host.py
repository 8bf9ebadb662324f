"""What this agent knows of its own host, for alarms: read from memory, at each beat and look."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book, spec_of
from hostagent.agent.tell.drift import Drift
from hostagent.agent.tell.verdicts import Name
from hostagent.agent.world import World
from hostagent.model import Alarm
from hostagent.policy import hosts
from hostagent.policy.hosts import Facts
from hostagent.policy.trouble import Verdict, Wrong


class ThisHost:
    """One agent's. Its alarm has no job: the scope is the host."""

    def __init__(
        self, world: World, book: Callable[[], Book], backlog: Backlog, drift: Drift
    ) -> None:
        self._world, self._book, self._backlog, self._drift = world, book, backlog, drift
        self._odd_since_s: float | None = None
        self.name: Name = ("", world.host)

    def told(self) -> tuple[str, ...]:
        """Who is told of hosts."""
        manifest = self._book().manifest
        return tuple(one.name for one in (manifest.notify if manifest else ()) if one.of_hosts)

    def live(self) -> frozenset[str]:
        """The hosts whose alarms may stand."""
        others = (one for one in self._world.cluster.others if not one.has_expired)
        return frozenset({self._world.host, *(one.session.host for one in others)})

    def woke_at(self, now: datetime) -> datetime | None:
        """When it was last back from an absence; None: a person has said that it has settled."""
        awake_s = self._world.clock.boottime_s() - self._backlog.woke_at_s
        return now - timedelta(seconds=awake_s) if math.isfinite(awake_s) else None

    def doubt(self, standing: Alarm | None) -> None:
        """What stands was seen by an agent before this one: its units may be mended since."""
        is_drift = standing is not None and standing.kind == Wrong.DRIFT
        if is_drift and self._drift.found is None:
            self._drift.hint()

    def observe(self) -> None:
        """Note since when it is the odd one of the fleet."""
        if not hosts.is_odd(self._facts(None)):
            self._odd_since_s = None
        elif self._odd_since_s is None:
            self._odd_since_s = self._world.clock.boottime_s()

    def verdict(self, standing: Alarm | None) -> Verdict:
        """What is wrong with it now, as far as it was observed."""
        return hosts.decide(self._facts(standing))

    def _facts(self, standing: Alarm | None) -> Facts:
        cluster, now_s = self._world.cluster, self._world.clock.boottime_s()
        waits = [one.since_s for one in self._backlog.held.values() if not one.is_fresh]
        specs = {
            one.session.host: one.profile.spec for one in cluster.others if not one.has_expired
        }
        odd_since_s = now_s if self._odd_since_s is None else self._odd_since_s
        return Facts(
            self._world.host,
            len(waits),
            timedelta(seconds=now_s - min(waits, default=now_s)),
            cluster.skew,
            specs | {self._world.host: spec_of(self._book())},
            timedelta(seconds=now_s - odd_since_s),
            self._drift.found,
            standing.kind if standing is not None and standing.over_at is None else "",
        )
