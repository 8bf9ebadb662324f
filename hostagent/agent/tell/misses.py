"""Who did not take the last message, as far as this agent knows: for who looks at the host."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Miss:
    """``name`` was not told ``times`` times in a row, last ``at``, and ``why`` then."""

    name: str
    times: int
    at: datetime
    why: str


class Misses:
    """One agent's, in memory: a restart forgets them, and the next message tells."""

    def __init__(self) -> None:
        self._of: dict[str, Miss] = {}

    def note(self, name: str, at: datetime, why: str) -> None:
        """How a message to ``name`` went; empty: it was taken."""
        if not why:
            self._of.pop(name, None)
            return
        before = self._of.get(name, Miss(name, 0, at, why))
        self._of[name] = replace(before, times=before.times + 1, at=at, why=why)

    def standing(self, known: Collection[str]) -> list[Miss]:
        """Of those who are still to be told of anything."""
        return [one for name, one in sorted(self._of.items()) if name in known]
