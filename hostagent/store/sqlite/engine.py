"""SQLite behind the port: one host, one file. Each method is one transaction or one SELECT."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hostagent import model
from hostagent.model import Run, parse_run_id
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
from hostagent.store.sqlite import claims, registry, rows
from hostagent.store.sqlite.connection import Connection
from hostagent.store.sqlite.rows import SELECT_RUN, instant, micros, run_of

KEPT_DECISIONS = 50


class SqliteStore:
    """See ``port.Store``. One thread at a time."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._db = Connection(path, read_only=read_only)

    def close(self) -> None:
        """See the port."""
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
                if claims.settle(db, settlement) == Refused(Refusal.PASSED):
                    raise registry.conflict(settlement.job)
            return registry.register(db, jobs, at, self.now(), remove_others=remove_others)

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
                "SELECT 1 FROM session WHERE id=? AND host=? AND boot_id=? AND state=0",
                (session.id, session.host, session.boot_id),
            ).fetchone()
            if not is_open:
                return [Refused(Refusal.SESSION) for _ in wants]
            now = self.now()
            return [claims.claim(db, session, want, now) for want in wants]

    def attach(self, job: str, scope: str, token: int, invocation_id: str, at: datetime) -> bool:
        """See the port."""
        key = (job, scope, token)
        with self._db.transaction() as db:
            held = db.execute(
                "SELECT 1 FROM cursor WHERE job=? AND scope=? AND active_token=?", key
            ).fetchone()
            if held:
                db.execute(
                    "UPDATE run SET invocation_id=?, started_at=? "
                    "WHERE job=? AND scope=? AND token=? AND attempt>0 AND outcome IS NULL",
                    (invocation_id or None, micros(at) if invocation_id else None, *key),
                )
            return held is not None

    def finish(self, finishes: Sequence[Finish]) -> list[Accepted | Stale]:
        """See the port."""
        with self._db.transaction() as db:
            now = self.now()
            return [claims.finish(db, finish, now) for finish in finishes]

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """See the port."""
        with self._db.transaction() as db:
            return [claims.settle(db, settlement) for settlement in settlements]

    def cursors(self) -> list[Cursor]:
        """See the port."""
        found = self._db.read(
            "SELECT c.job AS c_job, c.scope AS c_scope, c.spec_hash AS c_hash, c.high_water, "
            "c.token AS c_token, c.active_token, c.retry_at, r.* FROM cursor c LEFT JOIN run r "
            "ON r.job=c.job AND r.scope=c.scope AND r.token=c.active_token AND r.attempt>0 "
            "AND r.outcome IS NULL "
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
        return [run_of(row) for row in self._db.read(SELECT_RUN + condition + order, *values)]

    def run(self, run_id: str) -> list[Run]:
        """See the port."""
        name = parse_run_id(run_id)
        if name is None:
            return []
        job, scope, kind, at = name
        found = self._db.read(
            f"{SELECT_RUN} WHERE job=? AND scope=? AND kind=? AND scheduled_for=? ORDER BY attempt",
            job,
            scope,
            str(kind),
            micros(at),
        )
        if found:
            return [run_of(row) for row in found]
        (heir,) = self._db.read(
            "SELECT max(successor) AS job FROM cursor WHERE job=? AND scope=?", job, scope
        )
        return self.run(model.run_id(heir["job"], scope, kind, at)) if heir["job"] else []

    def prune(self, before: datetime) -> int:
        """See the port."""
        limit = micros(before)
        with self._db.transaction() as db:
            count = db.execute(
                "DELETE FROM run WHERE scheduled_for<? "
                "AND NOT EXISTS (SELECT 1 FROM run AS going WHERE going.job=run.job "
                "AND going.scope=run.scope AND going.kind=run.kind "
                "AND going.scheduled_for=run.scheduled_for AND going.outcome IS NULL) "
                "AND NOT EXISTS (SELECT 1 FROM cursor, run AS tried WHERE cursor.job=run.job "
                "AND cursor.scope=run.scope AND tried.job=run.job AND tried.scope=run.scope "
                "AND tried.token=cursor.retry_token AND tried.kind=run.kind "
                "AND tried.scheduled_for=run.scheduled_for)",
                (limit,),
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
