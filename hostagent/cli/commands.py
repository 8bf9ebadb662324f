"""The commands by task, and which module answers for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from hostagent.cli import (
    acting,
    backlog,
    cluster,
    deploying,
    doctor,
    importing,
    jobs,
    metrics,
    notifying,
    page,
    running,
    runs,
    storing,
    timeline,
    top,
    why,
    writing,
)

Command = Callable[..., None] | typer.Typer

TASKS: dict[str, tuple[Command, ...]] = {
    "Write jobs": (writing.check, writing.show, importing.import_, writing.schema),
    "Deploy them": (
        deploying.plan,
        deploying.diff,
        deploying.apply,
        deploying.drift,
        deploying.rollback,
        writing.compile_,
    ),
    "See": (
        cluster.status,
        top.top,
        jobs.list_,
        jobs.next_,
        runs.runs,
        why.why,
        runs.logs,
        timeline.timeline,
        doctor.doctor,
        runs.audit,
        acting.audit_log,
        metrics.metrics,
        page.page,
        page.serve,
    ),
    "Act": (
        running.run,
        acting.stop,
        acting.retry,
        acting.backfill,
        running.pause,
        running.resume,
        cluster.drain,
        backlog.backlog,
        cluster.quarantine,
    ),
    "Look after hostagent itself": (
        running.agent,
        storing.store,
        notifying.notify,
        running.token,
        running.version,
    ),
}
"""What a person wants to do, and with what: the order of ``--help``."""


SENTENCE = 64
"""Characters: what is beside a command's name is not folded at 80 columns."""


class ByTask(TyperGroup):
    """``--help`` with a heading for each task."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In their order."""
        del ctx
        return [_name(command) for some in TASKS.values() for command in some]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each with its first sentence, all below each other."""
        names = max(map(len, self.list_commands(ctx)))
        for task, some in TASKS.items():
            with formatter.section(task):
                formatter.write_dl(
                    [
                        (name.ljust(names), self.commands[name].get_short_help_str(SENTENCE))
                        for name in map(_name, some)
                    ]
                )


def register(app: typer.Typer, word: str = "") -> None:
    """Add the command of that name to the application, or, if it is none, every command.

    Typer takes 20 ms to make all of them.
    """
    every = {_name(one): one for some in TASKS.values() for one in some}
    for command in [every[word]] if word in every else every.values():
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command(_name(command))(command)


def _name(command: Command) -> str:
    if isinstance(command, typer.Typer):
        return str(command.info.name)
    return command.__name__.rstrip("_").replace("_", "-")
