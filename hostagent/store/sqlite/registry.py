"""Which jobs are registered, and since when: what ``apply`` writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from hostagent.store.port import Registration
from hostagent.store.sqlite.rows import micros


def register(
    db: sqlite3.Connection, jobs: Sequence[Registration], at: datetime, *, remove_others: bool
) -> list[str]:
    """Make ``jobs`` the registered ones, inside the caller's transaction; see the port."""
    now = micros(at) or 0
    in_force = {
        row["job"]: row
        for row in db.execute("SELECT * FROM job_spec WHERE valid_to IS NULL").fetchall()
    }
    changed = []
    for job in jobs:
        old = in_force.pop(job.job, None)
        scopes = json.dumps(job.scopes)
        if old is not None and (old["hash"], old["scopes"]) == (job.hash, scopes):
            continue
        changed.append(job.job)
        _close(db, job.job, now)
        _open(db, job, scopes, now)
        _move_cursors(db, job, now, same_hash=old is not None and old["hash"] == job.hash)
    if remove_others:
        for name in in_force:
            changed.append(name)
            _close(db, name, now)
            _retire(db, name, ())
    return changed


def _close(db: sqlite3.Connection, job: str, now: int) -> None:
    db.execute("UPDATE job_spec SET valid_to=? WHERE job=? AND valid_to IS NULL", (now, job))


def _open(db: sqlite3.Connection, job: Registration, scopes: str, now: int) -> None:
    (seq,) = db.execute(
        "SELECT coalesce(max(seq), 0) + 1 FROM job_spec WHERE job=?", (job.job,)
    ).fetchone()
    db.execute(
        "INSERT INTO job_spec VALUES (?,?,?,?,?,?,NULL)",
        (job.job, seq, job.hash, job.schedule, scopes, now),
    )


def _move_cursors(db: sqlite3.Connection, job: Registration, now: int, *, same_hash: bool) -> None:
    """Cursors for the job's scopes; their marks never go back, and nothing past becomes due."""
    _retire(db, job.job, job.scopes)
    for scope in job.scopes:
        source = db.execute(
            "SELECT token, high_water, active_token FROM cursor WHERE job=? AND scope=?",
            (job.job, scope),
        ).fetchone()
        if source is not None:
            mark = source["high_water"] if same_hash else max(source["high_water"], now)
            db.execute(
                "UPDATE cursor SET spec_hash=?, high_water=?, retired=0, retry_token=NULL, "
                "retry_at=NULL WHERE job=? AND scope=?",
                (job.hash, mark, job.job, scope),
            )
            continue
        former = db.execute(
            "SELECT token, high_water FROM cursor WHERE job=? AND scope=?",
            (job.renamed_from, scope),
        ).fetchone()
        known = db.execute(
            "SELECT max(token) AS token, max(scheduled_for) AS mark FROM run "
            "WHERE job=? AND scope=?",
            (job.job, scope),
        ).fetchone()
        token = max(former["token"] if former else 0, known["token"] or 0)
        mark = max(former["high_water"] if former else 0, now)
        db.execute(
            "INSERT INTO cursor (job, scope, spec_hash, high_water, token) VALUES (?,?,?,?,?)",
            (job.job, scope, job.hash, mark, token),
        )


def _retire(db: sqlite3.Connection, job: str, keep: Sequence[str]) -> None:
    """Cursors of scopes that are gone: removed now, or when their active claim is finished."""
    held = db.execute("SELECT scope, active_token FROM cursor WHERE job=?", (job,)).fetchall()
    for row in held:
        if row["scope"] in keep:
            continue
        if row["active_token"] is None:
            db.execute("DELETE FROM cursor WHERE job=? AND scope=?", (job, row["scope"]))
        else:
            db.execute("UPDATE cursor SET retired=1 WHERE job=? AND scope=?", (job, row["scope"]))
