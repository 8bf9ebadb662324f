"""What the store's SQL asks of a database: the narrow interface that each engine implements.

Statements are written with ``?`` for values. Nothing else of an engine is known above this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Row(Protocol):
    """One row, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """The column's value: None, int or str."""


class Found(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows it changed."""

    def fetchone(self) -> Any:
        """Its next ``Row``, else None."""

    def fetchmany(self, size: int, /) -> Sequence[Any]:
        """The next rows, ``size`` at most; empty at the end."""

    def fetchall(self) -> Sequence[Any]:
        """The rest of its rows."""


class Transaction(Protocol):
    """The inside of one transaction.

    Each statement sees what others committed before it began, but nothing changes between two
    statements in rows that were locked: ``for_update`` and ``for_share`` are the ends of a SELECT
    that locks what it finds until the transaction ends. They are empty where one transaction at a
    time writes.
    """

    for_update: str
    for_share: str

    def execute(self, sql: str, values: Sequence[object] = (), /) -> Found:
        """One statement."""

    def now(self) -> datetime:
        """The store's clock at this moment."""


class Database(Protocol):
    """An open database. Errors are the port's."""

    def close(self) -> None:
        """Idempotent."""

    def now(self) -> datetime:
        """The store's clock."""

    def read(self, sql: str, /, *values: object) -> list[Any]:
        """All ``Row``s of one SELECT, which locks nothing."""

    def change(self, work: Callable[[Transaction], T], *, is_long: bool = False) -> T:
        """All of ``work`` in one transaction or nothing of it; durable on return.

        ``work`` does nothing but by its transaction: it is repeated where the database says that
        another was in the way. ``is_long``: it may take a minute, where others take seconds.
        """
