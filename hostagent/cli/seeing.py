"""Commands that only look: list, next, runs, logs, why, audit."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import Job, Json, User, open_ledger, paths_of
from hostagent.cli.out import emit_json, moment, now, parse_time, table

if TYPE_CHECKING:
    from datetime import datetime

    from hostagent.host.paths import Paths
    from hostagent.model import Job as JobModel
    from hostagent.model import Run
    from hostagent.report.ledgers import Ledgers
    from hostagent.report.why import Story

JOURNAL_LAG = timedelta(seconds=2)
"""How much later than a run's end journald may stamp its last lines."""


def list_(*, user: User = False, as_json: Json = False) -> None:
    """List the deployed jobs: schedule, next occurrence, last run."""
    from hostagent.codec import to_json
    from hostagent.report.upcoming import upcoming
    from hostagent.report.why import no_agent
    from hostagent.store.port import RunFilter

    paths, at = paths_of(user=user), now()
    jobs, host = _deployed(paths)
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
                    _name(job.name, scope if job.for_each else ""),
                    job.schedule.text,
                    moment(following.get((job.name, scope)), at),
                    _state(last[0]) if last else "-",
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
    jobs, host = _of_file(file) if file else _deployed(paths_of(user=user))
    chosen = [j for j in jobs if job in {None, j.name}]
    if job is not None and not chosen:
        _unknown(job, jobs)
    found = upcoming(chosen, host, after, count or (5 if job else 1))
    if as_json:
        emit_json(
            [
                {"job": o.job, "scope": o.scope, "scheduled_for": rfc3339(o.scheduled_for)}
                for o in found
            ]
        )
        return
    rows = [(_name(o.job, o.scope), moment(o.scheduled_for, at)) for o in found]
    table(("JOB", "DUE"), rows, empty="Nothing is due ever again.")


