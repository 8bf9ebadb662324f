"""Commands about what was missed and waits: the backlog of this host."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from hostagent.cli.options import Json, User, paths_of
from hostagent.cli.out import emit_json, now, parse_time, relative, table

backlog = typer.Typer(help="Missed runs that wait to be caught up.", no_args_is_help=True)

Job = Annotated[str | None, typer.Argument(help="A job's name.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All jobs instead of one.")]


@backlog.command("list")
def list_(
    *,
    storm_check: Annotated[
        bool,
        typer.Option("--storm-check", help="Say instead whether the storm is over; exit 1: no."),
    ] = False,
    user: User = False,
    as_json: Json = False,
) -> None:
    """List what is held, in the order in which it will go, and why."""
    from hostagent.cli.client import call

    told = call(paths_of(user=user), lambda proxy: proxy.Backlog())
    if storm_check:
        _storm_check(told["storm"], as_json=as_json)
        return
    if as_json:
        emit_json({key: told[key] for key in ("settles", "held", "catching_up", "backfills")})
        return
    if told["settles"]:
        print(f"settles: {told['settles']}")
    for run in told["catching_up"]:
        print(f"catches up: {run}")
    for one in told["backfills"]:
        left = "an unknown number" if one["left"] is None else one["left"]
        span = f"{one['first']} to {one['last']}, asked for by {one['by']}"
        print(f"backfill: {one['name']}, {left} left of {span}")
    at = now()
    rows = [
        (
            one["name"],
            _ago(one["due"], at),
            str(one["covers"]),
            _ago(one["since"], at),
            _ago(one["lost"], at),
            one["reason"].removeprefix("held: "),
        )
        for one in told["held"]
    ]
    headings = ("JOB", "DUE", "COVERS", "HELD SINCE", "LOST", "REASON")
    table(headings, rows, empty="Nothing is held.")


@backlog.command("hold")
def hold(
    job: Job = None,
    *,
    every: All = False,
    until: Annotated[
        str | None, typer.Option("--until", help="Lift it then: a time, or a span such as 2h.")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")] = "",
    user: User = False,
) -> None:
    """Let nothing that was missed start. It stays owed, as long as its catch-up window lasts.

    Fresh occurrences go on.
    """
    from hostagent.cli.client import call

    name = _target(job, every=every)
    lift = parse_time(until).astimezone(UTC).isoformat() if until else None
    said = reason or "no reason given"
    call(
        paths_of(user=user),
        lambda proxy: proxy.Pause(target="backlog", name=name, until=lift, reason=said),
    )
    print(f"what was missed of {_what(name)} waits; let it go: hostagent backlog release", end="")
    print(f" {name or '--all'}")


@backlog.command("release")
def release(job: Job = None, *, every: All = False, user: User = False) -> None:
    """Lift a hold. A job that is named goes now, if memory allows; --all ends the settle time."""
    from hostagent.cli.client import call

    name = _target(job, every=every)
    found = call(paths_of(user=user), lambda proxy: proxy.Release(job=name))["released"]
    print(f"released: {', '.join(found)}" if found else f"nothing of {_what(name)} is held")


@backlog.command("abandon")
def abandon(
    job: Job = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")],
    every: All = False,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Only what was due so long ago, such as 2h.")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Give up what is held: it gets the outcome abandoned, with the reason, and never runs."""
    from hostagent.cli.client import call
    from hostagent.errors import InputError
    from hostagent.spec.spans import parse_span

    name, before = _target(job, every=every), None
    if older_than is not None:
        try:
            before = (now() - parse_span(older_than)).isoformat()
        except ValueError as error:
            raise InputError(f'--older-than "{older_than}": {error}', "write 2h") from None
    told = call(
        paths_of(user=user),
        lambda proxy: proxy.Abandon(job=name, before=before, reason=reason),
    )["abandoned"]
    if as_json:
        emit_json(told)
        return
    for one in told:
        many = "occurrences" if one["count"] > 1 else "occurrence"
        print(f"{one['name']}: {one['count']} {many} abandoned")
    if not told:
        print(f"nothing of {_what(name)} is held")


def _storm_check(facts: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        emit_json(facts)
    else:
        for fact in facts:
            print(f"{'yes' if fact['is_so'] else 'no':<4} {fact['sentence']}")
    if not all(fact["is_so"] for fact in facts):
        raise typer.Exit(1)


def _target(job: str | None, *, every: bool) -> str:
    """The job, or nothing for all."""
    from hostagent.errors import InputError

    if (job is None) != every:
        raise InputError("say one of: a job, --all")
    return job or ""


def _what(name: str) -> str:
    return name or "all jobs"


def _ago(at: str, here: datetime) -> str:
    return relative(datetime.fromisoformat(at), here) if at else "-"
