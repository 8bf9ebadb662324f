"""The versions of a store, as numbered files, and which of them one agent can work with.

A file's number is that of the tables, and of all that lies in a shared directory. Each adds: a
table, an index, a column that may be left out. Where one takes away, or what it adds may no longer
be left out, it also says whom it leaves behind: ``UPDATE meta SET v='N' WHERE k='oldest'`` for
agents that know less than N. N is at most the number before its own. See docs/decisions/0309; how
a file is applied is the engine's matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources

from hostagent.errors import StoreError
from hostagent.store.port import Presence

VERSION = 2
"""The number of the last migration: what this hostagent knows."""

FILES = resources.files("hostagent.store.sql") / "migrations"

TABLES = (
    "meta",
    "session",
    "job_spec",
    "cursor",
    "run",
    "pause",
    "backfill",
    "quarantine",
    "alarm",
    "decision",
    "audit_log",
)


def migrations(version: int, last: int | None = None) -> Iterator[tuple[int, str]]:
    """The number and the text of each one after ``version``, up to ``last`` or to ours."""
    for number in range(version + 1, (VERSION if last is None else last) + 1):
        (file,) = (f for f in FILES.iterdir() if f.name.startswith(f"{number:04}_"))
        yield number, file.read_text()


def refuse_newer(place: object, number: int, oldest: int) -> None:
    """A newer hostagent made the store ``number``; who knows ``oldest`` may go on with it.

    Raises:
        StoreError: this one knows less.
    """
    if oldest > VERSION:
        raise StoreError(
            f"{place} is of a newer hostagent "
            f"(schema {number}, for who knows {oldest}; known is {VERSION})",
            "upgrade hostagent on this host, then: systemctl restart hostagent",
        )


def refuse_older(place: object, number: int, remedy: str) -> None:
    """An older hostagent made the store ``number``.

    Raises:
        StoreError: this one needs more.
    """
    if number < VERSION:
        raise StoreError(
            f"{place} is of an older hostagent (schema {number}, needed is {VERSION}); "
            "nothing was changed",
            remedy,
        )


def refuse_leaving(place: object, found: Iterable[Presence], least: int) -> None:
    """A store is about to be of no use for agents that know less than ``least``.

    Raises:
        StoreError: ``found`` has some that are at work.
    """
    left = [
        f"{one.session.host} ({one.profile.version or 'unknown'})"
        for one in found
        if one.is_live and not one.has_expired and one.profile.schema < least
    ]
    if left:
        raise StoreError(
            f"{place} is in use by agents that could not go on: {', '.join(left)}; "
            "nothing was changed",
            "upgrade and restart hostagent there, then repeat this",
        )
