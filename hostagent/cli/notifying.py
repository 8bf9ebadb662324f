"""The command that tries out who is told."""

from __future__ import annotations

from typing import Annotated

import typer

from hostagent.cli.options import Json, User, paths_of
from hostagent.cli.out import emit_json

notify = typer.Typer(
    name="notify", help="Try out those who are told of alarms.", no_args_is_help=True
)


@notify.command("test")
def try_out(
    name: Annotated[str, typer.Argument(help="NAME of [notify.NAME], as deployed.")],
    *,
    user: User = False,
    as_json: Json = False,
) -> None:
    """Send a message that nothing is wrong, as the agent sends its own.

    Quiet hours do not hold it back. Exit 1: it was not taken.
    """
    from hostagent.cli.client import call

    why = call(paths_of(user=user), lambda proxy: proxy.TryOut(name=name))["why"]
    if as_json:
        emit_json({"notify": name, "taken": not why, "why": why})
    elif why:
        print(f"{name} was not told: {why}")
    else:
        print(f"{name} took the message; look whether it arrived")
    if why:
        raise typer.Exit(1)
