"""Commands that act on jobs through the agent, and the agent itself."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from datetime import UTC
from typing import Annotated, Any

import typer

from hostagent.cli.options import Json, User, about_job, paths_of, refuse_unknown
from hostagent.cli.out import emit_json, now, parse_future, parse_time, relative

agent = typer.Typer(
    name="agent", help="Install the daemon of this host, remove it, ask it.", no_args_is_help=True
)
FromPackage = Annotated[bool, typer.Option("--from-package", hidden=True)]
"""For a package's scripts: its units are there, and its package manager enables and starts them."""
token = typer.Typer(
    name="token", help="Ask, from within a job, about the run that it is.", no_args_is_help=True
)


def run(
    job: Annotated[str, typer.Argument(help="A job's name.")],
    scope: Annotated[str, typer.Argument(help="Which of its scopes.")] = "",
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its outcome.")] = False,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Run as if this time were meant (RFC 3339).")
    ] = None,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Run a job now. A manual run never uses up a scheduled occurrence.

    With --wait, exit 1 unless it succeeds.
    """
    from hostagent.cli.client import call

    meant = parse_time(as_of).astimezone(UTC).isoformat() if as_of else None
    paths = paths_of(user=user)

    async def start(proxy: Any) -> tuple[str, str | None]:
        run_id = (await proxy.Run(job=job, scope=scope, as_of=meant))["run_id"]
        if not as_json:
            print(f"{run_id} started; see: hostagent logs {run_id}", flush=True)
        outcome = (await proxy.Wait(run_id=run_id))["outcome"] if wait else None
        return run_id, outcome

    with about_job(paths, job):
        run_id, outcome = call(paths, start)
    if as_json:
        emit_json({"run_id": run_id, "outcome": outcome})
    elif outcome is not None:
        print(f"{run_id} {outcome}; see: hostagent why {run_id}")
    if outcome not in {None, "succeeded"}:
        raise typer.Exit(1)


def pause(
    job: Annotated[str | None, typer.Argument(help="A job's name.")] = None,
    *,
    lane: Annotated[str | None, typer.Option("--lane", help="A lane instead of a job.")] = None,
    host: Annotated[
        bool,
        typer.Option("--host", help="All jobs of this host; others run what they may."),
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="All jobs, on every host that shares the store.")
    ] = False,
    until: Annotated[
        str | None, typer.Option("--until", help="Lift it then: a time, or in how long (2h).")
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the ledger.")] = "",
    user: User = False,
) -> None:
    """Let nothing scheduled start. What falls due meanwhile is recorded as skipped.

    It is not run afterwards. What runs goes on, and a run by hand starts in spite of the pause.
    """
    from hostagent.cli.client import call
    from hostagent.report.paused import resume as resume_command
    from hostagent.store.port import PauseTarget

    paths = paths_of(user=user)
    target, name = _target(job, lane, host=host, every=every, user=user)
    lift = parse_future("--until", until) if until else None
    utc = lift.astimezone(UTC).isoformat() if lift else None
    said = reason or "no reason given"
    with about_job(paths, name) if job else nullcontext():
        call(paths, lambda proxy: proxy.Pause(target=target, name=name, until=utc, reason=said))
    how = f"lift it: {resume_command(PauseTarget(target), name, user=user)}"
    limit = f"lifts {relative(lift, now())}" if lift else how
    print(f"{_said(target, name)} paused; {limit}")


def resume(
    job: Annotated[str | None, typer.Argument(help="A job's name.")] = None,
    *,
    lane: Annotated[str | None, typer.Option("--lane", help="A lane instead of a job.")] = None,
    host: Annotated[bool, typer.Option("--host", help="All jobs of this host.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="All jobs, on every host that shares the store.")
    ] = False,
    user: User = False,
) -> None:
    """Lift a pause. Nothing starts because of it: the next occurrence runs as scheduled.

    Exit 1: nothing was paused.
    """
    from hostagent.cli.client import call

    paths = paths_of(user=user)
    target, name = _target(job, lane, host=host, every=every, user=user)
    answer = call(paths, lambda proxy: proxy.Resume(target=target, name=name))
    if not answer["was_paused"]:
        if job:
            refuse_unknown(paths, job)
        print(f"{_said(target, name, was=True)} not paused", file=sys.stderr)
        raise typer.Exit(1)
    print(f"{_said(target, name)} no longer paused; see: hostagent next {job or ''}".rstrip())


def version(*, as_json: Json = False) -> None:
    """Say the versions of hostagent, Python and systemd."""
    import platform

    from hostagent import __version__

    facts = {
        "hostagent": __version__,
        "python": platform.python_version(),
        "systemd": _systemd_version(),
    }
    if as_json:
        emit_json(facts)
        return
    print("\n".join(f"{name} {value or 'not found'}" for name, value in facts.items()))


def _systemd_version() -> str | None:
    """What ``systemctl --version`` says; None where there is no systemd."""
    import subprocess

    try:
        done = subprocess.run(["systemctl", "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.decode().split()[1]


@agent.command("run")
def agent_run(*, user: User = False) -> None:
    """Be the agent of this host (hostagent.service does this)."""
    from hostagent.agent.wiring import run_agent

    run_agent(paths_of(user=user))


@agent.command("install")
def agent_install(*, user: User = False, from_package: FromPackage = False) -> None:
    """Install the agent's own units and start it.

    Beside a package, which has them, only let the agent reach its store.
    """
    from hostagent.cli.installing import install

    install(paths_of(user=user), from_package=from_package)


@agent.command("uninstall")
def agent_uninstall(*, user: User = False, from_package: FromPackage = False) -> None:
    """Stop the agent and remove its own units.

    Jobs, ledger and configuration stay.
    """
    from hostagent.cli.installing import uninstall

    uninstall(paths_of(user=user), from_package=from_package)


@agent.command("status")
def agent_status(*, user: User = False, as_json: Json = False) -> None:
    """Print all that the agent says, a line for each field."""
    from hostagent.cli.client import call

    status = call(paths_of(user=user), lambda proxy: proxy.Status())
    if as_json:
        emit_json(status)
        return
    for key, value in status.items():
        shown = ", ".join(map(_word, value)) or "-" if isinstance(value, list) else value
        shown = "-" if shown is None else shown
        print(f"{key.replace('_', ' '):<11} {shown}")


def _word(value: object) -> str:
    """An alarm is its sentence."""
    return str(value["sentence"]) if isinstance(value, dict) else str(value)


@token.command("check")
def token_check() -> None:
    """Ask, from within a job, whether its run holds its claim.

    Exit 0: yes; 1: no, or, with a sentence, the agent has not answered within 5 s.
    """
    from hostagent.token import main

    raise typer.Exit(main())


def _target(
    job: str | None, lane: str | None, *, host: bool, every: bool, user: bool
) -> tuple[str, str]:
    """What a pause applies to, and its name."""
    from hostagent.agent.config import load
    from hostagent.errors import InputError
    from hostagent.model import Lane

    if sum((job is not None, lane is not None, host, every)) != 1:
        raise InputError("say one of: a job, --lane LANE, --host, --all")
    if lane is not None and lane not in tuple(Lane):
        raise InputError(f'there is no lane "{lane}"', f"known: {', '.join(Lane)}")
    if job is not None:
        return "job", job
    if lane is not None:
        return "lane", lane
    return ("cluster", "") if every else ("host", load(paths_of(user=user)).host)


def _said(target: str, name: str, *, was: bool = False) -> str:
    """What is meant, with its verb: ``job backup is``, ``all jobs were``."""
    if target == "cluster":
        return "all jobs were" if was else "all jobs are"
    return f"{target} {name} {'was' if was else 'is'}"
