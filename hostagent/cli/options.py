"""Options that several commands share, and what they lead to."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

    from hostagent import model
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
Since = Annotated[
    str | None,
    typer.Option("--since", help="Due at or after then: a time, or how long ago (2h)."),
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


def deployed(paths: Paths) -> tuple[tuple[model.Job, ...], str]:
    """The jobs in force and the host's name; an error with the way out before the first apply."""
    from hostagent.deploy.generations import current
    from hostagent.errors import RefusedError

    manifest = current(paths)
    if manifest is None:
        raise RefusedError("nothing is deployed here yet", first_steps(paths))
    return manifest.jobs, manifest.host


def first_steps(paths: Paths) -> str:
    """What to do where nothing is deployed yet."""
    from hostagent.spec.files import EXAMPLE

    flag = " --user" if paths.user else ""
    if paths.jobs_toml.exists():
        return f"hostagent plan{flag}, then: hostagent apply{flag}"
    return f"write {paths.jobs_toml} (an example: {EXAMPLE}), then: hostagent plan{flag}"


@contextmanager
def about_job(paths: Paths, name: str) -> Iterator[None]:
    """What the system refuses of a job that is not deployed is bad input; that is then said.

    Raises:
        InputError: as ``refuse_unknown`` does, instead of the refusal.
    """
    from hostagent.errors import RefusedError

    try:
        yield
    except RefusedError:
        refuse_unknown(paths, name)
        raise


def refuse_unknown(paths: Paths, name: str) -> None:
    """Nothing, if there is such a job, or nobody can know: nothing is deployed, or it is not read.

    Raises:
        InputError: jobs are deployed, and none has this name.
    """
    from hostagent.deploy.generations import current
    from hostagent.errors import RefusedError

    try:
        manifest = current(paths)
    except RefusedError:
        return
    if manifest is not None and name not in {job.name for job in manifest.jobs}:
        unknown_job(name, manifest.jobs)


def unknown_job(name: str, jobs: Sequence[model.Job]) -> NoReturn:
    """Say that there is no such job, and which one may have been meant."""
    import difflib

    from hostagent.errors import InputError

    near = difflib.get_close_matches(name, [job.name for job in jobs], 1)
    hint = f'did you mean "{near[0]}"?' if near else "see: hostagent list"
    raise InputError(f'there is no job "{name}"', hint)
