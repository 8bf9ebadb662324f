"""Commands about the jobs: what is deployed, and when it is due."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import (
    Job,
    Json,
    User,
    deployed,
    first_steps,
    open_ledger,
    paths_of,
    unknown_job,
)
from hostagent.cli.out import emit_json, moment, named, now, parse_time, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from hostagent.host.paths import Paths
    from hostagent.model import Job as JobModel
    from hostagent.model import RunOn
    from hostagent.report.ledgers import Ledgers
    from hostagent.store.port import Pause


def list_(*, user: User = False, as_json: Json = False) -> None:
    """List the deployed jobs: schedule, next occurrence, last run."""
    from hostagent.codec import to_json
    from hostagent.deploy.generations import current
    from hostagent.report.runs import state_of
    from hostagent.report.upcoming import upcoming
    from hostagent.report.why import no_agent
    from hostagent.store.port import RunFilter

    paths, at = paths_of(user=user), now()
    manifest = current(paths)
    jobs, host = (manifest.jobs, manifest.host) if manifest else ((), "")
    if as_json:
        emit_json([to_json(job) for job in jobs])
        return
    if manifest is None:
        print("No job is deployed.")
        print(f"  hint: {first_steps(paths)}", file=sys.stderr)
        return
    following = {(o.job, o.scope): o.scheduled_for for o in upcoming(jobs, host, at, 1)}
    store = open_ledger(paths)
    pauses = _pauses(store)
    rows = []
    for job in jobs:
        for scope in job.scopes(host):
            last = store.runs(RunFilter(job=job.name, scope=scope, limit=1))
            rows.append(
                (
                    named(job.name, scope if job.for_each else ""),
                    job.schedule.text,
                    _due(job, host, pauses, following.get((job.name, scope)), at),
                    state_of(last[0]) if last else "-",
                    moment(last[0].scheduled_for, at) if last else "-",
                )
            )
    table(("JOB", "SCHEDULE", "NEXT", "LAST", "OF"), rows, empty="No job is deployed.")
    _tell_waits(paths, jobs)
    if not paths.ready.exists():
        print(no_agent(user=user).sentences[0], file=sys.stderr)


def next_(
    job: Job = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", help="Look at this jobs.toml, not at what is deployed.")
    ] = None,
    count: Annotated[
        int | None, typer.Option("-n", "--count", min=1, help="How many of each job.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="From then on: a time, or in how long (2h) [default: now]."),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            "--days", min=1, max=31, help="Show instead how many start together in so many days."
        ),
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show when jobs are due next; --days: which hours are crowded."""
    from hostagent.codec import rfc3339
    from hostagent.errors import InputError, StoreError
    from hostagent.report.upcoming import upcoming

    if days is not None and count is not None:
        raise InputError("--days and --count exclude each other")
    after, at = parse_time(start) if start else now(), now()
    jobs, host = _of_file(file) if file else deployed(paths_of(user=user))
    chosen = [j for j in jobs if job in {None, j.name}]
    if job is not None and not chosen:
        unknown_job(job, jobs)
    if days is not None:
        _crowds(chosen, host, after, days, as_json=as_json)
        return
    found = upcoming(chosen, host, after, count or (5 if job else 1))
    if as_json:
        emit_json(
            [
                {"job": o.job, "scope": o.scope, "scheduled_for": rfc3339(o.scheduled_for)}
                for o in found
            ]
        )
        return
    pauses = {}
    if file is None:
        with suppress(StoreError):  # what is due stands in the calendars alone
            pauses = _pauses(open_ledger(paths_of(user=user)))
    known = {each.name: each for each in chosen}
    rows = [
        (named(o.job, o.scope), _due(known[o.job], host, pauses, o.scheduled_for, at))
        for o in found
    ]
    table(("JOB", "DUE"), rows, empty="Nothing is due ever again.")
    if file is None:
        _tell_waits(paths_of(user=user), chosen)


def _pauses(ledger: Ledgers) -> dict[RunOn, list[Pause]]:
    """By the kind of job that they can hold."""
    from hostagent.model import RunOn

    return {run_on: ledger.pauses(run_on) for run_on in RunOn}


def _due(
    job: JobModel,
    host: str,
    pauses: Mapping[RunOn, Sequence[Pause]],
    due_at: datetime | None,
    at: datetime,
) -> str:
    """When it is due, and whether a pause lasts until then: it is then skipped."""
    from hostagent.report.paused import holding

    is_paused = due_at is not None and holding(job, host, pauses.get(job.run_on, ()), due_at)
    return moment(due_at, at) + (", paused" if is_paused else "")


def _tell_waits(paths: Paths, jobs: Sequence[JobModel]) -> None:
    """Only what comes after others can wait: else no agent is asked."""
    from hostagent.cli.waits import tell_waits

    if names := {job.name for job in jobs if job.after}:
        tell_waits(paths, names)


def _crowds(
    jobs: Sequence[JobModel], host: str, after: datetime, days: int, *, as_json: bool
) -> None:
    """The most starts in one minute of each hour, before and after jitter."""
    from hostagent.report import heat as report

    found = report.heat(jobs, host, after, after + timedelta(days=days))
    if as_json:
        emit_json(
            [
                {"day": day.isoformat(), "hour": number, **asdict(hour)}
                for (day, number), hour in sorted(found.items())
            ]
        )
        return
    if not found:
        print("Nothing is due then.")
        return
    total = sum(hour.due for hour in found.values())
    print(f"{total} starts. The most in one minute of each hour (local time), as scheduled:")
    _grid(report.rows(found, with_jitter=False))
    print("and with the jitter of each job:")
    _grid(report.rows(found, with_jitter=True))


def _grid(rows: Sequence[tuple[date, Sequence[int]]]) -> None:
    """Days by hours, 80 columns wide; the most are red."""
    most = max(max(counts) for _, counts in rows)
    print(" " * 8 + "".join(f"{hour:3}" for hour in range(24)))
    for day, counts in rows:
        cells = (
            typer.style(
                f"{'·' if not n else n if n < 100 else '++':>3}",
                fg="red" if n == most > 1 else "yellow" if n * 2 > most > 1 else None,
            )
            for n in counts
        )
        typer.echo(f"{day:%a %d}  {''.join(cells)}")


def _of_file(file: Path) -> tuple[tuple[JobModel, ...], str]:
    from hostagent.host.identity import host_name
    from hostagent.spec.load import load

    return load(file, check_host=False).spec.jobs, host_name()
