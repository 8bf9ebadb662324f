"""What this host knows of its runs while they go on, for alarms to be told of meanwhile.

A run is looked at once when it may have gone on for a minute: most are over by then, and cost
nothing. When it will have overrun follows from that look, and that it hangs is said by ``Hung``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from hostagent.agent.book import Book, Entry
from hostagent.agent.hung import Hung
from hostagent.agent.tell.verdicts import Name
from hostagent.policy.durations import LONG_BY
from hostagent.policy.trouble import LiveRun

AFTER_S = LONG_BY.total_seconds()
"""No run has overrun sooner."""


class LiveRuns:
    """One agent's. ``look`` is called with what is to be looked at."""

    def __init__(self, book: Callable[[], Book], hung: Hung, look: Callable[[Name], None]) -> None:
        self._book, self._hung, self._look = book, hung, look
        self._timer: asyncio.TimerHandle | None = None
        self._followed: dict[Name, int] = {}

    def watch(self, entry: Entry) -> None:
        """Something was decided about ``entry``: look at its run, if it has one, before long."""
        if self._timer is None and self._is_new(entry):
            self._timer = asyncio.get_running_loop().call_later(AFTER_S, self._due)

    def rest(self) -> None:
        """A run has ended: if none is left to look at, nobody has to wake up."""
        if self._timer is not None and not any(map(self._is_new, self._book())):
            self.stop()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def now(self) -> dict[Name, LiveRun]:
        """The runs that go on."""
        found = {}
        for entry in self._book():
            if entry.active is not None and entry.active.started_at is not None:
                mark, moves = self._hung.sign(entry)
                still = mark.reason if mark else None
                found[_name(entry)] = LiveRun(entry.active, still, moves=moves)
        return found

    def _is_new(self, entry: Entry) -> bool:
        run = entry.active
        return run is not None and self._followed.get(_name(entry)) != run.token

    def _due(self) -> None:
        self._timer = None
        for entry in self._book():
            if entry.active is not None and self._is_new(entry):
                self._followed[_name(entry)] = entry.active.token
                self._look(_name(entry))


def _name(entry: Entry) -> Name:
    return entry.job.name, entry.scope
