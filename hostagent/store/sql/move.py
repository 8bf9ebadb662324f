"""The whole of one SQL store into another that is empty: history, marks, tokens and orders.

Sessions come along closed: an agent opens its own where it goes on. The source stays as it is.
"""

from __future__ import annotations

from typing import Any

from hostagent.errors import StoreConflict
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.engine import SqlStore
from hostagent.store.sql.schema import TABLES

_AT_ONCE = 200
"""How many rows one statement writes."""

_KEPT = ("generation", "retained_since")
"""What of ``meta`` comes along; the rest is the target's own."""


def move(source: SqlStore, target: SqlStore) -> dict[str, int]:
    """Copy everything in one transaction; return how many rows of each table.

    Nobody else can write to ``source`` meanwhile if it is SQLite.

    Raises:
        StoreConflict: an agent uses ``source``, or ``target`` is not empty. Nothing was written.
    """
    _refuse_used(source)

    def work(old: Transaction) -> dict[str, int]:
        return target.database.change(lambda new: _copy(old, new), is_long=True)

    return source.database.change(work, is_long=True)


def _refuse_used(source: SqlStore) -> None:
    for one in source.sessions():
        host = one.session.host
        if one.claims:
            raise StoreConflict(
                f"{one.claims} runs of {host} go on in the store to move",
                "wait for their end: hostagent drain --wait",
            )
        if one.is_live and one.ttl is not None and not one.has_expired:
            raise StoreConflict(
                f"{host} uses the store to move", "stop hostagent.service there, then wait a minute"
            )


def _copy(old: Transaction, new: Transaction) -> dict[str, int]:
    for table in TABLES:
        if table != "meta" and new.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
            raise StoreConflict(
                f"the store to move to is not empty: it has rows in {table}",
                "move to a new database",
            )
    counts = {table: _copy_table(old, new, table) for table in TABLES if table != "meta"}
    new.execute("UPDATE session SET state=1 WHERE state=0")
    for key in _KEPT:
        row = old.execute("SELECT v FROM meta WHERE k=?", (key,)).fetchone()
        if row is not None:
            new.execute(
                "INSERT INTO meta (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v=excluded.v",
                (key, row["v"]),
            )
    return counts


def _copy_table(old: Transaction, new: Transaction, table: str) -> int:
    found, count = old.execute(f"SELECT * FROM {table}"), 0
    while rows := found.fetchmany(_AT_ONCE):
        columns = list(rows[0].keys())
        marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(rows))
        values: list[Any] = [row[column] for row in rows for column in columns]
        new.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks}", values)
        count += len(rows)
    return count
