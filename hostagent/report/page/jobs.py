"""A section of the page for each job: what it is, how long its runs took, what came of them. Pure.

All of a job's runs that were read are in its drawing; the last of them have a row each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from math import ceil

from hostagent.model import Job, Outcome, Run
from hostagent.policy.words import ago, span_text
from hostagent.report.page.drawing import Plot, plot, strip
from hostagent.report.page.facts import Facts
from hostagent.report.page.text import NOTHING, counted, moment, relative, shortened
from hostagent.report.runs import state_of
from hostagent.schedule.occurrences import next_after, period
from hostagent.store.port import SpecRecord, schedule_of

STRIP = 12
"""How many of the last runs the summary marks."""

MOST_ROWS, MOST_ROWS_EACH, LEAST_ROWS = 500, 100, 5


@dataclass(frozen=True, slots=True)
class Row:
    """One run in a table. ``state`` is also its class."""

    due: str
    scope: str
    attempt: str
    took: str
    host: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Section:
    """One job."""

    name: str
    schedule: str
    next: str
    last: str
    state: str
    usual: str
    share: str
    is_near: bool
    strip: tuple[str, str, str]
    about: tuple[str, ...]
    plot: Plot | None
    since: str
    rows: tuple[Row, ...]
    has_scopes: bool
    shown: str
    more: str


def sections(facts: Facts) -> list[Section]:
    """Each job that is scheduled, deployed here, or has runs."""
    specs: dict[str, list[SpecRecord]] = {}
    for spec in facts.specs:
        if spec.valid_to is None:
            specs.setdefault(spec.job, []).append(spec)
    jobs = {job.name: job for job in facts.jobs}
    runs = facts.runs
    names = sorted({*specs, *jobs, *(name for name, found in runs.items() if found)})
    rows = max(LEAST_ROWS, min(MOST_ROWS_EACH, MOST_ROWS // max(len(names), 1)))
    return [
        _section(name, specs.get(name, []), jobs.get(name), runs.get(name, ()), rows, facts)
        for name in names
    ]


def usual(runs: Sequence[Run]) -> timedelta | None:
    """The median of how long runs took that succeeded; None: none did."""
    return _quantile(runs, 0.5)


def _quantile(runs: Sequence[Run], part: float) -> timedelta | None:
    took = sorted(
        run.ended_at - run.started_at
        for run in runs
        if run.outcome is Outcome.SUCCEEDED and run.started_at and run.ended_at
    )
    return took[max(ceil(len(took) * part) - 1, 0)] if took else None


def _section(
    name: str,
    specs: Sequence[SpecRecord],
    job: Job | None,
    runs: Sequence[Run],
    rows: int,
    facts: Facts,
) -> Section:
    now = facts.now
    schedules = [schedule_of(spec) for spec in specs] or ([job.schedule] if job else [])
    due = [at for schedule in schedules if (at := next_after(schedule, now))] if specs else []
    intervals = [every for schedule in schedules if (every := period(schedule))]
    interval = min(intervals, default=None)
    median, slowest = usual(runs), _quantile(runs, 0.95)
    share = slowest / interval if slowest is not None and interval else None
    last = runs[0] if runs else None
    state = state_of(last) if last else ""
    is_hung = last is not None and state == "running" and last.run_id in facts.hung
    return Section(
        name=name,
        schedule=schedules[0].text if schedules else "no longer scheduled",
        next=f"{moment(min(due), now)}, {relative(min(due), now)}" if due else NOTHING,
        last=relative(last.started_at or last.scheduled_for, now) if last else "never ran",
        state="hung?" if is_hung else state,
        usual=span_text(median) if median is not None else NOTHING,
        share=_percent(share) if share is not None else "",
        is_near=share is not None and share >= 0.8,
        strip=strip(runs[:STRIP]),
        about=tuple(_about(specs, job, runs, slowest, share)),
        plot=plot(runs, interval, now),
        since=moment(min(run.scheduled_for for run in runs), now) if runs else "",
        rows=tuple(_row(run, now) for run in runs[:rows]),
        has_scopes=any(run.scope and run.scope != run.host for run in runs),
        shown=f"The last {rows} of {len(runs)}" if len(runs) > rows else "",
        more=f"hostagent runs {name} -n {max(len(runs), 100)}",
    )


def _about(
    specs: Sequence[SpecRecord],
    job: Job | None,
    runs: Sequence[Run],
    slowest: timedelta | None,
    share: float | None,
) -> Sequence[str]:
    """Sentences, the most important first."""
    found = [job.description] if job and job.description else []
    hosts = sorted({spec.host for spec in specs if spec.host})
    scopes = sorted(set(chain.from_iterable(spec.scopes for spec in specs)) - {"", *hosts})
    if hosts:
        found.append(f"on each of {counted(len(hosts), 'host')}")
    if scopes:
        found.append(f"for {counted(len(scopes), 'scope')}")
    failed = sum(run.outcome is Outcome.FAILED for run in runs)
    found.append(f"{counted(len(runs), 'run')} here, {failed} failed")
    if slowest is not None:
        part = f", {_percent(share)} of the interval" if share is not None else ""
        found.append(f"19 of 20 took {span_text(slowest)} at most{part}")
    if job:
        found.append(f"is stopped after {span_text(job.timeout)}")
    return found


def _row(run: Run, now: datetime) -> Row:
    end = run.ended_at or now
    return Row(
        due=f"{run.scheduled_for.astimezone():%a %d %b %H:%M}",
        scope=run.scope if run.scope != run.host else "",
        attempt=str(run.attempt) if run.attempt > 1 else "",
        took=ago(end - run.started_at) if run.started_at else NOTHING,
        host=run.host,
        state=state_of(run),
        reason="" if run.outcome is Outcome.SUCCEEDED else shortened(run.end_reason or run.reason),
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"
