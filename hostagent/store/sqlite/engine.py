"""SQLite behind the port: one host, one file.

A claim is a conditional update of the cursor and its ledger row, in one transaction; the token
is the cursor's counter, so it grows with every claim of a (job, scope), whatever its kind.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hostagent.model import Kind, Run, parse_run_id
from hostagent.store.port import (
    Accepted,
    AuditEvent,
    Claimed,
    Cursor,
    Decision,
    Finish,
    Pause,
    PauseTarget,
    Refusal,
    Refused,
    Registration,
    RunFilter,
    Session,
    Settlement,
    SpecRecord,
    Stale,
    Want,
)
from hostagent.store.sqlite import registry, rows
from hostagent.store.sqlite.connection import Connection
from hostagent.store.sqlite.rows import RUN_COLUMNS, instant, micros, run_of

KEPT_DECISIONS = 50

_INSERT_RUN = f"INSERT INTO run ({RUN_COLUMNS}) VALUES ({', '.join('?' * 28)})"  # noqa: S608
_SELECT_RUN = f"SELECT {RUN_COLUMNS} FROM run"  # noqa: S608
_CURSOR = "SELECT * FROM cursor WHERE job=? AND scope=? AND retired=0"
_BY_TOKEN = _SELECT_RUN + " WHERE job=? AND scope=? AND token=? AND attempt>0"


class SqliteStore:
    """See ``port.Store``. One thread at a time."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._db = Connection(path, read_only=read_only)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def now(self) -> datetime:
        """This host's clock: there is no other."""
        return datetime.now(UTC)

    # What is due

    def register(
        self,
        jobs: Sequence[Registration],
        closing: Sequence[Settlement],
        at: datetime,
        *,
        remove_others: bool = True,
    ) -> list[str]:
        """See the port."""
        with self._db.transaction() as db:
            for settlement in closing:
                _settle(db, settlement)
            return registry.register(db, jobs, at, remove_others=remove_others)

    def specs(self, job: str | None = None) -> list[SpecRecord]:
        """See the port."""
        found = self._db.read(
            "SELECT * FROM job_spec WHERE ?1 IS NULL OR job=?1 ORDER BY job, seq", job
        )
        return [rows.spec_of(row) for row in found]

    # Who is here

    def open_session(self, host: str, boot_id: str, resume: str | None = None) -> Session:
        """See the port."""
        with self._db.transaction() as db:
            same = db.execute(
                "SELECT 1 FROM session WHERE id=? AND host=? AND boot_id=? AND state=0",
                (resume, host, boot_id),
            ).fetchone()
            if same and resume:
                return Session(resume, host, boot_id)
            db.execute("UPDATE session SET state=1 WHERE host=? AND state=0", (host,))
            session = Session(uuid.uuid4().hex, host, boot_id)
            db.execute(
                "INSERT INTO session VALUES (?,?,?,?,0)",
                (session.id, host, boot_id, micros(self.now())),
            )
            return session

    def close_session(self, session: Session) -> None:
        """See the port."""
        with self._db.transaction() as db:
            db.execute("UPDATE session SET state=1 WHERE id=?", (session.id,))

    # Claims

    def claim(self, session: Session, wants: Sequence[Want]) -> list[Claimed | Refused]:
        """See the port."""
        with self._db.transaction() as db:
            is_open = db.execute(
                "SELECT 1 FROM session WHERE id=? AND state=0", (session.id,)
            ).fetchone()
            if not is_open:
                return [Refused(Refusal.SESSION) for _ in wants]
            now = self.now()
            return [_claim(db, session, want, now) for want in wants]

    def attach(self, job: str, scope: str, token: int, invocation_id: str, at: datetime) -> bool:
        """See the port."""
        with self._db.transaction() as db:
            held = db.execute(
                "SELECT 1 FROM cursor WHERE job=? AND scope=? AND active_token=?",
                (job, scope, token),
            ).fetchone()
            if held:
                db.execute(
                    "UPDATE run SET invocation_id=?, started_at=? "
                    "WHERE job=? AND scope=? AND token=? AND attempt>0",
                    (invocation_id, micros(at) if invocation_id else None, job, scope, token),
                )
            return held is not None

    def finish(self, finishes: Sequence[Finish]) -> list[Accepted | Stale]:
        """See the port."""
        with self._db.transaction() as db:
            return [_finish(db, finish) for finish in finishes]

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """See the port."""
        with self._db.transaction() as db:
            return [_settle(db, settlement) for settlement in settlements]

    def cursors(self) -> list[Cursor]:
        """See the port."""
        found = self._db.read(
            "SELECT c.job AS c_job, c.scope AS c_scope, c.spec_hash AS c_hash, c.high_water, "
            "c.token AS c_token, c.active_token, c.retry_at, r.* FROM cursor c LEFT JOIN run r "
            "ON r.job=c.job AND r.scope=c.scope AND r.token=c.active_token AND r.attempt>0 "
            "WHERE c.retired=0 OR c.active_token IS NOT NULL ORDER BY c.job, c.scope"
        )
        return [
            Cursor(
                row["c_job"],
                row["c_scope"],
                row["c_hash"],
                rows.at(row["high_water"]),
                row["c_token"],
                run_of(row) if row["active_token"] is not None else None,
                instant(row["retry_at"]),
            )
            for row in found
        ]

    # The ledger

    def runs(self, where: RunFilter) -> list[Run]:
        """See the port."""
        terms: list[tuple[str, Any]] = [
            ("job=?", where.job),
            ("scope=?", where.scope),
            ("kind=?", where.kind and str(where.kind)),
            ("host=?", where.host),
            ("scheduled_for>=?", micros(where.since)),
            ("scheduled_for<=?", micros(where.until)),
        ]
        chosen = [(term, value) for term, value in terms if value is not None]
        sql, values = [term for term, _ in chosen], [value for _, value in chosen]
        if where.outcomes:
            sql.append(f"outcome IN ({', '.join('?' * len(where.outcomes))})")
            values += [str(outcome) for outcome in where.outcomes]
        if where.open_only:
            sql.append("outcome IS NULL")
        condition = f" WHERE {' AND '.join(sql)}" if sql else ""
        order = " ORDER BY scheduled_for DESC, token DESC LIMIT ?"
        values.append(-1 if where.limit is None else where.limit)
        return [run_of(row) for row in self._db.read(_SELECT_RUN + condition + order, *values)]

    def run(self, run_id: str) -> list[Run]:
        """See the port."""
        name = parse_run_id(run_id)
        if name is None:
            return []
        job, scope, kind, at = name
        found = self._db.read(
            _SELECT_RUN
            + " WHERE job=? AND scope=? AND kind=? AND scheduled_for=? ORDER BY attempt",
            job,
            scope,
            str(kind),
            micros(at),
        )
        return [run_of(row) for row in found]

    def prune(self, before: datetime) -> int:
        """See the port."""
        limit = micros(before)
        with self._db.transaction() as db:
            count = db.execute(
                "DELETE FROM run WHERE scheduled_for<? AND outcome IS NOT NULL", (limit,)
            ).rowcount
            db.execute("DELETE FROM decision WHERE at<?", (limit,))
            db.execute("DELETE FROM job_spec WHERE valid_to<?", (limit,))
            kept = db.execute("SELECT v FROM meta WHERE k='retained_since'").fetchone()
            if kept is None or int(kept["v"]) < (limit or 0):
                db.execute("REPLACE INTO meta VALUES ('retained_since', ?)", (str(limit),))
            return count

    def retained_since(self) -> datetime | None:
        """See the port."""
        found = self._db.read("SELECT v FROM meta WHERE k='retained_since'")
        return instant(int(found[0]["v"])) if found else None

    # What people ordered

    def pause(self, pause: Pause) -> None:
        """See the port."""
        values = (
            str(pause.target),
            pause.name,
            pause.reason,
            pause.by,
            micros(pause.since),
            micros(pause.until),
        )
        with self._db.transaction() as db:
            db.execute("REPLACE INTO pause VALUES (?,?,?,?,?,?)", values)

    def resume(self, target: PauseTarget, name: str) -> bool:
        """See the port."""
        with self._db.transaction() as db:
            gone = db.execute("DELETE FROM pause WHERE target=? AND name=?", (str(target), name))
            return gone.rowcount > 0

    def pauses(self) -> list[Pause]:
        """See the port."""
        return [rows.pause_of(row) for row in self._db.read("SELECT * FROM pause")]

    # What was decided and done

    def note(self, decisions: Iterable[Decision]) -> None:
        """See the port."""
        with self._db.transaction() as db:
            for d in decisions:
                db.execute(
                    "INSERT INTO decision VALUES (?,?,?,?,?,?)",
                    (d.job, d.scope, micros(d.at), d.verdict, d.reason, micros(d.scheduled_for)),
                )
                db.execute(
                    "DELETE FROM decision WHERE job=?1 AND scope=?2 AND rowid NOT IN (SELECT rowid "
                    "FROM decision WHERE job=?1 AND scope=?2 ORDER BY at DESC, rowid DESC "
                    "LIMIT ?3)",
                    (d.job, d.scope, KEPT_DECISIONS),
                )

    def decisions(self, job: str, scope: str | None = None) -> list[Decision]:
        """See the port."""
        found = self._db.read(
            "SELECT * FROM decision WHERE job=?1 AND (?2 IS NULL OR scope=?2) "
            "ORDER BY at DESC, rowid DESC",
            job,
            scope,
        )
        return [rows.decision_of(row) for row in found]

    def log(self, event: AuditEvent) -> None:
        """See the port."""
        values = (micros(event.at), event.uid, event.host, event.action, event.target, event.detail)
        with self._db.transaction() as db:
            db.execute("INSERT INTO audit_log VALUES (?,?,?,?,?,?)", values)

    def audit_log(self, since: datetime | None = None) -> list[AuditEvent]:
        """See the port."""
        found = self._db.read(
            "SELECT * FROM audit_log WHERE ?1 IS NULL OR at>=?1 ORDER BY at, rowid", micros(since)
        )
        return [rows.event_of(row) for row in found]


