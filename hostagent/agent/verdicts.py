"""What the ledger says of each (job, scope), for ``policy.alarms`` to judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hostagent.model import Job, Outcome
from hostagent.policy import alarms as policy
from hostagent.policy.alarms import Facts, Verdict
from hostagent.store.port import RunFilter, Store

Name = tuple[str, str]

SKIPS_LOOKED_AT = 20


@dataclass(slots=True)
class Watched:
    """A (job, scope) of the store: since when its schedule holds, when to look again."""

    job: Job
    since: datetime
    again_at: datetime | None = None


def verdicts_of(
    store: Store, watched: Mapping[Name, Watched], now: datetime
) -> dict[Name, Verdict]:
    """What the ledger says of each."""
    cursors = {(one.job, one.scope): one for one in store.cursors(list(watched))}
    out = {(one.job, one.scope): one.reason for one in store.quarantines()}
    verdicts = {}
    for name, one in watched.items():
        cursor = cursors.get(name)
        retried = cursor.retry.run_id if cursor and cursor.retry else None
        verdicts[name] = policy.decide(_facts(store, name, one, retried, out.get(name), now))
    return verdicts


def _facts(
    store: Store, name: Name, one: Watched, retried: str | None, out: str | None, now: datetime
) -> Facts:
    job, scope = name
    ended = (Outcome.SUCCEEDED, Outcome.FAILED)
    most = one.job.alarm_after * (one.job.retries + 1) + one.job.retries + 1
    rows = store.runs(RunFilter(job=job, scope=scope, outcomes=ended, limit=most))
    if all(row.outcome is not Outcome.SUCCEEDED for row in rows):
        rows += store.runs(RunFilter(job=job, scope=scope, outcomes=ended[:1], limit=1))
    rest = store.runs(
        RunFilter(
            job=job,
            scope=scope,
            outcomes=(Outcome.SKIPPED, Outcome.QUARANTINED),
            limit=SKIPS_LOOKED_AT,
        )
    )
    skipped = next((row.scheduled_for for row in rest if policy.is_excused(row)), None)
    if out is None and rest and rest[0].outcome is Outcome.QUARANTINED:
        newest = max((row.scheduled_for for row in rows), default=one.since)
        out = rest[0].reason if rest[0].scheduled_for > newest else None
    return Facts(one.job, scope, now, one.since, policy.final(tuple(rows), retried), skipped, out)