def runs(
    job: Job = None,
    *,
    outcome: Annotated[
        list[str] | None, typer.Option("--outcome", help="Only these outcomes; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Due since this time, or a span ago such as 2h.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 20,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show the ledger: what ran, what did not, newest first."""
    from hostagent.errors import InputError
    from hostagent.model import Outcome
    from hostagent.policy.words import ago
    from hostagent.report.runs import run_json
    from hostagent.store.port import RunFilter

    try:
        outcomes = tuple(Outcome(name) for name in outcome or ())
    except ValueError as error:
        raise InputError(str(error), f"known: {', '.join(Outcome)}") from error
    where = RunFilter(
        job=job,
        outcomes=outcomes,
        since=parse_time(since, past=True) if since else None,
        limit=limit,
    )
    found = open_ledger(paths_of(user=user)).runs(where)
    if as_json:
        emit_json([run_json(run) for run in found])
        return
    at = now()
    rows = [
        (
            run.run_id,
            _state(run),
            moment(run.started_at or run.ended_at, at),
            ago(run.ended_at - run.started_at) if run.ended_at and run.started_at else "-",
            run.end_reason or run.reason,
        )
        for run in found
    ]
    empty = f'No run of "{job}" is on record.' if job else "No run is on record yet."
    table(("RUN", "OUTCOME", "STARTED", "TOOK", "REASON"), rows, empty=empty)


def logs(
    run: Annotated[str, typer.Argument(help="A run's id, or a job's name for its last run.")],
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    user: User = False,
) -> None:
    """Show the journal of a run (journalctl by its invocation)."""
    from hostagent.compile.names import service_name
    from hostagent.errors import RefusedError
    from hostagent.store.port import RunFilter
    from hostagent.systemd.journal import Journal

    store = open_ledger(paths_of(user=user))
    found = store.run(run) or store.runs(RunFilter(job=run, limit=50))[::-1]
    started = [row for row in found if row.invocation_id]
    if not started:
        raise RefusedError(f"no run {run} was ever started", f"see: hostagent why {run}")
    last = started[-1]
    assert last.invocation_id
    fan_out = bool(last.scope) and last.scope != last.host
    command = Journal(user).command(
        last.invocation_id,
        *(["--follow"] if follow else []),
        unit=service_name(last.job, last.scope, fan_out=fan_out),
        since=last.started_at,
        until=None if follow or last.ended_at is None else last.ended_at + JOURNAL_LAG,
    )
    os.execvp(command[0], command)


def why(
    what: Annotated[str, typer.Argument(help="A job's name, or a run's id.")],
    *,
    at: Annotated[
        str | None, typer.Option("--at", help="The occurrence of this time, not the last and next.")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Explain: why it ran, waits, was skipped or is late."""
    from hostagent.report import why as story

    paths = paths_of(user=user)
    store = open_ledger(paths)
    attempts = store.run(what)
    stories = [story.of_run(attempts)] if attempts else _stories_of_job(paths, store, what, at)
    if not attempts and not paths.ready.exists():
        stories.append(story.no_agent(user=user))
    elif not attempts and at is None:
        stories += _held_now(paths, what)
    if as_json:
        emit_json(
            [{"about": s.subject, "state": s.state, "reasons": list(s.sentences)} for s in stories]
        )
        return
    for item in stories:
        print(f"{item.subject}  {item.state}")
        for sentence in item.sentences:
            print(f"  {sentence}")


def _held_now(paths: Paths, job: str) -> list[Story]:
    """What the agent's gate says now; an agent that cannot say it is told by ``status``."""
    from hostagent.cli.client import call
    from hostagent.errors import RefusedError
    from hostagent.report.why import of_held

    try:
        told = call(paths, lambda proxy: proxy.Status())
        held = zip(told["held"], told["held_because"], strict=True)
    except RefusedError:
        return []
    return [of_held(name, why) for name, why in held if name.partition("@")[0] == job]


def _stories_of_job(paths: Paths, store: Ledgers, name: str, at: str | None) -> list[Story]:
    from hostagent.report import why as story
    from hostagent.report.upcoming import of_job
    from hostagent.store.port import PauseTarget, RunFilter

    jobs, host = _deployed(paths)
    job = next((j for j in jobs if j.name == name), None)
    moment_at = now()
    if at is not None:
        when = parse_time(at)
        rows = [r for r in store.runs(RunFilter(job=name)) if _covers(r, when)]
        if not rows:
            return [story.Story(name, "unknown", (f"no occurrence of {at} is on record",))]
        return [story.of_run(store.run(row.run_id)) for row in rows]
    stories: list[Story] = []
    last = store.runs(RunFilter(job=name, limit=1))
    if last:
        stories.append(story.of_run(store.run(last[0].run_id)))
    if job is None:
        if not last:
            _unknown(name, jobs)
        return [*stories, story.Story("next", "never", ("the job is no longer deployed",))]
    names = [(name, scope) for scope in job.scopes(host)]
    cursors = {(c.job, c.scope): c for c in store.cursors(names)}
    applies = {
        (PauseTarget.JOB, name),
        (PauseTarget.LANE, str(job.lane)),
        (PauseTarget.HOST, host),
        (PauseTarget.CLUSTER, ""),
    }
    in_force = [p for p in store.pauses(job.run_on) if p.until is None or p.until > moment_at]
    pauses = [p for p in in_force if (p.target, p.name) in applies]
    for scope in job.scopes(host):
        due = next(of_job(job, scope, moment_at), None)
        cursor = cursors.get((name, scope))
        pause = pauses[0] if pauses else None
        due_at = due.scheduled_for if due is not None else None
        stories.append(story.of_next(due_at, cursor, pause, moment_at))
    turned = [d for d in store.decisions(name) if not last or d.at > last[0].scheduled_for]
    return [*stories, *(story.of_decision(d) for d in turned[:3])]


def audit(
    *,
    start: Annotated[
        str | None, typer.Option("--from", help="From this time on [default: all that is kept].")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", help="Up to this time [default: now].")] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Prove that every occurrence that fell due has exactly one outcome, or list the difference."""
    from hostagent.report.audit import audit as compare
    from hostagent.report.audit import audit_json
    from hostagent.store.port import RunFilter

    store = open_ledger(paths_of(user=user))
    specs = store.specs()
    until = parse_time(to) if to else now()
    first = min((s.valid_from for s in specs), default=until)
    kept = max(first, store.retained_since() or first)
    since = max(parse_time(start), kept) if start else kept
    cursors = store.cursors()  # before the runs: what is claimed in between is not missed then
    ledger = store.runs(RunFilter(since=since - timedelta(days=40), until=None))
    result = compare(specs, ledger, cursors, since, until)
    if as_json:
        emit_json(audit_json(result))
    else:
        at = now()
        rows = [
            (_name(d.job, d.scope), moment(d.scheduled_for, at), d.problem)
            for d in result.differences
        ]
        if rows:
            table(("JOB", "DUE", "DIFFERENCE"), rows, empty="")
        print(
            f"{result.due} occurrences fell due since {moment(since, at)}: {result.settled} have "
            f"their outcome, {result.open} wait or run, {len(result.differences)} differ."
        )
    if result.differences:
        raise typer.Exit(1)


def _deployed(paths: Paths) -> tuple[tuple[JobModel, ...], str]:
    """The jobs in force and the host's name; an error with the way out before the first apply."""
    from hostagent.deploy.generations import current
    from hostagent.errors import RefusedError

    manifest = current(paths)
    if manifest is None:
        raise RefusedError("nothing is deployed here yet", "run: hostagent apply")
    return manifest.jobs, manifest.host


def _of_file(file: Path) -> tuple[tuple[JobModel, ...], str]:
    from hostagent.host.identity import host_name
    from hostagent.spec.load import load

    return load(file, check_host=False).spec.jobs, host_name()


def _unknown(name: str, jobs: tuple[JobModel, ...]) -> None:
    import difflib

    from hostagent.errors import InputError

    near = difflib.get_close_matches(name, [job.name for job in jobs], 1)
    hint = f'did you mean "{near[0]}"?' if near else "see: hostagent list"
    raise InputError(f'there is no job "{name}"', hint)


def _name(job: str, scope: str) -> str:
    return f"{job}@{scope}" if scope else job


def _state(run: Run) -> str:
    from hostagent.report.runs import state_of

    return state_of(run)


def _covers(run: Run, when: datetime) -> bool:
    first = run.covers_from or run.scheduled_for
    return first <= when <= run.scheduled_for
