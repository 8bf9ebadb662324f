"""SQLite behind the port: one host, one file, and the host's own clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from hostagent.store.sql.engine import SqlStore
from hostagent.store.sql.schema import refuse_older
from hostagent.store.sqlite.connection import Connection


class SqliteStore(SqlStore):
    """See ``port.Store``. One thread at a time."""

    is_shared = False

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        db = Connection(path, read_only=read_only, clock=clock)
        super().__init__(db)
        try:
            refuse_older(path, db.schema(), "restart its agent: systemctl restart hostagent")
        except BaseException:
            db.close()
            raise
