"""Sessions and their leases, inside the caller's transaction; see the port.

A beat and a revocation change the same row and ask for its state: of the two that race, the
second finds what the first did.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from hostagent.store.port import Over, Presence, Profile, Renewed, Session
from hostagent.store.sql import schema
from hostagent.store.sql.database import Row, Transaction
from hostagent.store.sql.ledger import HELD
from hostagent.store.sql.rows import instant, interval, interval_us, micros

_OPEN = "SELECT * FROM session WHERE id=? AND host=? AND boot_id=? AND state=0"
_LIVE = "SELECT * FROM session WHERE id=? AND state=0"
PRESENT = (
    "SELECT s.*, coalesce(h.claims, 0) AS claims FROM session s LEFT JOIN "
    f"(SELECT session, count(*) AS claims FROM run WHERE {HELD} GROUP BY session) h "
    "ON h.session=s.id WHERE s.state=0 OR h.claims>0"
)
"""Rows for ``presence_of``. Open runs are few, and indexed; cursors are many."""


def open_session(
    db: Transaction,
    session: Session,
    new_id: str,
    ttl: timedelta | None,
    profile: Profile | None,
) -> Session:
    """Go on with ``session`` if it is open, else open ``new_id`` of its host and boot.

    Raises:
        StoreError: the store is for newer agents by now.
    """
    told = profile or Profile()
    row, now = _if_open(db, session, db.for_update), db.now()
    if row is not None:
        _renew(db, row, now, ttl, told)
        generation(db)
        return session
    db.execute("UPDATE session SET state=1 WHERE host=? AND state=0", (session.host,))
    new = Session(new_id, session.host, session.boot_id)
    db.execute(
        "INSERT INTO session (id, host, boot_id, opened_at, ttl, expires_at, version, spec, "
        "labels, draining, schema) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            new.id,
            new.host,
            new.boot_id,
            micros(now),
            interval_us(ttl),
            micros(now + ttl) if ttl is not None else None,
            *_columns(told),
        ),
    )
    change(db)
    generation(db)
    return new


def beat(
    db: Transaction,
    session: Session,
    ttl: timedelta | None,
    profile: Profile | None,
) -> Renewed | Over:
    """Move the deadline of an open session.

    Raises:
        StoreError: the store is for newer agents by now.
    """
    row, now = _if_open(db, session, db.for_update), db.now()
    if row is None:
        return Over()
    ttl = interval(row["ttl"]) if ttl is None else ttl
    _renew(db, row, now, ttl, profile or _profile_of(row))
    return Renewed(now, generation(db))


def may_claim(db: Transaction, session: Session, now: datetime) -> bool:
    """Whether it is open and its deadline has not passed, until the transaction ends."""
    row = _if_open(db, session, db.for_share)
    return row is not None and not _has_expired(row, now)


def revoke(db: Transaction, session_id: str, beat: int) -> bool:
    """Whether it is over, by now or before."""
    row = db.execute(_LIVE + db.for_update, (session_id,)).fetchone()
    if row is None:
        return True
    if row["beat"] != beat or not _has_expired(row, db.now()):
        return False
    _end(db, session_id, state=2)
    return True


def close_session(db: Transaction, session: Session) -> None:
    """Its own agent ends it."""
    if db.execute(_LIVE + db.for_update, (session.id,)).fetchone() is not None:
        _end(db, session.id, state=1)


def presence_of(row: Row, now: datetime) -> Presence:
    """A session row, with the number of its ``claims``."""
    return Presence(
        session=Session(row["id"], row["host"], row["boot_id"]),
        profile=_profile_of(row),
        beat=row["beat"],
        ttl=interval(row["ttl"]),
        is_live=row["state"] == 0,
        has_expired=_has_expired(row, now),
        claims=row["claims"],
    )


def change(db: Transaction) -> None:
    """What other agents should read has changed: the generation grows."""
    db.execute("UPDATE meta SET v=CAST(CAST(v AS bigint) + 1 AS text) WHERE k='generation'")


def generation(db: Transaction) -> int:
    """How often something changed.

    Read last, with the session's row or the generation locked: so a migration that leaves agents
    behind, which locks both, either sees this session or is seen here.

    Raises:
        StoreError: the store is for newer agents by now.
    """
    rows = db.execute("SELECT k, v FROM meta WHERE k IN ('generation', 'oldest', 'schema')")
    said = {row["k"]: int(row["v"]) for row in rows.fetchall()}
    schema.refuse_newer("the store", said.get("schema", 0), said["oldest"])
    return said["generation"]


def refuse_leaving(db: Transaction, place: object, oldest: int) -> None:
    """Inside a migration, at its end: nobody at work may know less than ``oldest``.

    Sessions are locked before the generation, as they are by everybody.

    Raises:
        StoreError: somebody does.
    """
    db.execute("SELECT id FROM session WHERE state=0" + db.for_update)
    db.execute("SELECT v FROM meta WHERE k='generation'" + db.for_update)
    rows, now = db.execute(PRESENT).fetchall(), db.now()
    schema.refuse_leaving(place, (presence_of(row, now) for row in rows), oldest)


def _if_open(db: Transaction, session: Session, lock: str) -> Row | None:
    values = (session.id, session.host, session.boot_id)
    row: Row | None = db.execute(_OPEN + lock, values).fetchone()
    return row


def _has_expired(row: Row, now: datetime) -> bool:
    deadline = instant(row["expires_at"])
    return deadline is not None and deadline <= now


def _renew(
    db: Transaction,
    row: Row,
    now: datetime,
    ttl: timedelta | None,
    profile: Profile,
) -> None:
    db.execute(
        "UPDATE session SET beat=beat+1, ttl=?, expires_at=?, version=?, spec=?, labels=?, "
        "draining=?, schema=? WHERE id=?",
        (
            interval_us(ttl),
            micros(now + ttl) if ttl is not None else None,
            *_columns(profile),
            row["id"],
        ),
    )
    if profile != _profile_of(row):
        change(db)


def _end(db: Transaction, session_id: str, state: int) -> None:
    db.execute("UPDATE session SET state=? WHERE id=?", (state, session_id))
    change(db)


def _columns(profile: Profile) -> tuple[str, str, str, int, int]:
    labels, draining = json.dumps(profile.labels), int(profile.draining)
    return profile.version, profile.spec, labels, draining, profile.schema


def _profile_of(row: Row) -> Profile:
    labels = tuple(json.loads(row["labels"]))
    return Profile(row["version"], row["spec"], labels, bool(row["draining"]), row["schema"])
