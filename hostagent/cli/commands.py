"""The command tree: which module answers for which command."""

from __future__ import annotations

from collections.abc import Callable

import typer

from hostagent.cli import (
    acting,
    backlog,
    cluster,
    deploying,
    doctor,
    importing,
    jobs,
    metrics,
    running,
    runs,
    storing,
    timeline,
    top,
    why,
    writing,
)

COMMANDS: tuple[Callable[..., None], ...] = (
    writing.check,
    deploying.plan,
    deploying.apply,
    deploying.diff,
    deploying.drift,
    deploying.rollback,
    jobs.list_,
    jobs.next_,
    runs.runs,
    why.why,
    runs.logs,
    timeline.timeline,
    runs.audit,
    acting.audit_log,
    cluster.status,
    top.top,
    doctor.doctor,
    metrics.metrics,
    running.run,
    acting.stop,
    acting.retry,
    acting.backfill,
    running.pause,
    running.resume,
    cluster.drain,
    writing.show,
    writing.compile_,
    writing.schema,
    running.version,
)
"""In the order of ``--help``: write, deploy, see, act, the rest."""


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    for command in COMMANDS:
        app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
    app.add_typer(backlog.backlog, name="backlog")
    app.add_typer(importing.import_, name="import")
    app.add_typer(cluster.quarantine, name="quarantine")
    app.add_typer(storing.store, name="store")
    app.add_typer(running.agent, name="agent")
    app.add_typer(running.token, name="token")
