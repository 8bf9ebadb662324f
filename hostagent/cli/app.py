"""The command tree.

Exit codes: 0 done; 1 the answer is no, or changes are pending where that was asked; 2 bad input;
3 the system refused.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hostagent.cli.commands import ByTask, register
from hostagent.cli.out import errors_explained

app = typer.Typer(
    name="hostagent",
    help="Periodic jobs as systemd units: each runs once, and missed ones are caught up gently.\n\n"
    "More on each command: hostagent COMMAND --help, and man hostagent.",
    cls=ByTask,
    epilog="Exit codes: 0 done; 1 the answer is no, or a run did not succeed; 2 bad input, nothing "
    "was changed; 3 the system refused: PID 1, the store, the agent.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from hostagent import __version__

        typer.echo(f"hostagent {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """What holds for all commands."""


def run() -> None:
    """Run the command line."""
    register(app, *sys.argv[1:2])
    with errors_explained():
        app()
