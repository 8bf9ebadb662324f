"""Which jobs are registered, and since when: what ``apply`` writes.

A cursor is never deleted, only retired: its token and its high-water mark are what keeps a job
that is removed and comes back, pruned in between or not, from giving a token twice or running an
occurrence again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from hostagent.errors import StoreConflict
from hostagent.store.port import Refusal, Refused, Registration, Settlement
from hostagent.store.sql import claims, renames
from hostagent.store.sql.database import Row, Transaction
from hostagent.store.sql.rows import micros

_AT_ONCE = 400
"""How many names one statement asks for."""

_REACH = "(?='' OR host IN ('', ?))"
"""Of what is registered: that which a registration of a host can change; all if of the cluster."""


def register(
    db: Transaction,
    jobs: Sequence[Registration],
    closing: Sequence[Settlement],
    at: datetime,
    *,
    remove_others: bool | Collection[str],
    host: str,
) -> list[str]:
    """Make ``jobs`` the registered ones, inside the caller's transaction; see the port.

    Raises:
        StoreConflict: the caller's transaction must be rolled back.
    """
    _lock(db, jobs, closing, remove_others=remove_others, host=host)
    now = db.now()
    for settlement in closing:
        if claims.settle(db, settlement) == Refused(Refusal.PASSED):
            raise _conflict(settlement.job)
    renamed = renames.rename_all(db, jobs)
    in_force, known = renames.records_in_force(db), _ever_known(db)
    changed = []
    for job in jobs:
        old = in_force.get((job.job, job.host))
        stands = _stands(old, job)
        if job.job in renamed or not stands:
            changed.append(job.job)
        if stands:
            continue
        if job.job not in known:  # nothing to close, no mark to keep
            known.add(job.job)
            _open(db, job, 1, micros(at) or 0)
            for scope in job.scopes:
                _open_cursor(db, job, scope, micros(at) or 0)
            continue
        since = _effective(db, job.job, job.host, at, now)
        _close(db, job.job, job.host, since)
        _open(db, job, renames.last_seq(db, job.job) + 1, since)
        same_hash = old is not None and old["hash"] == job.hash
        _move_cursors(db, job, since, same_hash=same_hash)
    for name, owner in _others(in_force, jobs, remove_others, host):
        changed.append(name)
        _close(db, name, owner, _effective(db, name, owner, at, now))
        _retire(db, name, owner, ())
    return changed


def _lock(
    db: Transaction,
    jobs: Sequence[Registration],
    closing: Sequence[Settlement],
    *,
    remove_others: bool | Collection[str],
    host: str,
) -> None:
    """One registers at a time, and nobody claims what is about to change."""
    if not db.for_update:
        return
    db.execute(f"SELECT v FROM meta WHERE k='registry'{db.for_update}")
    in_force = renames.records_in_force(db)
    changing = [job for job in jobs if not _stands(in_force.get((job.job, job.host)), job)]
    names = {job.job for job in changing} | {settlement.job for settlement in closing}
    names |= {job.renamed_from for job in changing if job.renamed_from}
    names |= {name for name, _ in _others(in_force, jobs, remove_others, host)}
    asked = sorted(names)
    for begin in range(0, len(asked), _AT_ONCE):
        some = asked[begin : begin + _AT_ONCE]
        marks = ", ".join("?" * len(some))
        db.execute(
            f"SELECT 1 FROM cursor WHERE job IN ({marks}) OR successor IN ({marks}) "
            f"ORDER BY job, scope{db.for_update}",
            [*some, *some],
        )


def _others(
    in_force: dict[tuple[str, str], Row],
    jobs: Sequence[Registration],
    remove_others: bool | Collection[str],
    host: str,
) -> list[tuple[str, str]]:
    """The jobs that are to go, and whose they are."""
    named = {job.job for job in jobs}
    return [
        (name, owner)
        for name, owner in in_force
        if (remove_others if isinstance(remove_others, bool) else name in remove_others)
        and name not in named
        and owner in {"", host}
    ]


def _stands(record: Row | None, job: Registration) -> bool:
    """Whether the job is registered as it is, already."""
    if record is None or record["hash"] != job.hash:
        return False
    return sorted(json.loads(record["scopes"])) == sorted(job.scopes)


def _conflict(job: str) -> StoreConflict:
    """What the caller read of ``job`` holds no more."""
    return StoreConflict(f"{job}: an occurrence was claimed meanwhile", "repeat it")


def _effective(db: Transaction, job: str, host: str, at: datetime, now: datetime) -> int:
    """When a change of ``job`` takes effect: at ``at``, or where a clock ahead had brought it."""
    records = db.execute(
        f"SELECT valid_from, valid_to FROM job_spec WHERE job=? AND {_REACH}", (job, host, host)
    ).fetchall()
    since = max([micros(at) or 0, *(row["valid_to"] or row["valid_from"] for row in records)])
    marks = [row["high_water"] for row in _live_cursors(db, job, host)]
    if any(since < mark <= (micros(now) or 0) for mark in marks):
        raise _conflict(job)
    effective: int = max([since, *marks])
    return effective


def _live_cursors(db: Transaction, job: str, host: str) -> Sequence[Row]:
    return db.execute(
        f"SELECT * FROM cursor WHERE job=? AND retired=0 AND {_REACH}", (job, host, host)
    ).fetchall()


def _close(db: Transaction, job: str, host: str, at: int) -> None:
    db.execute(
        f"UPDATE job_spec SET valid_to=? WHERE job=? AND valid_to IS NULL AND {_REACH}",
        (at, job, host, host),
    )


def _ever_known(db: Transaction) -> set[str]:
    """All names that the store has anything about."""
    found = db.execute("SELECT job FROM cursor UNION SELECT job FROM job_spec").fetchall()
    return {row["job"] for row in found}


def _open(db: Transaction, job: Registration, seq: int, at: int) -> None:
    scopes = json.dumps(job.scopes)
    db.execute(
        "INSERT INTO job_spec (job, seq, hash, schedule, scopes, valid_from, host) "
        "VALUES (?,?,?,?,?,?,?)",
        (job.job, seq, job.hash, job.schedule, scopes, at, job.host),
    )


def _open_cursor(db: Transaction, job: Registration, scope: str, at: int) -> None:
    db.execute(
        "INSERT INTO cursor (job, scope, spec_hash, high_water, host) VALUES (?,?,?,?,?)",
        (job.job, scope, job.hash, at, job.host),
    )


def _move_cursors(db: Transaction, job: Registration, at: int, *, same_hash: bool) -> None:
    """Cursors for the job's scopes; their marks never go back, and nothing past becomes due."""
    _retire(db, job.job, job.host, job.scopes)
    for scope in job.scopes:
        key = (job.job, scope)
        cursor = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", key).fetchone()
        if cursor is None:
            _open_cursor(db, job, scope, at)
            continue
        mark = cursor["high_water"]
        if cursor["retired"] or not same_hash:
            mark = max(mark, at)
            claims.give_up_retry(db, cursor, "not tried again: the schedule was changed")
        db.execute(
            "UPDATE cursor SET spec_hash=?, high_water=?, retired=0, successor=NULL, host=? "
            "WHERE job=? AND scope=?",
            (job.hash, mark, job.host, *key),
        )


def _retire(db: Transaction, job: str, host: str, keep: Sequence[str]) -> None:
    """Cursors of scopes that are gone; one with an active claim is still shown until its end."""
    for row in _live_cursors(db, job, host):
        if row["scope"] not in keep:
            claims.give_up_retry(db, row, "not tried again: the job was removed")
            db.execute("DELETE FROM backfill WHERE job=? AND scope=?", (job, row["scope"]))
            db.execute("UPDATE cursor SET retired=1 WHERE job=? AND scope=?", (job, row["scope"]))
