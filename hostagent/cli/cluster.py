"""Commands about the cluster: who is in it, draining a host, jobs in quarantine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from hostagent.cli.options import Json, User, about_job, open_ledger, paths_of, refuse_unknown
from hostagent.cli.out import emit_json, moment, named, now, table
from hostagent.policy.words import counted

quarantine = typer.Typer(
    name="quarantine",
    help="See which jobs were taken out, and why; put them back.",
    no_args_is_help=True,
)

JobName = Annotated[str, typer.Argument(help="A job's name.")]
Scope = Annotated[str, typer.Argument(help="Which of its scopes.")]

POLL_S = 1.0


def status(
    *,
    cluster: Annotated[bool, typer.Option("--cluster", help="All hosts of the store.")] = False,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Show what this host's agent does; --cluster: who is there."""
    from dataclasses import asdict

    from hostagent.cli.client import call
    from hostagent.report.cluster import members, mixed_specs

    paths = paths_of(user=user)
    if not cluster:
        told = call(paths, lambda proxy: proxy.Status())
        if as_json:
            emit_json(told)
        else:
            _print_status(told)
        return
    sessions = open_ledger(paths).sessions()
    found = members(sessions)
    if as_json:
        emit_json([asdict(member) for member in found])
        return
    rows = [
        (m.host, m.state, str(m.runs), m.version, m.spec, m.ttl, ", ".join(m.labels)) for m in found
    ]
    headings = ("HOST", "STATE", "RUNS", "VERSION", "JOBS.TOML", "TTL", "LABELS")
    table(headings, rows, empty="No agent has a session in this store.")
    for sentence in mixed_specs(sessions):
        print(sentence)


def _print_status(told: Mapping[str, Any]) -> None:
    """One host, a line for each thing that goes on or is in the way."""
    from hostagent.cli.hung import marks
    from hostagent.cli.waits import waits

    print(f"{told['host']}: {counted(told['jobs'], 'job')} of generation {told['generation']}")
    if told["barred"]:
        print(f"  barred   {told['barred']}")
    for alarm in told["alarms"]:
        print(f"  alarm    {alarm['sentence']}")
    _print_untold(told)
    for order in told["paused"]:
        print(f"  paused   {order}")
    hung = marks(told)
    for run in told["running"]:
        print(f"  hung?    {run}: {hung[run]}" if run in hung else f"  running  {run}")
    if told["settles"]:
        print(f"  settles  {told['settles']}")
    if told["pace"]:
        print(f"  released {told['pace']}")
    for name, why in zip(told["held"], told["held_because"], strict=True):
        print(f"  held     {name}: {why.removeprefix('held: ')}")
    for name, why in waits(told).items():
        print(f"  waits    {name}: {why.removeprefix('waits for ')}")
    if told["next_at"]:
        at = moment(datetime.fromisoformat(told["next_at"]), now())
        print(f"  next     {told['next_job']} at {at}")


def _print_untold(told: Mapping[str, Any]) -> None:
    """Whom no message reaches; an agent of before does not say it."""
    from hostagent.report.health import not_told

    for one in told.get("untold", ()):
        print(f"  untold   {not_told(one, now())}; see: hostagent doctor")


def drain(
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="Take part again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until nothing runs here.")] = False,
    user: User = False,
) -> None:
    """Let other hosts take what falls due; what runs here goes on.

    Jobs that run on each host go on. It holds until --cancel, or until the agent restarts.
    """
    from hostagent.cli.client import call

    paths = paths_of(user=user)
    running = call(paths, lambda proxy: proxy.Drain(drains=not cancel))["running"]
    if cancel:
        print("This host takes part again.")
        return
    while wait and running:
        print(f"waiting for {', '.join(running)}", flush=True)
        time.sleep(POLL_S)
        running = call(paths, lambda proxy: proxy.Drain(drains=True))["running"]
    left = f"; still running: {', '.join(running)}" if running else "; nothing of it runs here"
    print(f"This host claims nothing of the cluster's any more{left}.")
    print("Undo: hostagent drain --cancel")


@quarantine.command("list")
def list_(*, user: User = False, as_json: Json = False) -> None:
    """List the jobs that are out, since when and why."""
    from hostagent.codec import to_json

    found, at = open_ledger(paths_of(user=user)).quarantines(), now()
    if as_json:
        emit_json([to_json(one) for one in found])
        return
    rows = [(named(q.job, q.scope), moment(q.since, at), q.host, q.reason) for q in found]
    table(("JOB", "SINCE", "HOST", "REASON"), rows, empty="No job is in quarantine.")
    if rows:
        print("How it crashed: hostagent quarantine show JOB")


@quarantine.command("show")
def show(job: JobName, scope: Scope = "", *, user: User = False, as_json: Json = False) -> None:
    """Show how a job crashed, what it printed last, its report."""
    from hostagent.codec import to_json
    from hostagent.errors import RefusedError

    paths = paths_of(user=user)
    everything = open_ledger(paths).quarantines()
    found = [q for q in everything if q.job == job and scope in {"", q.scope}]
    if not found:
        refuse_unknown(paths, job)
        raise RefusedError(f"{named(job, scope)} is not in quarantine", "hostagent quarantine list")
    if as_json:
        emit_json([to_json(one) for one in found])
        return
    for one in found:
        print(f"{named(one.job, one.scope)} is out since {moment(one.since, now())}: {one.reason}")
        for attempt in one.attempts:
            print(f"  {attempt}")
        if one.evidence:
            print("What the last one printed:")
            print("\n".join(f"  {line}" for line in one.evidence.splitlines()))
        else:
            print(f"Of what the last one printed, on {one.host}, nothing was kept.")
        if one.report:
            print(f"Its report: {one.report}")
        print(f"All that it printed, on {one.host}: hostagent logs {one.job}")
        print(f"Put it back: hostagent quarantine reinstate {one.job} {one.scope}".rstrip())


@quarantine.command("reinstate")
def reinstate(job: JobName, scope: Scope = "", *, user: User = False) -> None:
    """Put a job back. Its next occurrence runs; what it missed stays quarantined.

    Exit 1: it was not in quarantine.
    """
    from hostagent.cli.client import call

    paths = paths_of(user=user)
    with about_job(paths, job):
        was_out = call(paths, lambda proxy: proxy.Reinstate(job=job, scope=scope))["was_out"]
    if not was_out:
        refuse_unknown(paths, job)
        print(f"{named(job, scope)} was not in quarantine")
        raise typer.Exit(1)
    print(f"{named(job, scope)} is back; run it now: hostagent run {job} {scope}".rstrip())
