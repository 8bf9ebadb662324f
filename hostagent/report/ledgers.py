"""The ledgers of a host as one, to read: its own, and the store that it shares with other hosts.

The own one comes first: of what a host keeps itself, the shared store has copies, which may be
older. What the own ledger says of jobs that are the cluster's is from the time before it shared
a store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from hostagent.errors import StoreUnavailable
from hostagent.model import Run, RunOn
from hostagent.store.port import (
    AuditEvent,
    Cursor,
    Decision,
    Pause,
    PauseTarget,
    Presence,
    Quarantine,
    RunFilter,
    SpecRecord,
    Store,
    Tally,
)

MICROSECOND = timedelta(microseconds=1)


class Ledgers:
    """``own`` is ``host``'s. ``shared`` None: there is none, or it is ``away``, and why."""

    def __init__(
        self,
        own: Store,
        host: str,
        shared: Store | None = None,
        away: StoreUnavailable | None = None,
    ) -> None:
        self._own = own
        self._host = host
        self._shared = shared
        self._away = away
        self._is_alone = shared is None and away is None
        self._all = [own] if shared is None else [own, shared]

    @property
    def is_alone(self) -> bool:
        """Whether there is no shared store, reached or not."""
        return self._is_alone

    @property
    def away(self) -> StoreUnavailable | None:
        """Why the shared store cannot be read; None: it can, or there is none."""
        return self._away

    def specs(self) -> list[SpecRecord]:
        """All schedules and the time for which they held."""
        if self._is_alone:
            return self._own.specs()
        mine = [spec for spec in self._own.specs() if spec.host == self._host]
        others = self._shared.specs() if self._shared is not None else []
        return mine + [spec for spec in others if spec.host != self._host]

    def cursors(self, names: Collection[tuple[str, str]] | None = None) -> list[Cursor]:
        """Where each (job, scope) stands, or these."""
        if self._is_alone:
            return self._own.cursors(names)
        mine = self._mine()
        found = [c for c in self._own.cursors(names) if (c.job, c.scope) in mine]
        others = self._shared.cursors(names) if self._shared is not None else []
        return found + [c for c in others if (c.job, c.scope) not in mine]

    def runs(self, where: RunFilter) -> list[Run]:
        """Ledger rows, newest first; none twice."""
        found = _once(row for store in self._all for row in store.runs(where))
        found.sort(key=lambda row: (row.scheduled_for, row.token), reverse=True)
        return found[: where.limit]

    def going_on(
        self,
        since: datetime,
        until: datetime,
        job: str | None = None,
        limit: int | None = None,
    ) -> list[Run]:
        """What was due then, and what ran into it, the oldest first.

        Of what was due earlier and has ended, no more than for as long before. ``limit``: only the
        newest of these, and what has not ended.
        """
        early = since - (until - since)
        where = RunFilter(job=job, since=early, until=until, ended_since=since, limit=limit)
        found = self.runs(where)
        found += self.runs(RunFilter(job=job, until=early - MICROSECOND, open_only=True))
        return found[::-1]

    def run(self, run_id: str) -> list[Run]:
        """All attempts of one run, oldest first."""
        return next((rows for store in self._all if (rows := store.run(run_id))), [])

    def tally(self, host: str, since: datetime) -> list[Tally]:
        """A host's ended rows, counted; of a copy, the original counts."""
        if self._is_alone:
            return self._own.tally(host, since)
        mine = self._mine()
        found = [one for one in self._own.tally(host, since) if (one.job, one.scope) in mine]
        others = self._shared.tally(host, since) if self._shared is not None else []
        return found + [one for one in others if (one.job, one.scope) not in mine]

    def retained_since(self) -> datetime | None:
        """From when on both are complete."""
        return max(filter(None, (store.retained_since() for store in self._all)), default=None)

    def pauses(self, run_on: RunOn) -> list[Pause]:
        """Those that can hold such a job, the lapsed ones too; as the agent sees it."""
        if self._is_alone:
            return self._own.pauses()
        own = self._own.pauses()
        shared = self._shared.pauses() if self._shared is not None else []
        if run_on is RunOn.EACH:
            return [*own, *(one for one in shared if one.target is PauseTarget.CLUSTER)]
        return [*shared, *(one for one in own if one.target is PauseTarget.HOST)]

    def quarantines(self) -> list[Quarantine]:
        """What is out."""
        return [one for store in self._all for one in store.quarantines()]

    def decisions(self, job: str) -> list[Decision]:
        """The kept decisions, newest first."""
        found = [one for store in self._all for one in store.decisions(job)]
        return sorted(found, key=lambda one: one.at, reverse=True)

    def audit_log(self, since: datetime | None = None) -> list[AuditEvent]:
        """Who changed what on this host, or in the store that it shares; oldest first."""
        found = [event for store in self._all for event in store.audit_log(since)]
        return sorted(found, key=lambda event: event.at)

    def sessions(self) -> list[Presence]:
        """Every agent in the store.

        Raises:
            StoreUnavailable: that is known to the shared store alone, and it is away.
        """
        if self._away is not None:
            raise self._away
        return self._all[-1].sessions()

    def close(self) -> None:
        """Give back what the stores hold. Idempotent."""
        for store in self._all:
            store.close()

    def _mine(self) -> set[tuple[str, str]]:
        """What this host keeps itself."""
        specs = [spec for spec in self._own.specs() if spec.host == self._host]
        return {(spec.job, scope) for spec in specs for scope in spec.scopes}


def _once(rows: Iterable[Run]) -> list[Run]:
    """The first of each identity."""
    kept: dict[tuple[object, ...], Run] = {}
    for row in rows:
        kept.setdefault((row.job, row.scope, row.kind, row.scheduled_for, row.attempt), row)
    return list(kept.values())
