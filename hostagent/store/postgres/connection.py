"""One connection to PostgreSQL, opened again when it was lost; transactions, repeated if need be.

Nothing is kept in the server's session, so a pooler may give each transaction another one
(PgBouncer's transaction mode): no prepared statements, no advisory locks, no LISTEN, and limits of
time set in each transaction.
"""

from __future__ import annotations

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.port import DEFAULT_BUSY
from hostagent.store.postgres.address import Address
from hostagent.store.postgres.deadline import Deadline
from hostagent.store.postgres.errors import REPEATED, as_ours
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.rows import at

T = TypeVar("T")

CLOCK = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The store's clock in a statement: microseconds of the moment, not of the transaction's start."""

_CALL_S = DEFAULT_BUSY.total_seconds()
_LONG_S = 60.0
_TRIES = 12
_FIRST_WAIT_S = 0.002


class Connection:
    """See ``sql.database.Database``."""

    def __init__(self, url: str, *, read_only: bool) -> None:
        self.address = Address(url, read_only=read_only)
        self.is_read_only = read_only
        self._pg: psycopg.Connection[DictRow] | None = None
        self._deadline: Deadline | None = None
        with self._errors():
            self._connected()

    def close(self) -> None:
        """See ``Database``."""
        if self._deadline is not None:
            self._deadline.close()
        if self._pg is not None:
            self._pg.close()
        self._pg = self._deadline = None

    def now(self) -> datetime:
        """The server's clock."""
        return at(self.read(f"SELECT {CLOCK} AS now")[0]["now"])

    def read(self, sql: str, /, *values: object) -> list[DictRow]:
        """See ``Database``."""
        return self._repeated(
            lambda: self._once_more_if_lost(lambda: self._execute(sql, values).fetchall())
        )

    def change(self, work: Callable[[Transaction], T], *, is_long: bool = False) -> T:
        """See ``Database``."""
        self._refuse_to_write()
        limit_s = _LONG_S if is_long else _CALL_S
        return self._repeated(lambda: self._transaction(work, limit_s))

    def write(self, sql: str, values: Sequence[object]) -> list[DictRow]:
        """One statement that is a transaction by itself."""
        self._refuse_to_write()
        return self._repeated(lambda: self._execute(sql, values).fetchall())

    def _transaction(self, work: Callable[[Transaction], T], limit_s: float) -> T:
        # Who hangs is put out before those give up who wait for it, and the server before we do.
        idle_ms, statement_ms = int(_CALL_S * 600), int(limit_s * 900)
        begin = f"BEGIN; SET LOCAL statement_timeout={statement_ms}; "
        begin += f"SET LOCAL idle_in_transaction_session_timeout={idle_ms}"
        pg = self._once_more_if_lost(lambda: self._execute(begin)).connection
        try:
            result = work(_Transaction(partial(self._execute, limit_s=limit_s, on=pg)))
            self._execute("COMMIT", on=pg)
        except BaseException:
            try:
                self._execute("ROLLBACK", on=pg)
            except psycopg.Error:
                self.close()
            raise
        return result

    def _execute(
        self,
        sql: str,
        values: Sequence[object] = (),
        limit_s: float | None = None,
        on: psycopg.Connection[DictRow] | None = None,
    ) -> psycopg.Cursor[DictRow]:
        """One statement within its time, ``on`` a connection, or on one opened if need be."""
        pg, known = on or self._connected(), [_storable(value) for value in values]
        if self._deadline is None or self._pg is not pg:
            raise psycopg.OperationalError("the connection was lost")
        with self._deadline.within(limit_s or _CALL_S):
            return pg.execute(_translated(sql), known or None)

    def _once_more_if_lost(self, call: Callable[[], T]) -> T:
        """A connection that was lost while nothing was asked is no reason to fail."""
        is_new = self._pg is None
        try:
            return call()
        except psycopg.OperationalError:
            if is_new or (self._pg is not None and not self._pg.closed):
                raise
            self.close()
            return call()

    def _repeated(self, call: Callable[[], T]) -> T:
        """While another transaction is in the way, with growing pauses of chance."""
        with self._errors():
            for n in range(_TRIES):
                try:
                    return call()
                except psycopg.Error as error:
                    if error.sqlstate not in REPEATED:
                        raise
                time.sleep(random.uniform(0, _FIRST_WAIT_S * 1.5**n))  # noqa: S311 -- no secret
        raise StoreUnavailable(f"{self.address}: others were in the way {_TRIES} times")

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            ours = as_ours(error, self.address)
            if isinstance(ours, StoreUnavailable) and error.sqlstate not in REPEATED:
                self.close()  # a fail-over's new primary is found by connecting anew
            raise ours from None

    def _connected(self) -> psycopg.Connection[DictRow]:
        if self._pg is not None and self._pg.closed:
            self.close()
        if self._pg is None:
            pg = psycopg.connect(
                **self.address.parameters,  # type: ignore[arg-type]
                autocommit=True,
                prepare_threshold=None,
                row_factory=dict_row,
            )
            self._pg, self._deadline = pg, Deadline(pg.fileno())
            encoding = pg.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                self.close()
                raise StoreError(
                    f"{self.address}: the database's encoding is {encoding}",
                    "createdb --encoding=UTF8 --template=template0",
                )
        return self._pg

    def _refuse_to_write(self) -> None:
        if self.is_read_only:
            raise StoreError(f"{self.address} is open to read only")


class _Transaction:
    """The inside of ``BEGIN``: READ COMMITTED, or what the database's default is."""

    for_update = " FOR UPDATE"
    for_share = " FOR SHARE"

    def __init__(self, execute: Callable[[str, Sequence[object]], psycopg.Cursor[DictRow]]) -> None:
        self._execute = execute

    def execute(self, sql: str, values: Sequence[object] = (), /) -> psycopg.Cursor[DictRow]:
        """See ``sql.database``."""
        return self._execute(sql, values)

    def now(self) -> datetime:
        """See ``sql.database``."""
        row: Any = self.execute(f"SELECT {CLOCK} AS now").fetchone()
        return at(row["now"])


@functools.lru_cache(maxsize=500)
def _translated(sql: str) -> bytes:
    return sql.replace("?", "%s").encode()


def _storable(value: object) -> object:
    """PostgreSQL's text has no character NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
