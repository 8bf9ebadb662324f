"""A hostagent of the next version: one more migration, and the code that knows it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from hostagent.store.open import open_store
from hostagent.store.sql import schema

FIRST = schema.FILES
OLD, NEW = schema.VERSION, schema.VERSION + 1

ADDS = (
    "ALTER TABLE run ADD COLUMN note text;"
    "ALTER TABLE session ADD COLUMN rack text NOT NULL DEFAULT 'none';"
    "CREATE TABLE extra (k text PRIMARY KEY);"
)
LEAVES = f"{ADDS}UPDATE meta SET v='{NEW}' WHERE k='oldest';"
"""A migration takes away what only later agents can do without: here those of its own version."""


@contextmanager
def age(number: int, place: Path, text: str = ADDS) -> Iterator[None]:
    """Inside, this process knows ``number``; ``place`` holds the migrations."""
    known, tables = (schema.VERSION, schema.FILES), schema.TABLES
    files = place / f"migrations-{number}"
    files.mkdir(exist_ok=True)
    for file in FIRST.iterdir():
        files.joinpath(file.name).write_text(file.read_text())
    if number == NEW:
        files.joinpath(f"{NEW:04}_next.sql").write_text(text)
        vars(schema)["TABLES"] = (*tables, "extra")
    schema.VERSION, schema.FILES = number, files
    try:
        yield
    finally:
        (schema.VERSION, schema.FILES), schema.TABLES = known, tables


class Of:
    """A store as an agent of that age has it: opened, and called, by its code."""

    def __init__(self, url: str, number: int, place: Path, text: str = ADDS) -> None:
        self._as = number, place, text
        with self.at():
            self.store = open_store(url)
        self.is_shared = self.store.is_shared

    def at(self) -> AbstractContextManager[None]:
        """Its code."""
        return age(*self._as)

    def __getattr__(self, name: str) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            with self.at():
                result: object = getattr(self.store, name)(*args, **kwargs)
                return result

        return call


class Both:
    """A store that is used by agents of both ages in turn, ``store`` and the next."""

    def __init__(self, *stores: Of) -> None:
        self._stores = stores
        self._turns = itertools.cycle(stores)
        self.is_shared = stores[0].is_shared

    def __getattr__(self, name: str) -> Callable[..., object]:
        call: Callable[..., object] = getattr(next(self._turns), name)
        return call

    def close(self) -> None:
        """Both."""
        for store in self._stores:
            store.close()