def _claim(
    db: sqlite3.Connection, session: Session, want: Want, now: datetime
) -> Claimed | Refused:
    cursor = db.execute(_CURSOR, (want.job, want.scope)).fetchone()
    if cursor is None:
        return Refused(Refusal.UNKNOWN)
    if cursor["spec_hash"] != want.spec_hash:
        return Refused(Refusal.SPEC)
    if cursor["active_token"] is not None:
        return Refused(Refusal.ACTIVE, _holder(db, want.job, want.scope, cursor["active_token"]))
    if want.attempt > 1:
        refusal = _may_follow(db, cursor, want, now)
    elif want.kind is Kind.SCHEDULED:
        refusal = _may_open(cursor, want, now)
    else:
        refusal, want = None, _unused(db, want)
    if refusal is not None:
        return Refused(refusal)
    if want.attempt == 1 and want.kind is Kind.SCHEDULED:
        _supersede(db, cursor, want)
        cursor = db.execute(_CURSOR, (want.job, want.scope)).fetchone()
    run = Run(
        job=want.job,
        scope=want.scope,
        kind=want.kind,
        scheduled_for=want.scheduled_for,
        attempt=want.attempt,
        token=cursor["token"] + 1,
        host=session.host,
        reason=want.reason,
        spec_hash=want.spec_hash,
        session=session.id,
        boot_id=session.boot_id,
        claimed_at=want.at,
        started_at=want.at if want.invocation_id else None,
        invocation_id=want.invocation_id,
        covers_from=want.covers_from,
        covers=want.covers,
    )
    db.execute(_INSERT_RUN, rows.run_values(run))
    opens = want.attempt == 1 and want.kind is Kind.SCHEDULED
    follows = want.attempt > 1
    db.execute(
        "UPDATE cursor SET token=?, active_token=?, high_water=max(high_water, ?), "
        "retry_token=CASE WHEN ? THEN NULL ELSE retry_token END, "
        "retry_at=CASE WHEN ? THEN NULL ELSE retry_at END WHERE job=? AND scope=?",
        (
            run.token,
            run.token,
            micros(run.scheduled_for) if opens else 0,
            follows,
            follows,
            run.job,
            run.scope,
        ),
    )
    return Claimed(run)


