"""Which jobs are registered, and since when: what ``apply`` writes.

A cursor is never deleted, only retired: its token and its high-water mark are what keeps a job
that is removed and comes back, pruned in between or not, from giving a token twice or running an
occurrence again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from hostagent.errors import StoreConflict
from hostagent.store.port import Registration
from hostagent.store.sqlite.claims import attempts_of, give_up_retry
from hostagent.store.sqlite.rows import micros


def register(
    db: sqlite3.Connection,
    jobs: Sequence[Registration],
    at: datetime,
    now: datetime,
    *,
    remove_others: bool,
) -> list[str]:
    """Make ``jobs`` the registered ones, inside the caller's transaction; see the port.

    Raises:
        StoreConflict: the caller's transaction must be rolled back.
    """
    renamed = _rename_all(db, jobs)
    in_force = _in_force(db)
    changed = []
    for job in jobs:
        old = in_force.pop(job.job, None)
        same_hash = old is not None and old["hash"] == job.hash
        stands = same_hash and _scopes(old) == sorted(job.scopes)
        if job.job in renamed or not stands:
            changed.append(job.job)
        if stands:
            continue
        since = _effective(db, job.job, at, now)
        _close(db, job.job, since)
        _open(db, job, since)
        _move_cursors(db, job, since, same_hash=same_hash)
    if remove_others:
        for name in in_force:
            changed.append(name)
            _close(db, name, _effective(db, name, at, now))
            _retire(db, name, ())
    return changed


def _scopes(record: sqlite3.Row | None) -> list[str]:
    return sorted(json.loads(record["scopes"])) if record else []


def conflict(job: str) -> StoreConflict:
    """What the caller read of ``job`` holds no more."""
    return StoreConflict(f"{job}: an occurrence was claimed meanwhile", "repeat it")


def _effective(db: sqlite3.Connection, job: str, at: datetime, now: datetime) -> int:
    """When a change of ``job`` takes effect: at ``at``, or where a clock ahead had brought it."""
    records = db.execute("SELECT valid_from, valid_to FROM job_spec WHERE job=?", (job,)).fetchall()
    since = max([micros(at) or 0, *(row["valid_to"] or row["valid_from"] for row in records)])
    held = db.execute("SELECT high_water FROM cursor WHERE job=? AND retired=0", (job,)).fetchall()
    marks = [row["high_water"] for row in held]
    if any(since < mark <= (micros(now) or 0) for mark in marks):
        raise conflict(job)
    effective: int = max([since, *marks])
    return effective


def _in_force(db: sqlite3.Connection) -> dict[str, sqlite3.Row]:
    found = db.execute("SELECT * FROM job_spec WHERE valid_to IS NULL").fetchall()
    return {row["job"]: row for row in found}


def _close(db: sqlite3.Connection, job: str, at: int) -> None:
    db.execute("UPDATE job_spec SET valid_to=? WHERE job=? AND valid_to IS NULL", (at, job))


def _last_seq(db: sqlite3.Connection, job: str) -> int:
    found = db.execute("SELECT max(seq) AS seq FROM job_spec WHERE job=?", (job,)).fetchone()
    return found["seq"] or 0


def _open(db: sqlite3.Connection, job: Registration, at: int) -> None:
    seq, scopes = _last_seq(db, job.job) + 1, json.dumps(job.scopes)
    db.execute(
        "INSERT INTO job_spec VALUES (?,?,?,?,?,?,NULL)",
        (job.job, seq, job.hash, job.schedule, scopes, at),
    )


def _move_cursors(db: sqlite3.Connection, job: Registration, at: int, *, same_hash: bool) -> None:
    """Cursors for the job's scopes; their marks never go back, and nothing past becomes due."""
    _retire(db, job.job, job.scopes)
    for scope in job.scopes:
        key = (job.job, scope)
        cursor = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", key).fetchone()
        if cursor is None:
            db.execute(
                "INSERT INTO cursor (job, scope, spec_hash, high_water) VALUES (?,?,?,?)",
                (*key, job.hash, at),
            )
            continue
        mark = cursor["high_water"]
        if cursor["retired"] or not same_hash:
            mark = max(mark, at)
            give_up_retry(db, cursor, "not tried again: the schedule was changed")
        db.execute(
            "UPDATE cursor SET spec_hash=?, high_water=?, retired=0, successor=NULL "
            "WHERE job=? AND scope=?",
            (job.hash, mark, *key),
        )


def _retire(db: sqlite3.Connection, job: str, keep: Sequence[str]) -> None:
    """Cursors of scopes that are gone; one with an active claim is still shown until its end."""
    held = db.execute("SELECT * FROM cursor WHERE job=? AND retired=0", (job,)).fetchall()
    for row in held:
        if row["scope"] not in keep:
            give_up_retry(db, row, "not tried again: the job was removed")
            db.execute("UPDATE cursor SET retired=1 WHERE job=? AND scope=?", (job, row["scope"]))


def _rename_all(db: sqlite3.Connection, jobs: Sequence[Registration]) -> set[str]:
    """Carry over what the store knows of jobs under their former names; return the new ones.

    Once: a job that is in force under its new name has been renamed already.
    """
    named, in_force = {job.job for job in jobs}, _in_force(db)
    renamed = set()
    for job in jobs:
        former = job.renamed_from
        if former is None or former in named or job.job in in_force or not _last_seq(db, former):
            continue
        _rename(db, former, job.job)
        renamed.add(job.job)
    return renamed


def _rename(db: sqlite3.Connection, old: str, new: str) -> None:
    """As if the job had always had its new name, but for a run that goes on under the old one.

    PID 1 knows that run by the old name's unit: it moves when it is finished. Rows that stand in
    the way, of an earlier job of the new name, stay; so do then those of the old. A pending retry
    whose token an earlier job used under the new name is given up: it could not be told apart.
    """
    for row in db.execute("SELECT * FROM cursor WHERE job=?", (old,)).fetchall():
        if attempts_of(db, new, row["scope"], row["retry_token"]):
            give_up_retry(db, row, "not tried again: the job was renamed")
    db.execute("UPDATE job_spec SET job=?, seq=seq+? WHERE job=?", (new, _last_seq(db, new), old))
    db.execute("UPDATE OR IGNORE run SET job=? WHERE job=? AND outcome IS NOT NULL", (new, old))
    db.execute("UPDATE decision SET job=? WHERE job=?", (new, old))
    db.execute("UPDATE OR IGNORE pause SET name=? WHERE target='job' AND name=?", (new, old))
    for row in db.execute("SELECT * FROM cursor WHERE job=?", (old,)).fetchall():
        key = (new, row["scope"])
        db.execute(
            "UPDATE cursor SET successor=? WHERE successor=? AND scope=?", (new, old, key[1])
        )
        heir = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", key).fetchone()
        db.execute(
            "REPLACE INTO cursor VALUES (?,?,?,?,?,?,?,?,?,NULL)",
            (
                *key,
                row["spec_hash"],
                max(row["high_water"], heir["high_water"] if heir else 0),
                max(row["token"], heir["token"] if heir else 0),
                heir["active_token"] if heir else None,
                row["retry_token"],
                row["retry_at"],
                row["retired"],
            ),
        )
        db.execute(
            "UPDATE cursor SET retired=1, successor=?, retry_token=NULL, retry_at=NULL "
            "WHERE job=? AND scope=?",
            (new, old, row["scope"]),
        )
