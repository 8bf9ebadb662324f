"""Jobs that go on under another name, inside the transaction of ``register``."""

from __future__ import annotations

from collections.abc import Sequence

from hostagent.store.port import Registration
from hostagent.store.sql.claims import attempts_of, give_up_retry
from hostagent.store.sql.database import Row, Transaction

_MINE = "job=? AND (?='' OR host IN ('', ?))"
_MOVES = f"job=? AND scope IN (SELECT scope FROM cursor WHERE {_MINE})"

_RENAME_RUNS = (
    f"UPDATE run SET job=? WHERE {_MOVES} AND outcome IS NOT NULL AND NOT EXISTS "
    "(SELECT 1 FROM run AS other WHERE other.job=? AND other.scope=run.scope "
    "AND other.kind=run.kind AND other.scheduled_for=run.scheduled_for "
    "AND other.attempt=run.attempt)"
)
_RENAME_QUARANTINES = (
    f"UPDATE quarantine SET job=? WHERE {_MOVES} AND NOT EXISTS "
    "(SELECT 1 FROM quarantine AS other WHERE other.job=? AND other.scope=quarantine.scope)"
)
_RENAME_BACKFILLS = (
    f"UPDATE backfill SET job=? WHERE {_MOVES} AND NOT EXISTS "
    "(SELECT 1 FROM backfill AS other WHERE other.job=? AND other.scope=backfill.scope)"
)
_RENAME_DECISIONS = f"UPDATE decision SET job=? WHERE {_MOVES}"


def records_in_force(db: Transaction) -> dict[tuple[str, str], Row]:
    """By job and host."""
    found = db.execute(
        "SELECT * FROM job_spec WHERE valid_to IS NULL ORDER BY job, host"
    ).fetchall()
    return {(row["job"], row["host"]): row for row in found}


def last_seq(db: Transaction, job: str) -> int:
    """The number of the job's last record that is kept, else 0."""
    found = db.execute("SELECT max(seq) AS seq FROM job_spec WHERE job=?", (job,)).fetchone()
    return found["seq"] or 0


def rename_all(db: Transaction, jobs: Sequence[Registration]) -> set[str]:
    """Carry over what the store knows of jobs under their former names; return the new ones.

    Once: a job that is in force under its new name has been renamed already. A registration of
    one host carries over what is that host's, or the cluster's.
    """
    named, in_force = {job.job for job in jobs}, records_in_force(db)
    renamed = set()
    for job in jobs:
        former = job.renamed_from
        if former is None or former in named:
            continue
        owners = {host for name, host in in_force if name == job.job}
        if owners & {"", job.host} or (owners and not job.host):
            continue
        if _is_known(db, former, job.host):
            _rename(db, former, job.job, job.host)
            renamed.add(job.job)
    return renamed


def _is_known(db: Transaction, job: str, host: str) -> bool:
    found = db.execute(f"SELECT 1 FROM job_spec WHERE {_MINE} LIMIT 1", (job, host, host))
    return found.fetchone() is not None


def _rename(db: Transaction, old: str, new: str, host: str) -> None:
    """As if the job had always had its new name, but for a run that goes on under the old one.

    PID 1 knows that run by the old name's unit: it moves when it is finished. Rows that stand in
    the way, of an earlier job of the new name, stay; so do then those of the old. A pending retry
    whose token an earlier job used under the new name is given up: it could not be told apart.
    """
    mine = (old, host, host)
    for row in db.execute(f"SELECT * FROM cursor WHERE {_MINE}", mine).fetchall():
        if attempts_of(db, new, row["scope"], row["retry_token"]):
            give_up_retry(db, row, "not tried again: the job was renamed")
    db.execute(
        f"UPDATE job_spec SET job=?, seq=seq+? WHERE {_MINE}", (new, last_seq(db, new), *mine)
    )
    db.execute(_RENAME_RUNS, (new, old, *mine, new))
    db.execute(_RENAME_QUARANTINES, (new, old, *mine, new))
    db.execute(_RENAME_BACKFILLS, (new, old, *mine, new))
    db.execute(_RENAME_DECISIONS, (new, old, *mine))
    _rename_pause(db, old, new)
    for row in db.execute(f"SELECT * FROM cursor WHERE {_MINE}", mine).fetchall():
        _rename_cursor(db, row, new)


def _rename_pause(db: Transaction, old: str, new: str) -> None:
    """It stays with the old name, too, while other hosts still have the job under that."""
    db.execute(
        "INSERT INTO pause (target, name, reason, by_whom, since, until) "
        "SELECT target, ?, reason, by_whom, since, until FROM pause "
        "WHERE target='job' AND name=? ON CONFLICT (target, name) DO NOTHING",
        (new, old),
    )
    db.execute(
        "DELETE FROM pause WHERE target='job' AND name=? "
        "AND NOT EXISTS (SELECT 1 FROM job_spec WHERE job=? AND valid_to IS NULL)",
        (old, old),
    )


def _rename_cursor(db: Transaction, row: Row, new: str) -> None:
    old, key = row["job"], (new, row["scope"])
    db.execute("UPDATE cursor SET successor=? WHERE successor=? AND scope=?", (new, old, key[1]))
    heir = db.execute("SELECT * FROM cursor WHERE job=? AND scope=?", key).fetchone()
    if heir is None:
        db.execute("INSERT INTO cursor (job, scope, spec_hash, high_water) VALUES (?,?,'',0)", key)
    db.execute(
        "UPDATE cursor SET spec_hash=?, high_water=?, token=?, retry_token=?, retry_at=?, "
        "retired=?, successor=NULL, host=? WHERE job=? AND scope=?",
        (
            row["spec_hash"],
            max(row["high_water"], heir["high_water"] if heir else 0),
            max(row["token"], heir["token"] if heir else 0),
            row["retry_token"],
            row["retry_at"],
            row["retired"],
            row["host"],
            *key,
        ),
    )
    db.execute(
        "UPDATE cursor SET retired=1, successor=?, retry_token=NULL, retry_at=NULL "
        "WHERE job=? AND scope=?",
        (new, old, row["scope"]),
    )
