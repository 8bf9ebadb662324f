"""What a host keeps in its own ledger, copied here for others to see; see ``port.Store.record``.

Inside the caller's transaction. The host is the only author: what is the cluster's, or another
host's, is never touched.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from hostagent.model import Run
from hostagent.store.port import Mark, SpecRecord
from hostagent.store.sql import claims, renames
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.rows import RUN_COLUMNS, micros, run_values, spec_of
from hostagent.store.sql.sessions import change

_IDENTITY = ("job", "scope", "kind", "scheduled_for", "attempt")
_COLUMNS = RUN_COLUMNS.split(", ")
_SETS = ", ".join(f"{name}=excluded.{name}" for name in _COLUMNS if name not in _IDENTITY)
_UPSERT = (
    f"INSERT INTO run ({RUN_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT ({', '.join(_IDENTITY)}) DO UPDATE SET {_SETS} "
    "WHERE run.host=excluded.host AND run.outcome IS NOT NULL"
)


def record(
    db: Transaction,
    host: str,
    specs: Sequence[SpecRecord] | None,
    runs: Sequence[Run],
    marks: Sequence[Mark],
) -> None:
    """Specs, rows and marks of one host."""
    claims.lock(db, _names(db, host, specs, marks))
    if specs is not None and _replace_specs(db, host, specs):
        change(db)
    for run in runs:
        if run.host == host:
            db.execute(_UPSERT, run_values(run))
    for mark in marks:
        _raise_mark(db, host, mark)


def _names(
    db: Transaction, host: str, specs: Sequence[SpecRecord] | None, marks: Sequence[Mark]
) -> set[tuple[str, str]]:
    """Of the cursors that may change. Where others may register meanwhile, they are kept out."""
    names = {(mark.job, mark.scope) for mark in marks}
    if specs is not None and db.for_update:
        db.execute(f"SELECT v FROM meta WHERE k='registry'{db.for_update}")
    if specs is not None:
        found = db.execute("SELECT * FROM job_spec WHERE host=?", (host,)).fetchall()
        names |= {(row["job"], scope) for row in found for scope in json.loads(row["scopes"])}
    return names


def _replace_specs(db: Transaction, host: str, specs: Sequence[SpecRecord]) -> bool:
    """Whether they are others than before."""
    found = db.execute("SELECT * FROM job_spec WHERE host=? ORDER BY job, seq", (host,)).fetchall()
    before = [spec_of(row) for row in found]
    mine = sorted((spec for spec in specs if spec.host == host), key=lambda s: (s.job, s.seq))
    if [_unnumbered(spec) for spec in before] == [_unnumbered(spec) for spec in mine]:
        return False
    db.execute("DELETE FROM job_spec WHERE host=?", (host,))
    for spec in mine:
        db.execute(
            "INSERT INTO job_spec (job, seq, hash, schedule, scopes, valid_from, valid_to, host) "
            "VALUES (?,?,?,?,?,?,?,?)",
            (
                spec.job,
                renames.last_seq(db, spec.job) + 1,
                spec.hash,
                spec.schedule,
                json.dumps(spec.scopes),
                micros(spec.valid_from),
                micros(spec.valid_to),
                host,
            ),
        )
    named = {spec.job for spec in mine}
    gone = {(spec.job, scope) for spec in before if spec.job not in named for scope in spec.scopes}
    for job, scope in sorted(gone):
        _forget(db, host, job, scope)
    return True


def _unnumbered(spec: SpecRecord) -> tuple[object, ...]:
    return spec.job, spec.hash, spec.schedule, spec.scopes, spec.valid_from, spec.valid_to


def _forget(db: Transaction, host: str, job: str, scope: str) -> None:
    """The host's own ledger knows the job no more, or by another name."""
    cursor = db.execute(
        "SELECT * FROM cursor WHERE job=? AND scope=? AND host=? AND retired=0", (job, scope, host)
    ).fetchone()
    if cursor is not None:
        claims.give_up_retry(db, cursor, "not tried again: the job was removed")
        db.execute("UPDATE cursor SET retired=1 WHERE job=? AND scope=?", (job, scope))
    db.execute(
        "DELETE FROM run WHERE job=? AND scope=? AND host=? AND outcome IS NOT NULL",
        (job, scope, host),
    )


def _raise_mark(db: Transaction, host: str, mark: Mark) -> None:
    """A live cursor of others stands in the way; one that is retired gives way."""
    key, high_water = (mark.job, mark.scope), micros(mark.high_water) or 0
    cursor = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", key).fetchone()
    if cursor is None:
        db.execute(
            "INSERT INTO cursor (job, scope, spec_hash, high_water, token, host) "
            "VALUES (?,?,?,?,?,?)",
            (*key, mark.spec_hash, high_water, mark.token, host),
        )
    elif cursor["host"] == host or (cursor["retired"] and cursor["active_token"] is None):
        db.execute(
            "UPDATE cursor SET spec_hash=?, high_water=?, token=?, retired=0, successor=NULL, "
            "host=? WHERE job=? AND scope=?",
            (
                mark.spec_hash,
                max(cursor["high_water"], high_water),
                max(cursor["token"], mark.token),
                host,
                *key,
            ),
        )