def _may_open(cursor: sqlite3.Row, want: Want, now: datetime) -> Refusal | None:
    if want.scheduled_for > now:
        return Refusal.EARLY
    if (micros(want.scheduled_for) or 0) <= cursor["high_water"]:
        return Refusal.PASSED
    return None


def _may_follow(
    db: sqlite3.Connection, cursor: sqlite3.Row, want: Want, now: datetime
) -> Refusal | None:
    last = _holder(db, want.job, want.scope, cursor["retry_token"])
    expected = (want.kind, want.scheduled_for, want.attempt - 1)
    if last is None or (last.kind, last.scheduled_for, last.attempt) != expected:
        return Refusal.ATTEMPT
    return Refusal.EARLY if cursor["retry_at"] > (micros(now) or 0) else None


def _unused(db: sqlite3.Connection, want: Want) -> Want:
    """Manual and backfill runs have identities of their own: the next free microsecond."""
    while db.execute(
        "SELECT 1 FROM run WHERE job=? AND scope=? AND kind=? AND scheduled_for=?",
        (want.job, want.scope, str(want.kind), micros(want.scheduled_for)),
    ).fetchone():
        want = replace(want, scheduled_for=want.scheduled_for + timedelta(microseconds=1))
    return want


def _supersede(db: sqlite3.Connection, cursor: sqlite3.Row, want: Want) -> None:
    """A pending retry that the next occurrence overtakes stays failed, and says so."""
    overtaken = f"; superseded by the one of {want.scheduled_for:%Y-%m-%d %H:%M:%S}Z"
    if cursor["retry_token"] is None:
        return
    db.execute(
        "UPDATE run SET end_reason=end_reason || ?  WHERE job=? AND scope=? AND token=?",
        (
            overtaken,
            want.job,
            want.scope,
            cursor["retry_token"],
        ),
    )
    db.execute(
        "UPDATE cursor SET retry_token=NULL, retry_at=NULL WHERE job=? AND scope=?",
        (want.job, want.scope),
    )


