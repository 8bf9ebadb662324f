"""Whose runs take nearly as long as their interval, as the ledger says: for whoever plans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hostagent.model import Job, Kind, Outcome, Run
from hostagent.policy.durations import HISTORY, usual
from hostagent.policy.early import near_interval
from hostagent.report.ledgers import Ledgers
from hostagent.schedule.occurrences import period
from hostagent.store.port import RunFilter


def near_intervals(ledgers: Ledgers, jobs: Iterable[Job], host: str) -> Iterator[tuple[str, str]]:
    """The job and the sentence, by the schedules that are wanted, which may be others than those
    under which its runs took so long.
    """
    for job in jobs:
        interval = period(job.schedule)
        for scope in job.scopes(host) if interval is not None else ():
            rows = _successes(ledgers, job.name, scope)
            if not rows and job.renamed_from:
                rows = _successes(ledgers, job.renamed_from, scope)
            if reason := near_interval(usual(rows), interval):
                yield job.name, reason


def _successes(ledgers: Ledgers, job: str, scope: str) -> list[Run]:
    where = RunFilter(
        job=job, scope=scope, kind=Kind.SCHEDULED, outcomes=(Outcome.SUCCEEDED,), limit=HISTORY
    )
    return ledgers.runs(where)
