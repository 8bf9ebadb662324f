"""Commands about what was missed and waits: the backlog of this host."""

from __future__ import annotations

import sys
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hostagent.cli.options import Json, User, paths_of
from hostagent.cli.out import emit_json, now, parse_future, relative, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostagent.policy.samples import Sample

backlog = typer.Typer(
    name="backlog",
    help="See what was missed and waits; hold it, let it go, give it up.",
    no_args_is_help=True,
)

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
    from hostagent.report.top import starts

    told = call(paths_of(user=user), lambda proxy: proxy.Backlog())
    if storm_check:
        _storm_check(told["storm"], as_json=as_json)
        return
    if as_json:
        shown = ("settles", "pace", "held", "catching_up", "backfills")
        emit_json({key: told[key] for key in shown})
        return
    if told["settles"]:
        print(f"settles: {told['settles']}")
    if told["pace"]:
        print(f"released: {told['pace']}")
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
            starts(_instant(one["expected"]), one["bound"], at),
            one["reason"].removeprefix("held: "),
        )
        for one in told["held"]
    ]
    headings = ("JOB", "DUE", "COVERS", "HELD SINCE", "LOST", "STARTS", "REASON")
    table(headings, rows, empty="Nothing is held.")


@backlog.command("plot")
def plot(*, user: User = False, as_json: Json = False) -> None:
    """Plot the last hour: pressure, memory, slots, releases.

    The agent looks only while something is held or several runs catch up: in between it is blank.
    """
    from hostagent.cli.client import call
    from hostagent.report import plot as plots

    told = call(paths_of(user=user), lambda proxy: proxy.Samples())["samples"]
    if as_json:
        emit_json(told)
        return
    if not told:
        print("Nothing was held in the last hour, or the agent was restarted since.")
        return
    marks = plots.BLOCKS if sys.stdout.isatty() else plots.PLAIN
    for line in plots.plot(samples_of(told), now(), marks):
        print(line)


def samples_of(told: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """The agent's ``Samples``."""
    from hostagent.policy.samples import Sample

    known = [field.name for field in fields(Sample)]
    return [
        Sample(**{name: one[name] for name in known} | {"at": datetime.fromisoformat(one["at"])})
        for one in told
    ]


@backlog.command("hold")
def hold(
    job: Job = None,
    *,
    every: All = False,
    until: Annotated[
        str | None, typer.Option("--until", help="Lift it then: a time, or in how long (2h).")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")] = "",
    user: User = False,
) -> None:
    """Let nothing that was missed start. It stays owed, as long as its catch-up window lasts.

    Fresh occurrences go on.
    """
    from hostagent.cli.client import call

    name = _target(job, every=every)
    lift = parse_future("--until", until).astimezone(UTC).isoformat() if until else None
    said = reason or "no reason given"
    call(
        paths_of(user=user),
        lambda proxy: proxy.Pause(target="backlog", name=name, until=lift, reason=said),
    )
    print(f"what was missed of {_what(name)} waits; let it go: hostagent backlog release", end="")
    print(f" {name or '--all'}")


@backlog.command("release")
def release(
    job: Job = None,
    *,
    every: All = False,
    rate: Annotated[
        str | None,
        typer.Option("--rate", help="Let them go one by one, at most so fast: 6/min, 30/h."),
    ] = None,
    user: User = False,
) -> None:
    """Lift a hold. A job that is named goes now, if memory and its pool's max allow.

    --all ends the settle time, and the gate goes on by its rules. With --rate, what is held now
    goes at that rate, the most urgent first; memory and a pool's max still hold it. A release
    --all without one ends the rate, and so does a restart of the agent.
    """
    from hostagent.cli.client import call
    from hostagent.errors import InputError
    from hostagent.policy import pace

    name, more = _target(job, every=every), {}
    if rate is not None:
        try:
            more["rate"] = str(pace.parse(rate))
        except ValueError as error:
            raise InputError(f'--rate "{rate}" {error}', "write 6/min, or 30/h") from None
    found = call(paths_of(user=user), lambda proxy: proxy.Release(job=name, **more))["released"]
    at = f" at {more['rate']}" if more else ""
    print(f"released{at}: {', '.join(found)}" if found else f"nothing of {_what(name)} is held")


@backlog.command("abandon")
def abandon(
    job: Job = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")],
    every: All = False,
    older_than: Annotated[
        str | None, typer.Option("--older-than", help="Only what was due so long ago (2h).")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Give up what is held: it never runs.

    It gets the outcome abandoned, with the reason. A run that waits to be tried again stays failed,
    and its record has the reason, too. What was not missed is not given up: exit 1 if there was
    nothing else.
    """
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
    )
    given_up = told["abandoned"]
    if as_json:
        emit_json(given_up)
    for one in () if as_json else given_up:
        print(f"{one['name']}: {_given_up(one)} abandoned")
    for fresh in told["fresh"]:
        owner = fresh.partition("@")[0]
        print(
            f"{fresh} was not missed: it waits for its start, and is not abandoned "
            f"(why: hostagent why {owner}).\n"
            f"  To skip it: hostagent pause {owner}, then hostagent resume {owner}",
            file=sys.stderr,
        )
    if told["fresh"] and not given_up:
        raise typer.Exit(1)
    if not given_up and not as_json:
        print(f"nothing of {_what(name)} is held")


def _given_up(one: dict[str, Any]) -> str:
    """``3 occurrences``, ``1 occurrence and a retry``."""
    many = "occurrences" if one["count"] > 1 else "occurrence"
    found = [f"{one['count']} {many}"] if one["count"] else []
    return " and ".join([*found, "a retry"] if one["retry"] else found)


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


def _instant(at: str) -> datetime | None:
    return datetime.fromisoformat(at) if at else None
