"""The command tree: which module answers for which command."""

from __future__ import annotations

import typer

from hostagent.cli import deploying, running, seeing, writing


def register(app: typer.Typer) -> None:
    """Add every command to the application."""
    for command in (writing.check, writing.compile_, writing.schema, writing.show):
        app.command(command.__name__.rstrip("_"))(command)
    for command in (
        deploying.plan,
        deploying.apply,
        deploying.diff,
        deploying.drift,
        deploying.rollback,
    ):
        app.command(command.__name__)(command)
    for command in (seeing.list_, seeing.next_, seeing.runs, seeing.logs, seeing.why, seeing.audit):
        app.command(command.__name__.rstrip("_"))(command)
    for command in (running.run, running.pause, running.resume, running.version):
        app.command(command.__name__)(command)
    app.add_typer(running.agent, name="agent")
