"""Options that several commands share, and what they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hostagent.host.paths import Paths
    from hostagent.report.ledgers import Ledgers

File = Annotated[
    Path | None,
    typer.Argument(
        help="jobs.toml; jobs.d beside it is read, too [default: /etc/hostagent/jobs.toml]",
        show_default=False,
    ),
]
User = Annotated[bool, typer.Option("--user", help="Act for systemctl --user.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Act on an image below this directory, offline.")
]
SystemdVersion = Annotated[
    int | None,
    typer.Option("--systemd", help="Write for this version of systemd.", min=252, max=999),
]
Job = Annotated[str | None, typer.Argument(help="A job's name.", show_default=False)]


def paths_of(*, user: bool, root: Path | None = None) -> Paths:
    """The places that a command acts on."""
    from hostagent.errors import InputError
    from hostagent.host import paths

    if user and root is not None:
        raise InputError("--user and --root exclude each other")
    return paths.user() if user else paths.system(root or "/")


def open_ledger(paths: Paths) -> Ledgers:
    """What this host can read of its own ledger and of the store that hosts share.

    Where that store is away, the own ledger is all, and people are told.
    """
    import sys

    from hostagent.agent.config import load, stores
    from hostagent.errors import StoreUnavailable
    from hostagent.report.ledgers import Ledgers
    from hostagent.store.open import open_store

    settings = load(paths)
    mine, ours = stores(paths, settings)
    shared, away = None, None
    if ours is not None:
        try:
            shared = open_store(ours, read_only=True)
        except StoreUnavailable as error:
            away = error
            print(
                f"the store is not reached: {error.message}; this is what this host knows itself",
                file=sys.stderr,
            )
    return Ledgers(open_store(mine, read_only=True), settings.host, shared, away)
