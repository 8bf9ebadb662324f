"""From a store's URL to its engine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from hostagent.errors import InputError
from hostagent.store.port import Store
from hostagent.store.sqlite.engine import SqliteStore


def open_store(url: str, *, read_only: bool = False) -> Store:
    """The store at ``url``; made on first use unless ``read_only``.

    Raises:
        InputError: the URL names no engine of this release.
        StoreError: the store cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not parts.netloc and parts.path.startswith("/"):
        return SqliteStore(Path(unquote(parts.path)), read_only=read_only)
    if parts.scheme == "dir" and not parts.netloc and parts.path.startswith("/"):
        from hostagent.store.directory.engine import DirectoryStore  # noqa: PLC0415 -- few ask

        return DirectoryStore(Path(unquote(parts.path)), read_only=read_only)
    raise InputError(
        f'"{url}" is not the URL of a store',
        "write sqlite:///var/lib/hostagent/state.db, or dir:///mnt/shared/hostagent",
    )
