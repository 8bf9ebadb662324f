"""The schema in a PostgreSQL database: made, migrated, or refused."""

from __future__ import annotations

from collections.abc import Mapping

from hostagent.errors import StoreError
from hostagent.store.postgres.connection import Connection
from hostagent.store.sql import sessions
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.schema import migrations, refuse_newer, refuse_older

_STORAGE = {
    1: "ALTER TABLE session SET (fillfactor=50); ALTER TABLE cursor SET (fillfactor=50); "
    "ALTER TABLE run SET (fillfactor=80)"
}
"""Room in each page for the next version of a row: an update then touches no index."""

_META = "SELECT k, v FROM meta"
_TABLES = "SELECT table_name AS name FROM information_schema.tables "
_TABLES += "WHERE table_schema=current_schema() AND table_type='BASE TABLE'"
"""No views: extensions put theirs (pg_stat_statements) where hostagent's tables are to be."""


def set_up(db: Connection) -> None:
    """Make the schema where there is none; once, however many ask at the same time.

    Raises:
        StoreError: the schema is another program's, or of a hostagent of another age that cannot
            go on with this one's, or ``db`` is open to read only and nothing is there yet.
    """
    number = installed(db)
    if number:
        refuse_older(db.address, number, "run: hostagent store migrate")
    elif db.is_read_only:
        raise StoreError(f"{db.address} is not set up yet", "run: hostagent store init")
    else:
        migrate(db)


def installed(db: Connection) -> int:
    """The schema's version; 0: there is none.

    Raises:
        StoreError: it is another program's, or for newer agents.
    """
    tables = {row["name"] for row in db.read(_TABLES)}
    rows = db.read(_META) if "meta" in tables else []
    return _checked(tables, {row["k"]: row["v"] for row in rows}, db.address)


def migrate(db: Connection) -> None:
    """Make the schema, or bring it up to date, in one transaction.

    Raises:
        StoreError: the schema is another program's, or for newer agents, or an agent at work could
            not go on.
        StoreUnavailable: something else has locked a table for longer than others can wait.
    """
    db.change(lambda transaction: _migrate(transaction, db.address), is_long=True)


def _checked(tables: set[str], said: Mapping[str, str], place: object) -> int:
    if "schema" not in said and tables:
        raise StoreError(
            f"{place} is the database of another program",
            "give hostagent a database, or a schema, of its own",
        )
    number = int(said.get("schema", 0))
    refuse_newer(place, number, int(said.get("oldest", number)))
    return number


def _migrate(db: Transaction, place: object) -> None:
    tables = {row["name"] for row in db.execute(_TABLES).fetchall()}
    if "meta" in tables:  # one at a time
        db.execute("SELECT v FROM meta WHERE k='schema'" + db.for_update)
    rows = db.execute(_META).fetchall() if "meta" in tables else []
    said = {row["k"]: row["v"] for row in rows}
    before = _checked(tables, said, place)
    if before:  # a table that is waited for is closed to everybody: no lease may run out by it
        db.execute("SET LOCAL lock_timeout=500")
    for number, text in migrations(before):
        db.execute(text)
        if number in _STORAGE:
            db.execute(_STORAGE[number])
        db.execute(
            "INSERT INTO meta (k, v) VALUES ('schema', ?) "
            "ON CONFLICT (k) DO UPDATE SET v=excluded.v",
            (str(number),),
        )
    oldest = db.execute("SELECT v FROM meta WHERE k='oldest'").fetchone()["v"]
    if before and oldest != said["oldest"]:
        sessions.refuse_leaving(db, place, int(oldest))
