"""What follows an attempt that ended: another one, a quarantine, or nothing."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from hostagent.agent.book import Entry
from hostagent.agent.world import World
from hostagent.model import End, Kind, Run
from hostagent.policy import quarantine, retry
from hostagent.policy.outcome import ErrorClass, error_class, is_crash
from hostagent.store.port import Quarantine, RunFilter

log = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
EVIDENCE_LINES = 20


class Again:
    """Gathers the facts for policy's decisions, and keeps a quarantine. Callers hold the lock."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def after(self, entry: Entry, run: Run, end: End) -> tuple[End, datetime | None]:
        """The end, with the sentence of what follows it, and when the next attempt may start."""
        if await self._quarantined(entry, run, end):
            return end, None
        verdict = retry.decide(await self._facts(entry, run, end))
        if isinstance(verdict, retry.Retry):
            return replace(end, reason=f"{end.reason}; {verdict.reason}"), verdict.at
        if entry.job.retries and error_class(end.outcome, end.result) is not None:
            end = replace(end, reason=f"{end.reason}; {verdict.reason}")
        return end, None
