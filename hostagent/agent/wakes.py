"""The second clock: one kernel timer, armed for the earliest entry. Between wakes, nothing runs."""

from __future__ import annotations

import heapq
import itertools
from datetime import datetime

from hostagent.agent.book import Entry
from hostagent.host.clock import WallTimer


class Wakes:
    """When each entry wants to be looked at. ``entry.wake_at`` is the truth, the heap an index."""

    def __init__(self, timer: WallTimer) -> None:
        self._timer = timer
        self._heap: list[tuple[datetime, int, Entry]] = []
        self._order = itertools.count()

    def clear(self) -> None:
        """Forget all entries: the book is rebuilt."""
        for _, _, entry in self._heap:
            entry.wake_at = None
        self._heap.clear()
        self._timer.arm(None)

    def set(self, entry: Entry, at: datetime | None) -> None:
        """Look at ``entry`` at ``at``; None: not again by the clock."""
        if at == entry.wake_at:
            return
        entry.wake_at = at
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._order), entry))
        self._arm()

    def due(self, now: datetime) -> list[Entry]:
        """Take out the entries whose time has come, earliest first."""
        entries = []
        while (head := self._head()) is not None and head[0] <= now:
            heapq.heappop(self._heap)
            head[1].wake_at = None
            entries.append(head[1])
        self._arm()
        return entries

    def _head(self) -> tuple[datetime, Entry] | None:
        """The earliest entry that still means it."""
        while self._heap:
            at, _, entry = self._heap[0]
            if entry.wake_at == at:
                return at, entry
            heapq.heappop(self._heap)
        return None

    def _arm(self) -> None:
        head = self._head()
        self._timer.arm(head[0] if head else None)
