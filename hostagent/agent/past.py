"""What the last runs of a job tell of the next one; read from its ledger when it is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from hostagent.agent.book import Entry
from hostagent.agent.world import World
from hostagent.errors import HostagentError
from hostagent.policy.outcome import GATE_STOPPED
from hostagent.store.port import RunFilter

LOOKED_AT = 10
"""How many of a job's last runs."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The highest ``peak`` of their memory, in bytes, and whether that was too low; and how many
    seconds they normally take (the median). None: it is not known.
    """

    peak: int | None = None
    was_too_low: bool = False
    lasts_s: float | None = None


class Past:
    """What is known of the jobs that wait or run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[tuple[str, str], Observed] = {}

    def of(self, entry: Entry) -> Observed:
        """What is known by now."""
        return self._known.get((entry.job.name, entry.scope), Observed())

    def forget(self, entry: Entry) -> None:
        """A run of it has ended: read it anew."""
        self._known.pop((entry.job.name, entry.scope), None)

    async def read(self, entry: Entry) -> None:
        """Know it; read once.

        Raises:
            StoreUnavailable: its ledger does not answer.
        """
        name = (entry.job.name, entry.scope)
        if name in self._known:
            return
        store = self._world.store_of(entry)
        where = RunFilter(job=entry.job.name, scope=entry.scope, limit=LOOKED_AT)
        rows = await store.call(store.it.runs, where)
        ended = [run for run in rows if run.attempt and run.ended_at]
        peaks = [run.usage.memory_peak for run in ended if run.usage.memory_peak is not None]
        took = [run.ended_at - run.started_at for run in ended if run.ended_at and run.started_at]
        last = max(ended, key=lambda run: run.token, default=None)
        self._known[name] = Observed(
            max(peaks, default=None),
            last is not None and last.result == GATE_STOPPED,
            sorted(took)[len(took) // 2] / timedelta(seconds=1) if took else None,
        )

    async def read_all(self, entries: Iterable[Entry]) -> None:
        """Know them; what a store does not tell now stays unknown."""
        for entry in entries:
            with contextlib.suppress(HostagentError):
                await self.read(entry)
