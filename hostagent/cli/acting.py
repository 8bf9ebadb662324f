"""Commands about runs (stop, retry, backfill), and the log of who ordered what."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hostagent.cli.options import (
    Job,
    Json,
    User,
    about_job,
    open_ledger,
    paths_of,
    refuse_unknown,
)
from hostagent.cli.out import emit_json, moment, now, parse_past, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostagent.host.paths import Paths
    from hostagent.store.port import AuditEvent

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")]


def stop(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id, or a job's name for its one run.")
    ],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")] = "",
    user: User = False,
    as_json: Json = False,
) -> None:
    """Stop a run of this host, and wait until it has ended. It is abandoned, not failed.

    It is not tried again by itself, and does not count as a crash.
    """
    from hostagent.cli.client import call

    async def end(proxy: Any) -> tuple[str, str]:
        told = await proxy.Stop(run=run, reason=reason or "no reason given")
        name = told["run_id"]
        if not told["goes_on"]:
            return name, "abandoned"
        if not as_json:
            print(f"{name} is being stopped", flush=True)
        return name, (await proxy.Wait(run_id=name))["outcome"]

    name, outcome = call(paths_of(user=user), end)
    if as_json:
        emit_json({"run_id": name, "outcome": outcome})
        return
    then = "start it again: hostagent retry" if outcome == "abandoned" else "see: hostagent why"
    print(f"{name} {outcome}; {then} {name}")


def retry(
    run: RunId,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its outcome.")] = False,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Try a run again that has failed or was abandoned.

    It is the same run, its next attempt, now. With --wait, exit 1 unless it succeeds.
    """
    from hostagent.cli.client import call

    async def start(proxy: Any) -> tuple[str, int, str | None]:
        told = await proxy.Retry(run=run)
        name, attempt = told["run_id"], told["attempt"]
        if not as_json:
            print(f"{name} started, attempt {attempt}; see: hostagent logs {name}", flush=True)
        outcome = (await proxy.Wait(run_id=name))["outcome"] if wait else None
        return name, attempt, outcome

    paths = paths_of(user=user)
    with _about_run(paths, run):
        name, attempt, outcome = call(paths, start)
    if as_json:
        emit_json({"run_id": name, "attempt": attempt, "outcome": outcome})
    elif outcome is not None:
        print(f"{name} {outcome}; see: hostagent why {name}")
    if outcome not in {None, "succeeded"}:
        raise typer.Exit(1)


@contextmanager
def _about_run(paths: Paths, name: str) -> Iterator[None]:
    """Who names a job, where a run is to be named, is told of its last run that failed.

    Raises:
        InputError: instead of a refusal, if it is no run's id.
    """
    from hostagent.errors import InputError, RefusedError
    from hostagent.model import Outcome, parse_run_id
    from hostagent.store.port import RunFilter

    try:
        yield
    except RefusedError:
        if parse_run_id(name) is not None:
            raise
        refuse_unknown(paths, name)
        outcomes = (Outcome.FAILED, Outcome.ABANDONED)
        where = RunFilter(job=name, outcomes=outcomes, limit=1)
        last = open_ledger(paths).runs(where)
        way = "its last failed run: hostagent retry" if last else "none of its runs failed; see:"
        what = last[0].run_id if last else f"hostagent runs {name}"
        raise InputError(f"{name} is a job, and a run is to be named", f"{way} {what}") from None


def backfill(
    job: Annotated[str, typer.Argument(help="A job's name.")],
    scope: Annotated[str, typer.Argument(help="One of its scopes; else all of this host.")] = "",
    *,
    start: Annotated[
        str,
        typer.Option("--from", help="What fell due from then on: a time, or how long ago (2h)."),
    ],
    to: Annotated[
        str | None, typer.Option("--to", help="And up to then, told likewise [default: now].")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", help="missing: what had no attempt; failed: what had one."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would run.")] = False,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Run what fell due in a past range and has no success.

    Oldest first, one at a time, after all that was missed, while the host can bear it. No scheduled
    occurrence is used up or skipped. It goes on after a restart; give it up with: hostagent backlog
    abandon.
    """
    from hostagent.cli.client import call
    from hostagent.errors import InputError
    from hostagent.model import Only

    if only not in {None, Only.MISSING, Only.FAILED}:
        raise InputError(f'--only "{only}" is not known', "known: missing, failed")
    first = parse_past(start)
    last = parse_past(to) if to else now()
    if last < first:
        raise InputError("--to lies before --from")
    paths = paths_of(user=user)
    with about_job(paths, job):
        due = call(
            paths,
            lambda proxy: proxy.Backfill(
                job=job,
                scope=scope,
                first=first.isoformat(),
                last=last.isoformat(),
                only=only or Only.ANY,
                is_dry=dry_run,
            ),
        )["due"]
    if as_json:
        emit_json(due)
        return
    if dry_run:
        at = now()
        rows = [
            (one["scope"] or "-", moment(datetime.fromisoformat(one["scheduled_for"]), at))
            for one in due
        ]
        table(("SCOPE", "DUE"), rows, empty="Nothing is left to be run.")
    elif not due:
        print("Nothing is left to be run.")
    else:
        print(f"{len(due)} runs of {job} follow, one after the other; see: hostagent backlog list")


def audit_log(
    job: Job = None,
    *,
    since: Annotated[
        str | None, typer.Option("--since", help="From then on: a time, or how long ago (2h).")
    ] = None,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, help="How many at most.")] = 20,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show who changed what, newest first.

    Runs by hand, stops, pauses, reinstatements and the rest, each with its uid and reason.
    """
    from hostagent.report.audit_log import event_json, is_about

    start = parse_past(since) if since else None
    log = open_ledger(paths_of(user=user)).audit_log(start)
    found = [event for event in reversed(log) if job is None or is_about(event, job)][:limit]
    if as_json:
        emit_json([event_json(event) for event in found])
        return
    at = now()
    rows = [
        (moment(event.at, at), _who(event), event.host, event.action, event.target, event.detail)
        for event in found
    ]
    empty = f'Nobody has changed "{job}".' if job else "Nobody has changed anything."
    table(("AT", "BY", "HOST", "ACTION", "TARGET", "REASON"), rows, empty=empty)


def _who(event: AuditEvent) -> str:
    """The user's name as this host knows it, and the number that counts."""
    import pwd

    try:
        return f"{pwd.getpwuid(event.uid).pw_name} ({event.uid})"
    except KeyError:
        return str(event.uid)
