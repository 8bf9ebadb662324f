"""Which jobs are registered, and since when: what ``apply`` writes.

A cursor is never deleted, only retired: its token and its high-water mark are what keeps a job
that is removed and comes back, pruned in between or not, from giving a token twice or running an
occurrence again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime

from hostagent.errors import StoreConflict
from hostagent.store.port import Registration
from hostagent.store.sqlite import renames
from hostagent.store.sqlite.claims import give_up_retry
from hostagent.store.sqlite.rows import micros

REACH = "(?='' OR host IN ('', ?))"
"""Of what is registered: that which a registration of a host can change; all if of the cluster."""


def register(
    db: sqlite3.Connection,
    jobs: Sequence[Registration],
    at: datetime,
    now: datetime,
    *,
    remove_others: bool | Collection[str],
    host: str,
) -> list[str]:
    """Make ``jobs`` the registered ones, inside the caller's transaction; see the port.

    Raises:
        StoreConflict: the caller's transaction must be rolled back.
    """
    renamed = renames.rename_all(db, jobs)
    in_force = renames.records_in_force(db)
    changed = []
    for job in jobs:
        old = in_force.get((job.job, job.host))
        same_hash = old is not None and old["hash"] == job.hash
        stands = same_hash and _scopes(old) == sorted(job.scopes)
        if job.job in renamed or not stands:
            changed.append(job.job)
        if stands:
            continue
        since = _effective(db, job.job, job.host, at, now)
        _close(db, job.job, job.host, since)
        _open(db, job, since)
        _move_cursors(db, job, since, same_hash=same_hash)
    named = {job.job for job in jobs}
    for name, owner in in_force:
        is_asked = remove_others if isinstance(remove_others, bool) else name in remove_others
        if is_asked and name not in named and owner in {"", host}:
            changed.append(name)
            _close(db, name, owner, _effective(db, name, owner, at, now))
            _retire(db, name, owner, ())
    return changed


def _scopes(record: sqlite3.Row | None) -> list[str]:
    return sorted(json.loads(record["scopes"])) if record else []


def conflict(job: str) -> StoreConflict:
    """What the caller read of ``job`` holds no more."""
    return StoreConflict(f"{job}: an occurrence was claimed meanwhile", "repeat it")


def _effective(db: sqlite3.Connection, job: str, host: str, at: datetime, now: datetime) -> int:
    """When a change of ``job`` takes effect: at ``at``, or where a clock ahead had brought it."""
    records = db.execute(
        f"SELECT valid_from, valid_to FROM job_spec WHERE job=? AND {REACH}", (job, host, host)
    ).fetchall()
    since = max([micros(at) or 0, *(row["valid_to"] or row["valid_from"] for row in records)])
    marks = [row["high_water"] for row in _live_cursors(db, job, host)]
    if any(since < mark <= (micros(now) or 0) for mark in marks):
        raise conflict(job)
    effective: int = max([since, *marks])
    return effective


def _live_cursors(db: sqlite3.Connection, job: str, host: str) -> list[sqlite3.Row]:
    return db.execute(
        f"SELECT * FROM cursor WHERE job=? AND retired=0 AND {REACH}", (job, host, host)
    ).fetchall()


def _close(db: sqlite3.Connection, job: str, host: str, at: int) -> None:
    db.execute(
        f"UPDATE job_spec SET valid_to=? WHERE job=? AND valid_to IS NULL AND {REACH}",
        (at, job, host, host),
    )


def _open(db: sqlite3.Connection, job: Registration, at: int) -> None:
    seq, scopes = renames.last_seq(db, job.job) + 1, json.dumps(job.scopes)
    db.execute(
        "INSERT INTO job_spec (job, seq, hash, schedule, scopes, valid_from, host) "
        "VALUES (?,?,?,?,?,?,?)",
        (job.job, seq, job.hash, job.schedule, scopes, at, job.host),
    )


def _move_cursors(db: sqlite3.Connection, job: Registration, at: int, *, same_hash: bool) -> None:
    """Cursors for the job's scopes; their marks never go back, and nothing past becomes due."""
    _retire(db, job.job, job.host, job.scopes)
    for scope in job.scopes:
        key = (job.job, scope)
        cursor = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", key).fetchone()
        if cursor is None:
            db.execute(
                "INSERT INTO cursor (job, scope, spec_hash, high_water, host) VALUES (?,?,?,?,?)",
                (*key, job.hash, at, job.host),
            )
            continue
        mark = cursor["high_water"]
        if cursor["retired"] or not same_hash:
            mark = max(mark, at)
            give_up_retry(db, cursor, "not tried again: the schedule was changed")
        db.execute(
            "UPDATE cursor SET spec_hash=?, high_water=?, retired=0, successor=NULL, host=? "
            "WHERE job=? AND scope=?",
            (job.hash, mark, job.host, *key),
        )


def _retire(db: sqlite3.Connection, job: str, host: str, keep: Sequence[str]) -> None:
    """Cursors of scopes that are gone; one with an active claim is still shown until its end."""
    for row in _live_cursors(db, job, host):
        if row["scope"] not in keep:
            give_up_retry(db, row, "not tried again: the job was removed")
            db.execute("UPDATE cursor SET retired=1 WHERE job=? AND scope=?", (job, row["scope"]))
