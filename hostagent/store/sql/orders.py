"""What people and policies leave in the store: pauses, quarantines, alarms, decisions, the log.

Writes are inside the caller's transaction; see the port.
"""

from __future__ import annotations

from collections.abc import Iterable

from hostagent.model import Alarm
from hostagent.store.port import AuditEvent, Backfill, Decision, Pause, PauseTarget, Quarantine
from hostagent.store.sql import claims, sessions
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.rows import alarm_of, alarm_values, micros, quarantine_values

KEPT_DECISIONS = 50


def pause(db: Transaction, one: Pause) -> None:
    """Set or replace it."""
    db.execute(
        "INSERT INTO pause (target, name, reason, by_whom, since, until) VALUES (?,?,?,?,?,?) "
        "ON CONFLICT (target, name) DO UPDATE SET reason=excluded.reason, "
        "by_whom=excluded.by_whom, since=excluded.since, until=excluded.until",
        (str(one.target), one.name, one.reason, one.by, micros(one.since), micros(one.until)),
    )
    sessions.change(db)


def resume(db: Transaction, target: PauseTarget, name: str) -> bool:
    """Whether there was one to lift."""
    gone = db.execute("DELETE FROM pause WHERE target=? AND name=?", (str(target), name)).rowcount
    if gone:
        sessions.change(db)
    return gone > 0


def backfill(db: Transaction, one: Backfill) -> None:
    """Set or replace it."""
    db.execute(
        "INSERT INTO backfill (job, scope, first, last, only_those, by_whom, since) "
        "VALUES (?,?,?,?,?,?,?) ON CONFLICT (job, scope) DO UPDATE SET first=excluded.first, "
        "last=excluded.last, only_those=excluded.only_those, by_whom=excluded.by_whom, "
        "since=excluded.since",
        (
            one.job,
            one.scope,
            micros(one.first),
            micros(one.last),
            str(one.only),
            one.by,
            micros(one.since),
        ),
    )
    sessions.change(db)


def end_backfill(db: Transaction, job: str, scope: str) -> bool:
    """Whether there was one."""
    gone = db.execute("DELETE FROM backfill WHERE job=? AND scope=?", (job, scope)).rowcount
    if gone:
        sessions.change(db)
    return gone > 0


def quarantine(db: Transaction, one: Quarantine) -> None:
    """Set or replace it; a retry that waits is given up."""
    claims.lock(db, [(one.job, one.scope)])
    claims.give_up(db, one.job, one.scope, "not tried again: the job was quarantined")
    db.execute(
        "INSERT INTO quarantine (job, scope, since, host, reason, attempts, evidence, report) "
        "VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (job, scope) DO UPDATE SET since=excluded.since, "
        "host=excluded.host, reason=excluded.reason, attempts=excluded.attempts, "
        "evidence=excluded.evidence, report=excluded.report",
        quarantine_values(one),
    )
    sessions.change(db)


def reinstate(db: Transaction, job: str, scope: str) -> bool:
    """Whether there was anything to put back."""
    gone = db.execute("DELETE FROM quarantine WHERE job=? AND scope=?", (job, scope)).rowcount
    if gone:
        sessions.change(db)
    return gone > 0


def change_alarm(db: Transaction, before: Alarm | None, after: Alarm | None) -> bool:
    """Whether it was ``before``."""
    if before is None:
        return after is None or _add_alarm(db, after)
    key = (before.job, before.scope)
    found = db.execute(f"SELECT * FROM alarm WHERE job=? AND scope=?{db.for_update}", key)
    row = found.fetchone()
    if row is None or alarm_of(row) != before:
        return False
    db.execute("DELETE FROM alarm WHERE job=? AND scope=?", key)
    return after is None or _add_alarm(db, after)


def _add_alarm(db: Transaction, one: Alarm) -> bool:
    marks = ",".join("?" * len(values := alarm_values(one)))
    added = db.execute(
        "INSERT INTO alarm (job, scope, kind, since, reason, over_at, told, untold, tries, due_at) "
        f"VALUES ({marks}) ON CONFLICT (job, scope) DO NOTHING",
        values,
    )
    return added.rowcount > 0


def note(db: Transaction, decisions: Iterable[Decision]) -> None:
    """Keep the last of each (job, scope)."""
    for one in decisions:
        at = micros(one.at)
        key = (one.job, one.scope)
        db.execute(
            "INSERT INTO decision (job, scope, at, verdict, reason, scheduled_for, seq) "
            "VALUES (?,?,?,?,?,?, (SELECT coalesce(max(seq) + 1, 0) FROM decision "
            "WHERE job=? AND scope=? AND at=?))",
            (*key, at, one.verdict, one.reason, micros(one.scheduled_for), *key, at),
        )
        db.execute(
            "DELETE FROM decision WHERE job=? AND scope=? AND (at, seq) < "
            "(SELECT at, seq FROM decision WHERE job=? AND scope=? "
            "ORDER BY at DESC, seq DESC LIMIT 1 OFFSET ?)",
            (*key, *key, KEPT_DECISIONS - 1),
        )


def log(db: Transaction, event: AuditEvent) -> None:
    """Append."""
    at = micros(event.at)
    db.execute(
        "INSERT INTO audit_log (at, seq, uid, host, action, target, detail) "
        "VALUES (?, (SELECT coalesce(max(seq) + 1, 0) FROM audit_log WHERE at=?), ?,?,?,?,?)",
        (at, at, event.uid, event.host, event.action, event.target, event.detail),
    )
