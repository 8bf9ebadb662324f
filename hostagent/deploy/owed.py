"""What the old schedules still owed when an apply changes or removes them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from hostagent.codec import rfc3339
from hostagent.model import Outcome
from hostagent.schedule.occurrences import latest
from hostagent.store.port import Cursor, Registration, Settlement, SpecRecord, schedule_of


def closing(
    specs: Iterable[SpecRecord],
    cursors: Iterable[Cursor],
    jobs: Sequence[Registration],
    host: str,
    at: datetime,
    gone: bool | Collection[str] = True,
    *,
    by: str | None = None,
) -> list[Settlement]:
    """How everything ends that was due by ``at`` under schedules that do not go on.

    A schedule goes on when the job, under its name or a new one, is registered with the same
    hash. Of a job that goes on without a scope, that scope is closed as removed. ``gone``: which of
    the jobs that are not named end, all or these. What is another host's alone is left alone.
    ``by`` is who says so, if not ``host``. Where a clock was set back, a job's mark can lie above
    ``at``: then it changes at its mark.
    """
    cursors, until = list(cursors), dict[str, datetime]()
    for cursor in cursors:
        until[cursor.job] = max(until.get(cursor.job, at), cursor.high_water)
    in_force = {
        (spec.job, scope): spec
        for spec in specs
        if spec.valid_to is None and spec.host in {"", host}
        for scope in spec.scopes
    }
    successors = {job.renamed_from: job for job in jobs if job.renamed_from}
    successors |= {job.job: job for job in jobs}
    settlements = []
    for cursor in cursors:
        spec = in_force.get((cursor.job, cursor.scope))
        if spec is None:
            continue
        new = successors.get(cursor.job)
        if new is None and (gone is False or (gone is not True and cursor.job not in gone)):
            continue
        is_kept = new is not None and cursor.scope in new.scopes
        if new is not None and is_kept and new.hash == spec.hash:
            continue
        span = latest(schedule_of(spec), cursor.high_water, until[cursor.job])
        if span is None:
            continue
        if is_kept:
            outcome, reason = Outcome.SKIPPED, "the schedule was changed by apply at"
        else:
            outcome, reason = Outcome.ABANDONED, "removed by apply at"
        settlements.append(
            Settlement(
                job=cursor.job,
                scope=cursor.scope,
                spec_hash=spec.hash,
                first=span.first,
                last=span.last,
                count=span.count,
                outcome=outcome,
                reason=f"{reason} {rfc3339(at.replace(microsecond=0))}",
                host=host if by is None else by,
                at=at,
            )
        )
    return settlements
