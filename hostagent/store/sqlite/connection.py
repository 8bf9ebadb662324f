"""One SQLite file: opened with the settings that our promises need, changed in transactions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import struct
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.port import DEFAULT_BUSY

VERSION = 1
"""The schema's version: the number of the last migration."""

_REMOTE = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x517B: "SMB",
    0x65735546: "FUSE",
    0x01021997: "9p",
}
"""statfs(2)'s f_type of file systems whose memory maps two hosts do not share."""

_POLL_S = 0.005


class Connection:
    """An open database. ``read_only`` connections write nothing, not even a schema."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self._gate: int | None = None
        try:
            if read_only:
                self._db = self._open_reading()
            else:
                self._db = self._open_writing()
        except sqlite3.Error as error:
            raise self._refusal(error) from error
        except OSError as error:
            hint = "be root, or a member of the group hostagent"
            raise StoreError(f"{path}: {error.strerror}", hint) from error

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()
        if self._gate is not None:
            os.close(self._gate)
            self._gate = None

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """All rows of one SELECT."""
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._refusal(error) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing; durable when the block has ended."""
        with self._queue():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise self._refusal(error) from error

    @contextlib.contextmanager
    def _queue(self) -> Iterator[None]:
        """Writers wait for each other in the kernel, in order; SQLite's busy handler starves."""
        assert self._gate is not None, "opened to read only"
        deadline = time.monotonic() + DEFAULT_BUSY.total_seconds()
        while True:
            try:
                fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"{self.path}: another writer is at work") from None
                time.sleep(_POLL_S)
        try:
            yield
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def _open_reading(self) -> sqlite3.Connection:
        if not self.path.exists():
            raise StoreError(f"{self.path} does not exist yet", "run: hostagent apply")
        db = sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, isolation_level=None)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA query_only=ON")
        db.execute(f"PRAGMA busy_timeout={int(DEFAULT_BUSY.total_seconds() * 1000)}")
        self._check_version(db)
        return db

    def _open_writing(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        kind = _file_system(self.path.parent)
        if kind in _REMOTE:
            raise StoreError(
                f"{self.path} lies on {_REMOTE[kind]}; SQLite needs a local file system",
                "for several hosts, use another store",
            )
        self._gate = os.open(
            self.path.with_name(self.path.name + ".gate"),
            os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
            0o640,
        )
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute(f"PRAGMA busy_timeout={int(DEFAULT_BUSY.total_seconds() * 1000)}")
        with self._queue():
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA wal_autocheckpoint=200")
            db.execute("PRAGMA journal_size_limit=1048576")
            self._migrate(db)
        return db

    def _check_version(self, db: sqlite3.Connection) -> int:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StoreError(
                f"{self.path} is of a newer hostagent (schema {version}, known is {VERSION})",
                "upgrade hostagent on this host",
            )
        return int(version)

    def _migrate(self, db: sqlite3.Connection) -> None:
        migrations = resources.files("hostagent.store.sqlite") / "migrations"
        for number in range(self._check_version(db) + 1, VERSION + 1):
            (file,) = (f for f in migrations.iterdir() if f.name.startswith(f"{number:04}_"))
            db.executescript(f"BEGIN;{file.read_text()};PRAGMA user_version={number};COMMIT;")

    def _refusal(self, error: sqlite3.Error) -> StoreError:
        text = f"{self.path}: {error}"
        passing = isinstance(error, sqlite3.OperationalError) and (
            "locked" in str(error) or "busy" in str(error) or "full" in str(error)
        )
        return StoreUnavailable(text) if passing else StoreError(text)


def _file_system(path: Path) -> int:
    """statfs(2)'s f_type."""
    import ctypes  # noqa: PLC0415 -- only writers ask

    buffer = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None).statfs(os.fsencode(path), buffer):
        return 0
    kind: int = struct.unpack_from("@l", buffer)[0]
    return kind & 0xFFFFFFFF
