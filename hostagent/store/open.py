"""From a store's URL to its engine."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from hostagent.errors import InputError, StoreError, StoreUnavailable
from hostagent.store.port import Store
from hostagent.store.sqlite import connection as sqlite
from hostagent.store.sqlite.engine import SqliteStore

if TYPE_CHECKING:
    from hostagent.store.directory.engine import DirectoryStore


def open_store(url: str, *, read_only: bool = False) -> Store:
    """The store at ``url``; made on first use unless ``read_only``.

    Raises:
        InputError: the URL names no engine of this release.
        StoreError: the store cannot be used.
    """
    return opener(url, read_only=read_only)()


def opener(url: str, *, read_only: bool = False, may_make: bool = True) -> Callable[[], Store]:
    """What opens the store at ``url``.

    Without ``may_make`` a store that hosts share is only opened, never made: an empty mount point
    is none.

    Raises:
        InputError: the URL names no engine of this release.
    """
    if url.startswith("postgresql://"):
        return partial(_postgres, url, read_only=read_only)
    scheme, path = _place(url)
    if scheme == "sqlite" and path is not None:
        return partial(SqliteStore, path, read_only=read_only)
    if scheme == "dir" and path is not None:
        from hostagent.store.directory.engine import DirectoryStore  # noqa: PLC0415 -- few ask

        return partial(DirectoryStore, path, read_only=read_only, may_make=may_make)
    raise InputError(
        f'"{_shown(url)}" is not the URL of a store',
        "write sqlite:///var/lib/hostagent/state.db, postgresql://HOST/DATABASE, or "
        "dir:///mnt/shared/hostagent",
    )


def describe(url: str) -> str:
    """The URL as it may be shown: without a password."""
    if url.startswith("postgresql://"):
        _need_driver()
        from hostagent.store.postgres.address import Address  # noqa: PLC0415 -- needs psycopg

        return str(Address(url, read_only=True))
    return _shown(url)


def schema(url: str) -> int:
    """The version of the store's schema; 0: nothing is there yet.

    Raises:
        InputError: the URL names no engine of this release.
        StoreError: the store cannot be used, unless because it waits for ``migrate``.
    """
    scheme, path = _place(url)
    if scheme == "sqlite" and path is not None:
        return sqlite.installed(path)
    if url.startswith("postgresql://"):
        _need_driver()
        from hostagent.store.postgres.connection import Connection  # noqa: PLC0415 -- needs psycopg
        from hostagent.store.postgres.setup import installed  # noqa: PLC0415 -- needs psycopg

        with contextlib.closing(Connection(url, read_only=True)) as db:
            return installed(db)
    with (
        contextlib.suppress(StoreUnavailable),
        contextlib.closing(open_store(url, read_only=True)) as store,
    ):
        return cast("DirectoryStore", store).schema()
    return 0


def migrate(url: str) -> None:
    """Bring the store up to date with this hostagent, while agents that can go on with it do.

    Raises:
        InputError: the URL names no engine of this release.
        StoreError: the store cannot be used, or an agent at work could not go on with it.
    """
    if url.startswith("postgresql://"):
        _need_driver()
        from hostagent.store.postgres import setup  # noqa: PLC0415 -- needs psycopg
        from hostagent.store.postgres.connection import Connection  # noqa: PLC0415 -- needs psycopg

        with contextlib.closing(Connection(url, read_only=False)) as db:
            setup.migrate(db)
        return
    with contextlib.closing(opener(url, may_make=False)()) as store:
        if store.is_shared:
            cast("DirectoryStore", store).migrate()


def _place(url: str) -> tuple[str, Path | None]:
    """The scheme, and the absolute path if that is all there is behind it."""
    with contextlib.suppress(ValueError):  # an odd bracket
        parts = urlsplit(url)
        is_path = not parts.netloc and parts.path.startswith("/")
        return parts.scheme, Path(unquote(parts.path)) if is_path else None
    return "", None


def _postgres(url: str, *, read_only: bool) -> Store:
    _need_driver()
    from hostagent.store.postgres.engine import PostgresStore  # noqa: PLC0415 -- needs psycopg

    return PostgresStore(url, read_only=read_only)


def _need_driver() -> None:
    try:
        importlib.import_module("hostagent.store.postgres.engine")
    except ImportError as error:
        if "libpq library not found" in str(error):
            missing = "PostgreSQL's client library is not on this host"
            raise StoreError(missing, "install libpq, on Debian: apt install libpq5") from error
        raise StoreError(
            f"PostgreSQL's driver cannot be loaded: {error}", "pip install 'hostagent[postgres]'"
        ) from error


def _shown(url: str) -> str:
    """All of it, unless it may hold a password."""
    return f"{url.partition(':')[0]}:..." if {"@", "?"} & {*url} else url
