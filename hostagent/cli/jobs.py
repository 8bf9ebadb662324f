"""Commands about the jobs: what is deployed, and when it is due."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import Job, Json, User, deployed, open_ledger, paths_of, unknown_job
from hostagent.cli.out import emit_json, moment, named, now, parse_time, table

if TYPE_CHECKING:
    from hostagent.model import Job as JobModel


def list_(*, user: User = False, as_json: Json = False) -> None:
    """List the deployed jobs: schedule, next occurrence, last run."""
    from hostagent.codec import to_json
    from hostagent.report.runs import state_of
    from hostagent.report.upcoming import upcoming
    from hostagent.report.why import no_agent
    from hostagent.store.port import RunFilter

    paths, at = paths_of(user=user), now()
    jobs, host = deployed(paths)
    if as_json:
        emit_json([to_json(job) for job in jobs])
        return
    following = {(o.job, o.scope): o.scheduled_for for o in upcoming(jobs, host, at, 1)}
    store = open_ledger(paths)
    rows = []
    for job in jobs:
        for scope in job.scopes(host):
            last = store.runs(RunFilter(job=job.name, scope=scope, limit=1))
            rows.append(
                (
                    named(job.name, scope if job.for_each else ""),
                    job.schedule.text,
                    moment(following.get((job.name, scope)), at),
                    state_of(last[0]) if last else "-",
                    moment(last[0].scheduled_for, at) if last else "-",
                )
            )
    table(("JOB", "SCHEDULE", "NEXT", "LAST", "OF"), rows, empty="No job is deployed.")
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
        str | None, typer.Option("--from", help="From this time on (RFC 3339) [default: now].")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show when jobs are due next."""
    from hostagent.codec import rfc3339
    from hostagent.report.upcoming import upcoming

    after, at = parse_time(start) if start else now(), now()
    jobs, host = _of_file(file) if file else deployed(paths_of(user=user))
    chosen = [j for j in jobs if job in {None, j.name}]
    if job is not None and not chosen:
        unknown_job(job, jobs)
    found = upcoming(chosen, host, after, count or (5 if job else 1))
    if as_json:
        emit_json(
            [
                {"job": o.job, "scope": o.scope, "scheduled_for": rfc3339(o.scheduled_for)}
                for o in found
            ]
        )
        return
    rows = [(named(o.job, o.scope), moment(o.scheduled_for, at)) for o in found]
    table(("JOB", "DUE"), rows, empty="Nothing is due ever again.")


def _of_file(file: Path) -> tuple[tuple[JobModel, ...], str]:
    from hostagent.host.identity import host_name
    from hostagent.spec.load import load

    return load(file, check_host=False).spec.jobs, host_name()
