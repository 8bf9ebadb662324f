"""Commands about the store itself: setting it up, looking at it, moving to another."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.options import Json, User, paths_of
from hostagent.cli.out import emit_json

if TYPE_CHECKING:
    from hostagent.store.sql.engine import SqlStore

store = typer.Typer(
    name="store",
    help="Set the store up, bring it up to date, look at it, move it.",
    no_args_is_help=True,
)

Url = Annotated[
    str | None,
    typer.Argument(help="Its URL [default: that of agent.toml]", show_default=False),
]


@store.command("init")
def init(url: Url = None, *, user: User = False) -> None:
    """Set a store up. Not needed where the agent may make tables: it does so by itself."""
    from hostagent.store.open import describe, open_store, schema

    place = url or _configured(user=user)
    before = schema(place)
    open_store(place).close()
    done = "is set up already" if before else "is set up now"
    print(f"{describe(place)} {done}, with schema {schema(place)}.")


@store.command("migrate")
def migrate(url: Url = None, *, user: User = False) -> None:
    """Bring a store up to date with this hostagent.

    Agents that could not go on with it are named, and nothing is changed. In a database, those of
    the version before go on; in a shared directory, none does that knows less.
    """
    from hostagent.errors import StoreError
    from hostagent.store.open import describe, schema
    from hostagent.store.open import migrate as bring

    place = url or _configured(user=user)
    before = schema(place)
    if before == 0:
        raise StoreError(f"{describe(place)} is not set up yet", "run: hostagent store init")
    bring(place)
    after = schema(place)
    if before == after:
        print(f"{describe(place)} is up to date, with schema {after}.")
    else:
        print(f"{describe(place)} went from schema {before} to {after}.")


@store.command("status")
def status(url: Url = None, *, user: User = False, as_json: Json = False) -> None:
    """Show where the store is, how its clock is, what is in it."""
    from contextlib import closing

    from hostagent.store.open import describe, open_store, schema
    from hostagent.store.port import MAX_SKEW

    place = url or _configured(user=user)
    with closing(open_store(place, read_only=True)) as opened:
        ahead_s = _ahead_s(opened.now)
        sessions, cursors = opened.sessions(), opened.cursors()
        facts = {
            "store": describe(place),
            "schema": schema(place),
            "clock_ahead_s": round(ahead_s, 3),
            "agents": sum(one.is_live and not one.has_expired for one in sessions),
            "jobs": len({cursor.job for cursor in cursors}),
            "running": sum(cursor.active is not None for cursor in cursors),
        }
    if as_json:
        emit_json(facts)
        return
    print(f"{facts['store']}, schema {facts['schema']}")
    limit_s = MAX_SKEW.total_seconds()
    verdict = "" if abs(ahead_s) <= limit_s else f": claims are refused above {limit_s:g} s"
    side = "ahead of" if ahead_s >= 0 else "behind"
    print(f"  clock    {abs(ahead_s):.3f} s {side} ours{verdict}")
    print(f"  agents   {facts['agents']} in time")
    print(f"  jobs     {facts['jobs']}, {facts['running']} running")


@store.command("move")
def move(
    source: Annotated[str, typer.Argument(help="What to move: sqlite:///PATH.")],
    target: Annotated[str, typer.Argument(help="Where to: postgresql://HOST/DATABASE.")],
    *,
    user: User = False,
) -> None:
    """Copy a store with all its history into another, empty one.

    Stop the agent before; then name the new store in agent.toml and start it.
    """
    from contextlib import closing

    from hostagent.errors import RefusedError
    from hostagent.store.open import describe
    from hostagent.store.sql.move import move as copy

    if paths_of(user=user).ready.exists():
        raise RefusedError("the agent is up", "systemctl stop hostagent.service hostagent.socket")
    with closing(_sql(source)) as old, closing(_sql(target)) as new:
        counts = copy(old, new)
    print(f"{describe(source)} is copied to {describe(target)}:")
    for table, count in counts.items():
        print(f"  {count:>9}  {table}")
    print("Next: name it as the store in agent.toml, then start hostagent.service.")


def _configured(*, user: bool) -> str:
    from hostagent.agent.config import load

    return load(paths_of(user=user)).store


def _sql(url: str) -> SqlStore:
    from hostagent.errors import InputError
    from hostagent.store.open import describe, open_store
    from hostagent.store.sql.engine import SqlStore

    opened = open_store(url)
    if not isinstance(opened, SqlStore):
        opened.close()
        raise InputError(
            f"{describe(url)} cannot be moved, nor moved to", "write sqlite:// or postgresql://"
        )
    return opened


def _ahead_s(now: Callable[[], datetime]) -> float:
    """By how many seconds a clock is ahead of ours, as of the middle of asking."""
    before = datetime.now(UTC)
    told = now()
    return (told - (before + (datetime.now(UTC) - before) / 2)).total_seconds()