def _holder(db: sqlite3.Connection, job: str, scope: str, token: int | None) -> Run | None:
    row = db.execute(_BY_TOKEN, (job, scope, token)).fetchone()
    return None if row is None else run_of(row)


def _finish(db: sqlite3.Connection, finish: Finish) -> Accepted | Stale:
    key = (finish.job, finish.scope, finish.token)
    held = db.execute(
        "SELECT retired FROM cursor WHERE job=? AND scope=? AND active_token=?", key
    ).fetchone()
    end = finish.end
    if held is None:
        before = _holder(db, *key)
        repeated = before is not None and before.outcome is end.outcome
        return Accepted() if repeated else Stale()
    usage = end.usage
    db.execute(
        "UPDATE run SET outcome=?, end_reason=?, result=?, exit_code=?, signal=?, ended_at=?, "
        "cpu_us=?, memory_peak=?, io_read=?, io_written=?, report=?, report_problem=? "
        "WHERE job=? AND scope=? AND token=? AND attempt>0",
        (
            str(end.outcome),
            end.reason,
            end.result,
            end.exit_code,
            end.signal,
            micros(end.ended_at),
            rows.cpu_us(usage),
            usage.memory_peak,
            usage.io_read,
            usage.io_written,
            end.report,
            end.report_problem,
            *key,
        ),
    )
    if held["retired"]:
        db.execute("DELETE FROM cursor WHERE job=? AND scope=?", key[:2])
    else:
        retry = finish.token if finish.retry_at else None
        db.execute(
            "UPDATE cursor SET active_token=NULL, retry_token=coalesce(?, retry_token), "
            "retry_at=coalesce(?, retry_at) WHERE job=? AND scope=?",
            (retry, micros(finish.retry_at), *key[:2]),
        )
    return Accepted()


def _settle(db: sqlite3.Connection, one: Settlement) -> Accepted | Refused:
    cursor = db.execute(_CURSOR, (one.job, one.scope)).fetchone()
    if cursor is None:
        return Refused(Refusal.UNKNOWN)
    if cursor["spec_hash"] != one.spec_hash:
        return Refused(Refusal.SPEC)
    if (micros(one.first) or 0) <= cursor["high_water"]:
        return Refused(Refusal.PASSED)
    run = Run(
        job=one.job,
        scope=one.scope,
        kind=Kind.SCHEDULED,
        scheduled_for=one.last,
        attempt=0,
        token=0,
        host=one.host,
        reason=one.reason,
        spec_hash=one.spec_hash,
        ended_at=one.at,
        outcome=one.outcome,
        covers_from=one.first,
        covers=one.count,
    )
    db.execute(_INSERT_RUN, rows.run_values(run))
    db.execute(
        "UPDATE cursor SET high_water=? WHERE job=? AND scope=?",
        (micros(one.last), one.job, one.scope),
    )
    return Accepted()
