"""One SQLite file: opened with the settings that our promises need, changed in transactions."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.port import DEFAULT_BUSY
from hostagent.store.sql import schema
from hostagent.store.sql.database import Transaction
from hostagent.store.sqlite.gate import Gate

T = TypeVar("T")

APPLICATION = 0x686F6167
"""SQLite's application_id of a store: "hoag"."""

REMOTE = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x517B: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9p",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x0BD00BD0: "Lustre",
}
"""statfs(2)'s f_type of file systems whose memory maps two hosts do not share."""

PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PROTOCOL,
}
"""Errors that say nothing about the store itself: the same call may succeed later. An I/O error
is among them because a volume that is full can show as one, and because it leaves the caller in
doubt about what was written, which is what ``StoreUnavailable`` means."""

REFUSING = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
"""Errors of who may not open the file, or may not make SQLite's others beside it."""

_BUSY_S = DEFAULT_BUSY.total_seconds()
_BE_ROOT = "be root, or a member of the group hostagent"


def installed(path: Path) -> int:
    """The schema's version; 0: no file, or an empty one.

    Raises:
        StoreError: it is another program's or for newer agents, or may not be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        return 0
    with contextlib.closing(Connection(path, read_only=True)) as db:
        return db.schema()


class Connection:
    """An open database. ``read_only`` connections write nothing, not even a schema.

    One that writes brings the schema up to date: its host's agent and commands are its only users.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.path = path
        self.clock = clock
        self._gate: Gate | None = None
        self._read_only = read_only
        self._unwritten: tuple[bool, int, int, int] | None = None
        with contextlib.ExitStack() as undo, self._errors():
            undo.callback(self.close)
            if read_only:
                self._open_reading()
            else:
                self._open_writing()
            undo.pop_all()

    def close(self) -> None:
        """Close the file. Idempotent."""
        if db := getattr(self, "_db", None):
            db.close()
        if self._gate is not None:
            self._gate.close()

    def now(self) -> datetime:
        """This host's clock: there is no other."""
        return self.clock()

    def schema(self) -> int:
        """The schema's version.

        Raises:
            StoreError: it is for newer agents.
        """
        (number,) = self._db.execute("PRAGMA user_version").fetchone()
        if number > schema.VERSION:
            (oldest,) = self._db.execute("SELECT v FROM meta WHERE k='oldest'").fetchone()
            schema.refuse_newer(self.path, number, int(oldest))
        return int(number)

    def read(self, sql: str, /, *values: object) -> list[sqlite3.Row]:
        """All rows of one SELECT."""
        with self._errors():
            while True:
                try:
                    found = self._db.execute(sql, values).fetchall()
                except sqlite3.DatabaseError:
                    if not self._was_written():
                        raise
                else:
                    if not self._was_written():
                        return found
                self._db.close()
                self._connect_reading()

    def change(self, work: Callable[[Transaction], T], *, is_long: bool = False) -> T:
        """See ``sql.database``. A writer is alone: it is never repeated, and takes its time."""
        del is_long
        with self.transaction() as db:
            return work(_Transaction(db, self.clock))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; durable when the block has ended."""
        if self._gate is None:
            raise StoreError(f"{self.path} is open to read only")
        with self._gate.passed(_BUSY_S), self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self.schema()  # a newer hostagent may have been here since
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:  # SQLite ends it by itself when the volume is full
                    self._db.execute("ROLLBACK")

    def _open_reading(self) -> None:
        try:
            self.path.stat()
        except FileNotFoundError as error:
            raise StoreError(f"{self.path} does not exist yet", "run: hostagent apply") from error
        self._connect_reading()
        self._refuse_foreign()
        if not self.schema():
            raise StoreError(f"{self.path} is not set up yet", "run: hostagent apply")

    def _connect_reading(self) -> None:
        """Who may not write needs the ``-wal`` and ``-shm`` of an agent that is up.

        Without an agent they are gone, and SQLite (3.40) refuses. The file is then whole by
        itself, and is read as what nobody writes for as long as that is true: each writer makes
        a ``-wal`` before it touches the file.
        """
        self._unwritten, now = None, self._look()
        self._connect()
        try:
            self.schema()
        except sqlite3.OperationalError as error:
            refused = error.sqlite_errorcode & 0xFF in REFUSING
            has_log, *_ = now
            if has_log or not refused or not os.access(self.path, os.R_OK):
                raise
            self._db.close()
            self._connect("ro&immutable=1")
            self._unwritten = now
        self._db.execute("PRAGMA query_only=ON")

    def _was_written(self) -> bool:
        """Whether a file that was opened as what nobody writes has been written since."""
        return self._unwritten is not None and self._unwritten != self._look()

    def _look(self) -> tuple[bool, int, int, int]:
        """What is otherwise once somebody writes."""
        has_log, file = self.path.with_name(self.path.name + "-wal").exists(), self.path.stat()
        return has_log, file.st_ino, file.st_size, file.st_mtime_ns

    def _open_writing(self) -> None:
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        kind = _file_system(self.path.parent)
        if kind in REMOTE:
            raise StoreError(
                f"{self.path} lies on {REMOTE[kind]}; SQLite needs a local file system",
                "for several hosts, use another store",
            )
        # Never opened otherwise than by SQLite once it exists: closing it would drop the locks of
        # this process's other connections (sqlite.org/howtocorrupt.html, 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
        self._connect()
        self._refuse_foreign()
        self._gate = Gate(self.path.with_name(self.path.name + ".gate"))
        with self._gate.passed(_BUSY_S):
            self.schema()
            (mode,) = self._db.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise StoreError(f"{self.path}: this file system cannot carry SQLite's WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA wal_autocheckpoint=200")
            self._db.execute("PRAGMA journal_size_limit=1048576")
            self._migrate()

    def _connect(self, mode: str = "rw") -> None:
        """Never makes the file. A reader, too, asks for writing: it needs a place in ``-shm``."""
        # One thread at a time is the port's rule, but not always the one that opened.
        self._db = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        self._db.row_factory = sqlite3.Row

    def _refuse_foreign(self) -> None:
        """The order matters: tables and application_id are made in one transaction."""
        has_tables = self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION and (has_tables or application):
            raise StoreError(f"{self.path} is the database of another program")

    def _migrate(self) -> None:
        for number, text in schema.migrations(self.schema()):
            marks = f"PRAGMA application_id={APPLICATION}; PRAGMA user_version={number};"
            self._db.executescript(f"BEGIN;{text};{marks}COMMIT;")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's and the kernel's errors as the port's."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
            text = f"{self.path}: {error}"
            if code in PASSING:
                raise StoreUnavailable(text) from error
            raise StoreError(text, self._way_in() if code in REFUSING else None) from error
        except PermissionError as error:
            raise StoreError(f"{self.path}: {error.strerror}", _BE_ROOT) from error
        except OSError as error:
            lasting = error.errno not in {errno.ENOSPC, errno.EDQUOT}
            kind = StoreError if lasting else StoreUnavailable
            raise kind(f"{self.path}: {error.strerror}") from error

    def _way_in(self) -> str:
        """Who could open the file."""
        if not os.access(self.path, os.R_OK):
            return _BE_ROOT
        return "be root, or start hostagent.service" if self._read_only else "be root"


class _Transaction:
    """The inside of ``BEGIN IMMEDIATE``, where nothing else is written."""

    for_update = for_share = ""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], datetime]) -> None:
        self.execute = db.execute
        self.now = clock


def _file_system(path: Path) -> int:
    """statfs(2)'s f_type."""
    import ctypes  # noqa: PLC0415 -- only writers ask

    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).statfs(os.fsencode(path), buffer):
        return 0
    kind: int = struct.unpack_from("@l", buffer)[0]
    return kind & 0xFFFFFFFF
