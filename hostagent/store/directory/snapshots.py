"""Snapshots: a replica's rows as lines of JSON, so that the log before them can go.

Rows, not a database file: what lies in the shared directory may be anybody's, and SQLite would run
what another's schema says. Every row is compared with our own schema before it is written into a
replica of our own. A snapshot is of its record's version, with the tables and columns of that: all
who stand at one record, agents of another age too, would write the same to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hostagent.errors import StoreError
from hostagent.store.directory.place import drafted, linked, numbers, opened
from hostagent.store.directory.replica import UNSOUND, Replica, Table, Value
from hostagent.store.directory.strict import known, malformed

LONGEST = 16 * 1024 * 1024
"""Bytes of one row."""

KEPT = 2
_DIGITS = 12


class Snapshots:
    """The directory of snapshots, each named by the record whose result it is."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all(self) -> list[int]:
        """The numbers of their records, oldest first."""
        return numbers(self.root, _DIGITS)

    def load(self) -> Replica | None:
        """A replica of the newest that can be read; None when there is none.

        Raises:
            StoreError: there are some, but all are malformed, or of a newer hostagent.
        """
        problem: StoreError | None = None
        for seq in reversed(self.all()):
            path = self._name(seq)
            try:
                return _loaded(path, seq)
            except FileNotFoundError:
                continue  # dropped meanwhile: there is a newer one
            except StoreError as error:
                problem = problem or error
        if problem is not None:
            raise problem
        return None

    def write(self, replica: Replica) -> None:
        """Write one, if nobody has; then keep the newest two."""
        with drafted(self.root) as draft:
            draft.fill(_lines(replica))
            linked(draft.path, self._name(replica.seq))
        for seq in self.all()[:-KEPT]:
            self._name(seq).unlink(missing_ok=True)

    def _name(self, seq: int) -> Path:
        return self.root / f"{seq:0{_DIGITS}d}"


def _lines(replica: Replica) -> Iterator[bytes]:
    """The head; for each table its name and columns, then its rows; the number of lines."""
    count = 1
    yield _line({"format": replica.format, "seq": replica.seq, "nonce": replica.nonce})
    for table in replica.tables():
        yield _line({"table": table.name, "columns": table.columns})
        count += 1
        for row in replica.rows(table):
            yield _line(row)
            count += 1
    yield _line({"lines": count})


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _loaded(path: Path, seq: int) -> Replica:
    with opened(path) as file:
        lines = _Lines(path, file)
        try:
            head = lines.take()
            number, nonce = known(head["format"], path), head["nonce"]
            if head["seq"] != seq or not isinstance(nonce, str):
                raise malformed(path, "its first line is another's")
            replica = Replica(seq=seq, nonce=nonce, number=number)
            for table in replica.tables():
                if lines.take() != {"table": table.name, "columns": list(table.columns)}:
                    raise malformed(path, f"no table {table.name}")
                replica.fill(table, lines.rows_of(table))
            if lines.count != lines.take().get("lines"):
                raise malformed(path, "rows are missing")
        except (*UNSOUND, RecursionError) as error:
            raise malformed(path, "its rows cannot be") from error
        return replica


class _Lines:
    """The lines of a snapshot; ``count`` of them were taken."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file
        self._next: Any = None
        self.count = 0

    def take(self) -> Any:
        """The next line."""
        value, self._next = self._next, None
        if value is None:
            line = self._file.readline(LONGEST)
            if not line.endswith(b"\n"):
                raise malformed(self._path, "a line is too long, or cut off")
            value = json.loads(line)
        self.count += 1
        return value

    def rows_of(self, table: Table) -> Iterator[list[Value]]:
        """The rows that follow."""
        while isinstance(row := self.take(), list):
            if not table.holds(row):
                raise malformed(self._path, f"a row is none of {table.name}")
            yield row
        self._next, self.count = row, self.count - 1
