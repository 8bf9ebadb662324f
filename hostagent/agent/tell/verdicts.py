"""What the ledger says of each (job, scope), for ``policy.diagnosis`` to judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from hostagent.model import Alarm, Job, Manifest, Outcome, Run
from hostagent.policy import diagnosis
from hostagent.policy.durations import HISTORY
from hostagent.policy.trouble import Facts, LiveRun, Verdict
from hostagent.store.port import Cursor, RunFilter, SpecRecord, Store

Name = tuple[str, str]

SKIPS_LOOKED_AT = 20


@dataclass(slots=True)
class Watched:
    """A (job, scope) of the store: since when its schedule holds, when to look again."""

    job: Job
    since: datetime
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is known of a (job, scope) without the ledger.

    ``going`` is the run that goes on here. ``is_others``: another host alone keeps the job.
    ``is_thorough``: it is worth to read how long its last runs took. ``woke_at`` is this host's.
    """

    job: Job
    since: datetime
    standing: Alarm | None = None
    going: LiveRun | None = None
    is_others: bool = False
    is_thorough: bool = False
    woke_at: datetime | None = None


def watched_of(specs: Iterable[SpecRecord], manifest: Manifest | None) -> dict[Name, Watched]:
    """What is due by the store and by what is deployed here, and since when."""
    jobs = {job.name: job for job in manifest.jobs} if manifest else {}
    return {
        (spec.job, scope): Watched(jobs[spec.job], spec.valid_from)
        for spec in specs
        if spec.valid_to is None and spec.job in jobs
        for scope in spec.scopes
        if spec.hash == jobs[spec.job].schedule.hash
    }


def verdicts_of(store: Store, asked: Mapping[Name, Question], now: datetime) -> dict[Name, Verdict]:
    """What the ledger says of each."""
    cursors = {(one.job, one.scope): one for one in store.cursors(list(asked))}
    out = {(one.job, one.scope): one.reason for one in store.quarantines()}
    return {
        name: diagnosis.decide(_facts(store, name, one, cursors.get(name), out.get(name), now))
        for name, one in asked.items()
    }


def _facts(
    store: Store, name: Name, one: Question, cursor: Cursor | None, out: str | None, now: datetime
) -> Facts:
    job, scope = name
    rows = _ended(store, name, one)
    rest = store.runs(
        RunFilter(
            job=job,
            scope=scope,
            outcomes=(Outcome.SKIPPED, Outcome.QUARANTINED),
            limit=SKIPS_LOOKED_AT,
        )
    )
    if out is None and rest and rest[0].outcome is Outcome.QUARANTINED:
        newest = max((row.scheduled_for for row in rows), default=one.since)
        out = rest[0].reason if rest[0].scheduled_for > newest else None
    retried = cursor.retry.run_id if cursor and cursor.retry else None
    is_active = cursor is not None and cursor.active is not None
    return Facts(
        one.job,
        scope,
        now,
        one.since,
        runs=diagnosis.final(tuple(rows), retried),
        skipped_at=next((row.scheduled_for for row in rest if diagnosis.is_excused(row)), None),
        quarantined=out,
        going=one.going,
        is_elsewhere=one.going is None and (is_active or one.is_others),
        standing=one.standing,
        woke_at=one.woke_at,
    )


def _ended(store: Store, name: Name, one: Question) -> list[Run]:
    """Its last rows that succeeded or failed, the last success among them."""
    job, scope = name
    ended = (Outcome.SUCCEEDED, Outcome.FAILED)
    most = one.job.alarm_after * (one.job.retries + 1) + one.job.retries + 1
    if one.is_thorough:
        most = max(most, HISTORY + 1)
    rows = store.runs(RunFilter(job=job, scope=scope, outcomes=ended, limit=most))
    if all(row.outcome is not Outcome.SUCCEEDED for row in rows):
        rows += store.runs(RunFilter(job=job, scope=scope, outcomes=ended[:1], limit=1))
    return rows
