"""Commands that read the ledger: what ran, what it printed, and the proof that nothing is lost."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Annotated

import typer

from hostagent.cli.options import Job, Json, Since, User, open_ledger, paths_of, refuse_unknown
from hostagent.cli.out import emit_json, moment, named, now, parse_past, table

JOURNAL_LAG = timedelta(seconds=2)
"""How much later than a run's end journald may stamp its last lines."""


def runs(
    job: Job = None,
    *,
    outcome: Annotated[
        list[str] | None, typer.Option("--outcome", help="Only these outcomes; may be repeated.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Only on this host.")] = None,
    since: Since = None,
    until: Annotated[
        str | None,
        typer.Option("--until", help="Due at or before then: a time, or how long ago (2h)."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", help="Only with this text in the reason.")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 20,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show the ledger: what ran, what did not, newest first."""
    from hostagent.cli.hung import hung_now
    from hostagent.errors import InputError
    from hostagent.model import Outcome
    from hostagent.policy.words import ago
    from hostagent.report.runs import RUNNING, run_json, state_of
    from hostagent.store.port import RunFilter

    unknown = sorted({*(outcome or ())} - {*Outcome})
    if unknown:
        raise InputError(f'there is no outcome "{unknown[0]}"', f"known: {', '.join(Outcome)}")
    begin = parse_past(since) if since else None
    end = parse_past(until) if until else None
    if begin and end and end < begin:
        raise InputError(f"--until {until} lies before --since {since}", "exchange them")
    paths = paths_of(user=user)
    found = open_ledger(paths).runs(
        RunFilter(
            job=job,
            outcomes=tuple(map(Outcome, outcome or ())),
            host=host,
            since=begin,
            until=end,
            limit=limit,
            reason=reason,
        )
    )
    is_going = any(state_of(run) == RUNNING for run in found)
    hung = hung_now(paths) if is_going else {}
    marks = [hung.get(run.run_id) if state_of(run) == RUNNING else None for run in found]
    if as_json:
        emit_json([run_json(run, mark) for run, mark in zip(found, marks, strict=True)])
        return
    at = now()
    rows = [
        (
            run.run_id,
            "hung?" if mark else state_of(run),
            run.host,
            moment(run.started_at or run.ended_at, at),
            ago(run.ended_at - run.started_at) if run.ended_at and run.started_at else "-",
            str(mark) if mark else run.end_reason or run.reason,
        )
        for run, mark in zip(found, marks, strict=True)
    ]
    narrowed = outcome or host or begin or end or reason
    whose = f' of "{job}"' if job else ""
    empty = f"No run{whose} on record is like that." if narrowed else f"No run{whose} is on record."
    table(("RUN", "OUTCOME", "HOST", "STARTED", "TOOK", "REASON"), rows, empty=empty)


def logs(
    run: Annotated[str, typer.Argument(help="A run's id, or a job's name for its last run.")],
    *,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as lines come.")] = False,
    user: User = False,
) -> None:
    """Show the journal of a run (journalctl by its invocation)."""
    from hostagent.compile.names import service_name
    from hostagent.errors import RefusedError
    from hostagent.model import parse_run_id
    from hostagent.store.port import RunFilter
    from hostagent.systemd.journal import Journal

    paths = paths_of(user=user)
    store = open_ledger(paths)
    found = store.run(run) or store.runs(RunFilter(job=run, limit=50))[::-1]
    started = [row for row in found if row.invocation_id]
    if not started:
        meant = parse_run_id(run)
        if meant and not found:
            refuse_unknown(paths, meant[0])
            hint = f"see: hostagent runs {meant[0]}"
            raise RefusedError(f"no run {run} is on record", hint)
        if not found:
            refuse_unknown(paths, run)
        what = f"the run {run} was never started" if meant else f"no run of {run} was ever started"
        raise RefusedError(what, f"see: hostagent why {run}")
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


def audit(
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="From then on: a time, or how long ago (2h) [default: all that is kept]."
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Up to then, told likewise [default: now].")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Prove that all that fell due has exactly one outcome.

    Else list the difference, and exit 1.
    """
    from hostagent.report.audit import audit as compare
    from hostagent.report.audit import audit_json
    from hostagent.store.port import RunFilter

    store = open_ledger(paths_of(user=user))
    specs = store.specs()
    until = parse_past(to) if to else now()
    first = min((s.valid_from for s in specs), default=until)
    kept = max(first, store.retained_since() or first)
    since = max(parse_past(start), kept) if start else kept
    cursors = store.cursors()  # before the runs: what is claimed in between is not missed then
    ledger = store.runs(RunFilter(since=since - timedelta(days=40), until=None))
    result = compare(specs, ledger, cursors, since, until)
    if as_json:
        emit_json(audit_json(result))
    else:
        at = now()
        rows = [
            (named(d.job, d.scope), moment(d.scheduled_for, at), d.problem)
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
