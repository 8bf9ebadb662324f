"""Promise 2, proved: what the calendars say was due = what the ledger holds, or the difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from hostagent.codec import rfc3339
from hostagent.model import Form, Kind, Run, Schedule
from hostagent.schedule.occurrences import between
from hostagent.store.port import Cursor, SpecRecord, schedule_of


@dataclass(frozen=True, slots=True)
class Difference:
    """An occurrence that has no outcome, more than one, or one that no calendar named."""

    job: str
    scope: str
    scheduled_for: datetime
    problem: str


@dataclass(slots=True)
class Audit:
    """The result. ``open``: fell due and still waits or runs, which the ledger says itself."""

    since: datetime
    until: datetime
    due: int = 0
    settled: int = 0
    open: int = 0
    differences: list[Difference] = field(default_factory=list)


def audit(
    specs: Iterable[SpecRecord],
    runs: Sequence[Run],
    cursors: Iterable[Cursor],
    since: datetime,
    until: datetime,
) -> Audit:
    """Compare each schedule, for the time it held, with the scheduled runs of its job.

    ``runs`` must hold every row whose ``scheduled_for`` or covered range touches the time from
    ``since`` to ``until``. What lies above the high-water mark of the schedule in force is open.
    """
    result = Audit(since, until)
    marks = {(c.job, c.scope, c.spec_hash): c.high_water for c in cursors}
    rows: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.kind is Kind.SCHEDULED and run.attempt <= 1:
            rows.setdefault((run.job, run.scope), []).append(run)
    for spec in specs:
        schedule = schedule_of(spec)
        for scope in spec.scopes:
            mine = [run for run in rows.get((spec.job, scope), []) if run.spec_hash == spec.hash]
            mark = marks.get((spec.job, scope, spec.hash))
            _compare(result, spec, schedule, scope, mine, mark)
    return result


def _compare(
    result: Audit,
    spec: SpecRecord,
    schedule: Schedule,
    scope: str,
    runs: list[Run],
    mark: datetime | None,
) -> None:
    start = max(result.since, spec.valid_from)
    until = min(result.until, spec.valid_to or result.until)
    if schedule.form is Form.ON_BOOT or start >= until:
        return
    spans = sorted(
        ((run.covers_from or run.scheduled_for, run.scheduled_for, run) for run in runs),
        key=lambda span: span[:2],
    )
    counted = {id(run): 0 for run in runs}
    for at, covering in _sweep(spans, between(schedule, start, until)):
        result.due += 1
        for run in covering:
            counted[id(run)] += 1
        if not covering and mark is not None and at > mark:
            result.open += 1
        elif not covering:
            result.differences.append(Difference(spec.job, scope, at, "has no outcome"))
        elif len(covering) > 1:
            ids = ", ".join(sorted({run.run_id for run in covering}))
            problem = f"has {len(covering)} outcomes: {ids}"
            result.differences.append(Difference(spec.job, scope, at, problem))
        elif covering[0].outcome is None:
            result.open += 1
        else:
            result.settled += 1
    for first, last, run in spans:
        inside = start < first and last <= until
        if inside and counted[id(run)] != run.covers:
            problem = f"stands for {run.covers} occurrences, the calendar names {counted[id(run)]}"
            result.differences.append(Difference(spec.job, scope, last, problem))


def _sweep(
    spans: list[tuple[datetime, datetime, Run]], due: Iterable[datetime]
) -> Iterator[tuple[datetime, list[Run]]]:
    """Each instant with the runs whose range holds it; both ascend, so one pass is enough."""
    upcoming, open_spans = iter([*spans, None]), []
    head = next(upcoming)
    for at in due:
        while head is not None and head[0] <= at:
            open_spans.append(head)
            head = next(upcoming)
        open_spans = [span for span in open_spans if span[1] >= at]
        yield at, [run for _, _, run in open_spans]


def audit_json(result: Audit) -> dict[str, object]:
    """The result for ``--json``."""
    return {
        "since": rfc3339(result.since),
        "until": rfc3339(result.until),
        "due": result.due,
        "settled": result.settled,
        "open": result.open,
        "differences": [
            {
                "job": d.job,
                "scope": d.scope,
                "scheduled_for": rfc3339(d.scheduled_for),
                "problem": d.problem,
            }
            for d in result.differences
        ],
    }
