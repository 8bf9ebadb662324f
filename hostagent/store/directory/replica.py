"""The log's result: the SQLite engine on a private copy, its time and ids given by the records.

The copy is SQLite's own temporary file: it stays in memory while it is small, and goes with the
process. All who replay the same records come to the same rows.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import contains
from pathlib import Path
from typing import TypeVar

from hostagent.errors import StoreConflict, StoreError
from hostagent.store.directory.calls import Call, OpenSession, Record
from hostagent.store.directory.strict import malformed
from hostagent.store.port import Profile, Session
from hostagent.store.sql import schema, sessions
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.engine import SqlStore

R = TypeVar("R")
Value = str | int | None

_TYPES = {"text": str, "bigint": int, "smallint": int}

UNSOUND = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, sqlite3.Error)
"""What comes of data that is none of ours, deep inside the engine."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name, its columns, and the types that a value of each may have."""

    name: str
    columns: tuple[str, ...]
    types: tuple[tuple[type, ...], ...]

    def holds(self, row: list[object]) -> bool:
        """Whether ``row`` is one of it, by its types."""
        if len(row) != len(self.columns):
            return False
        return all(map(contains, self.types, map(type, row)))


class Replica(SqlStore):
    """The state after record ``seq``, whose nonce is ``nonce``; 0 and empty before the first.

    ``format`` is the version in which that record is said, and in which the next one is to be; it
    never goes back. The tables are of our own version all the while: what it adds stays empty.
    """

    def __init__(self, *, seq: int = 0, nonce: str = "", number: int | None = None) -> None:
        self.seq, self.nonce = seq, nonce
        self.format = schema.VERSION if number is None else number
        self._private = _Private()
        super().__init__(self._private)
        self._id = ""
        self._new_id = lambda: self._id

    def apply(self, record: Record, number: int, path: Path) -> None:
        """Replay the next record, found at ``path``, said in version ``number``.

        Raises:
            StoreError: it is not the next one, or nothing that could be done.
        """
        if (record.seq, record.after) != (self.seq + 1, self.nonce):
            raise StoreError(
                f"{path} does not follow the record before it",
                "was the directory emptied, or a backup restored? Then restart hostagent.service",
            )
        if len(record.calls) != 1:
            raise malformed(path, "not one call")
        if self.seq and number < self.format:
            raise malformed(path, "of an older version than the record before it")
        with self.trying() as trial:
            try:
                trial.make(record.calls[0], record.at)
            except (StoreConflict, *UNSOUND):
                raise malformed(path, f"its {record.calls[0].name} cannot be") from None
            trial.keep(record.nonce, number)

    @contextlib.contextmanager
    def trying(self) -> Iterator[Trial]:
        """The block's trial is undone at its end unless it was kept."""
        db = self._private.raw
        db.execute("BEGIN")
        try:
            yield Trial(self, db.total_changes)
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")

    def has_changed(self, since: int) -> bool:
        """Whether rows were written since ``total_changes`` was ``since``."""
        return self._private.raw.total_changes != since

    def set_time(self, at: datetime, new_id: str) -> None:
        """What the next call takes for the time, and for the id of a new session."""
        self._private.at, self._id = at, new_id

    def keep(self, nonce: str, number: int) -> None:
        """What the trial wrote stands, as the next record's result."""
        self._private.raw.execute("COMMIT")
        self.seq, self.nonce, self.format = self.seq + 1, nonce, number

    def open_profile(self, session: Session) -> Profile | None:
        """What an open session tells of itself; None when it is not open."""
        found = (p for p in self.sessions() if p.session == session and p.is_live)
        return next((presence.profile for presence in found), None)

    def generation(self) -> int:
        """How often something changed that others should read."""
        return sessions.generation(self._private)

    def size(self) -> int:
        """Bytes."""
        (pages,) = self._private.raw.execute("PRAGMA page_count").fetchone()
        (page,) = self._private.raw.execute("PRAGMA page_size").fetchone()
        return int(pages * page)

    def copy(self) -> Replica:
        """Another one of the same state; it may be used by another thread."""
        other = Replica(seq=self.seq, nonce=self.nonce, number=self.format)
        self._private.raw.backup(other._private.raw)
        return other

    def tables(self) -> list[Table]:
        """All of the schema of ``format``."""
        tables = []
        with contextlib.closing(_Private(self.format)) as plain:
            for name in schema.TABLES:
                columns = plain.read(f"PRAGMA table_info({name})")
                names = tuple(c["name"] for c in columns)
                types = tuple(_types(c["type"], is_needed=c["notnull"] or c["pk"]) for c in columns)
                tables += [Table(name, names, types)] if columns else []
        return tables

    def rows(self, table: Table) -> Iterator[list[Value]]:
        """All of a table's, ordered by all that they say."""
        names = ", ".join(table.columns)
        sql = f"SELECT {names} FROM {table.name} ORDER BY {names}"  # noqa: S608 -- our schema's names
        return map(list, self._private.raw.execute(sql))

    def fill(self, table: Table, rows: Iterable[list[Value]]) -> None:
        """Write rows that ``table`` holds, in place of what is there."""
        names, marks = ", ".join(table.columns), ", ".join("?" * len(table.columns))
        insert = f"INSERT INTO {table.name} ({names}) VALUES ({marks})"  # noqa: S608 -- as above
        db = self._private.raw
        with self.trying():
            db.execute(f"DELETE FROM {table.name}")  # noqa: S608 -- our schema's names
            db.executemany(insert, rows)
            db.execute("COMMIT")


class Trial:
    """A call that was made on a replica, and may be undone."""

    def __init__(self, replica: Replica, changes: int) -> None:
        self._replica, self._changes = replica, changes

    def make(self, call: Call[R], at: datetime) -> R:
        """The call's result at that time."""
        self._replica.set_time(at, call.id if isinstance(call, OpenSession) else "")
        return call.on(self._replica)

    @property
    def changed(self) -> bool:
        """Whether there is anything to keep."""
        return self._replica.has_changed(self._changes)

    def keep(self, nonce: str, number: int) -> None:
        """It stands, as record ``nonce``, said in version ``number``."""
        self._replica.keep(nonce, number)


def _types(declared: str, *, is_needed: bool) -> tuple[type, ...]:
    kind = _TYPES[declared.lower()]
    return (kind,) if is_needed else (kind, type(None))


class _Private:
    """A ``sql.database.Database`` that nobody else can open, with the schema of version ``number``
    or ours. ``at`` is its time.
    """

    for_update = for_share = ""

    def __init__(self, number: int | None = None) -> None:
        self.at = datetime.min.replace(tzinfo=UTC)
        self.raw = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.raw.row_factory = sqlite3.Row
        self.raw.execute("PRAGMA journal_mode=MEMORY")
        self.raw.execute("PRAGMA synchronous=OFF")
        for _, text in schema.migrations(0, number):
            self.raw.executescript(text)

    def close(self) -> None:
        """Drop it. Idempotent."""
        self.raw.close()

    def now(self) -> datetime:
        """The time of the record."""
        return self.at

    def read(self, sql: str, /, *values: object) -> list[sqlite3.Row]:
        """All rows of one SELECT."""
        return self.raw.execute(sql, values).fetchall()

    def change(self, work: Callable[[Transaction], R], *, is_long: bool = False) -> R:
        """Part of the trial, which is one transaction already."""
        del is_long
        return work(self)

    def execute(self, sql: str, values: Sequence[object] = (), /) -> sqlite3.Cursor:
        """One statement of the trial."""
        return self.raw.execute(sql, values)
