"""From a store's URL to its engine."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hostagent.errors import InputError, StoreError
from hostagent.store.port import Store
from hostagent.store.sqlite.engine import SqliteStore


def open_store(url: str, *, read_only: bool = False) -> Store:
    """The store at ``url``; made on first use unless ``read_only``.

    Raises:
        InputError: the URL names no engine of this release.
        StoreError: the store cannot be used.
    """
    if url.startswith("postgresql://"):
        return _postgres(url, read_only=read_only)
    scheme, path = _place(url)
    if scheme == "sqlite" and path is not None:
        return SqliteStore(path, read_only=read_only)
    if scheme == "dir" and path is not None:
        from hostagent.store.directory.engine import DirectoryStore  # noqa: PLC0415 -- few ask

        return DirectoryStore(path, read_only=read_only)
    raise InputError(
        f'"{_shown(url)}" is not the URL of a store',
        "write sqlite:///var/lib/hostagent/state.db, postgresql://HOST/DATABASE, or "
        "dir:///mnt/shared/hostagent",
    )


def _place(url: str) -> tuple[str, Path | None]:
    """The scheme, and the absolute path if that is all there is behind it."""
    with contextlib.suppress(ValueError):  # an odd bracket
        parts = urlsplit(url)
        is_path = not parts.netloc and parts.path.startswith("/")
        return parts.scheme, Path(unquote(parts.path)) if is_path else None
    return "", None


def _postgres(url: str, *, read_only: bool) -> Store:
    try:
        from hostagent.store.postgres.engine import PostgresStore  # noqa: PLC0415 -- needs psycopg
    except ImportError as error:
        raise StoreError(
            f"PostgreSQL's driver cannot be loaded: {error}", "pip install 'hostagent[postgres]'"
        ) from error
    return PostgresStore(url, read_only=read_only)


def _shown(url: str) -> str:
    """All of it, unless it may hold a password."""
    return f"{url.partition(':')[0]}:..." if {"@", "?"} & {*url} else url
