"""The schema in a PostgreSQL database: made, brought up to date, or refused."""

from __future__ import annotations

from hostagent.errors import StoreError
from hostagent.store.postgres.connection import Connection
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.schema import VERSION, migrations

_STORAGE = {
    1: "ALTER TABLE session SET (fillfactor=50); ALTER TABLE cursor SET (fillfactor=50); "
    "ALTER TABLE run SET (fillfactor=80)"
}
"""Room in each page for the next version of a row: an update then touches no index."""

_VERSION = "SELECT v FROM meta WHERE k='schema'"
_TABLES = "SELECT table_name AS name FROM information_schema.tables "
_TABLES += "WHERE table_schema=current_schema()"


def set_up(db: Connection) -> None:
    """Make the schema, or bring it up to date; once, however many ask at the same time.

    Raises:
        StoreError: the schema is another program's or a newer hostagent's, or ``db`` is open to
            read only and nothing is there yet.
    """
    version = installed(db)
    if version == VERSION:
        return
    if db.is_read_only:
        raise StoreError(f"{db.address} is not set up yet", "run: hostagent store init")
    db.change(lambda transaction: _migrate(transaction, str(db.address)), is_long=True)


def installed(db: Connection) -> int:
    """The schema's version; 0: there is none.

    Raises:
        StoreError: it is another program's or a newer hostagent's.
    """
    tables = {row["name"] for row in db.read(_TABLES)}
    rows = db.read(_VERSION) if "meta" in tables else []
    return _checked(tables, rows[0]["v"] if rows else None, str(db.address))


def _checked(tables: set[str], said: str | None, place: str) -> int:
    if said is None and tables:
        raise StoreError(
            f"{place} is the database of another program",
            "give hostagent a database, or a schema, of its own",
        )
    version = int(said or 0)
    if version > VERSION:
        raise StoreError(
            f"{place} is of a newer hostagent (schema {version}, known is {VERSION})",
            "upgrade hostagent on this host",
        )
    return version


def _migrate(db: Transaction, place: str) -> None:
    tables = {row["name"] for row in db.execute(_TABLES).fetchall()}
    row = db.execute(_VERSION + db.for_update).fetchone() if "meta" in tables else None
    version = _checked(tables, row["v"] if row else None, place)
    for number, text in migrations(version):
        db.execute(text)
        if number in _STORAGE:
            db.execute(_STORAGE[number])
        db.execute(
            "INSERT INTO meta (k, v) VALUES ('schema', ?) "
            "ON CONFLICT (k) DO UPDATE SET v=excluded.v",
            (str(number),),
        )
