"""SQLite behind the port: one host, one file. Each method is one transaction or one SELECT."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hostagent.model import Run
from hostagent.store.port import (
    MAX_SKEW,
    Accepted,
    AuditEvent,
    Claimed,
    Cursor,
    Decision,
    Finish,
    Over,
    Pause,
    PauseTarget,
    Presence,
    Profile,
    Quarantine,
    Refusal,
    Refused,
    Registration,
    Renewed,
    RunFilter,
    Session,
    Settlement,
    SpecRecord,
    Stale,
    Want,
)
from hostagent.store.sqlite import claims, ledger, registry, rows, sessions
from hostagent.store.sqlite.connection import Connection
from hostagent.store.sqlite.rows import instant, micros

KEPT_DECISIONS = 50


class SqliteStore:
    """See ``port.Store``. One thread at a time."""

    is_shared = False

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._db = Connection(path, read_only=read_only)
        self._clock = clock
        self._new_id: Callable[[], str] = lambda: uuid.uuid4().hex

    def close(self) -> None:
        """See the port."""
        self._db.close()

    def now(self) -> datetime:
        """This host's clock: there is no other."""
        return self._clock()

    # What is due

    def register(
        self,
        jobs: Sequence[Registration],
        closing: Sequence[Settlement],
        at: datetime,
        *,
        remove_others: bool | Collection[str] = True,
        host: str = "",
    ) -> list[str]:
        """See the port."""
        with self._db.transaction() as db:
            for settlement in closing:
                if claims.settle(db, settlement) == Refused(Refusal.PASSED):
                    raise registry.conflict(settlement.job)
            changed = registry.register(
                db, jobs, at, self.now(), remove_others=remove_others, host=host
            )
            if changed:
                sessions.change(db)
            return changed

    def specs(self, job: str | None = None) -> list[SpecRecord]:
        """See the port."""
        found = self._db.read(
            "SELECT * FROM job_spec WHERE ?1 IS NULL OR job=?1 ORDER BY job, seq", job
        )
        return [rows.spec_of(row) for row in found]

    # Who is here

    def open_session(
        self,
        host: str,
        boot_id: str,
        resume: str | None = None,
        *,
        ttl: timedelta | None = None,
        profile: Profile | None = None,
    ) -> Session:
        """See the port."""
        asked = Session(resume or "", host, boot_id)
        with self._db.transaction() as db:
            return sessions.open_session(db, asked, self._new_id(), self.now(), ttl, profile)

    def beat(
        self, session: Session, *, ttl: timedelta | None = None, profile: Profile | None = None
    ) -> Renewed | Over:
        """See the port."""
        with self._db.transaction() as db:
            return sessions.beat(db, session, self.now(), ttl, profile)

    def sessions(self) -> list[Presence]:
        """See the port."""
        found = self._db.read(
            "SELECT s.*, coalesce(c.claims, 0) AS claims FROM session s LEFT JOIN "
            "(SELECT active_session, count(*) AS claims FROM cursor "
            "WHERE active_session IS NOT NULL GROUP BY active_session) c "
            "ON c.active_session=s.id WHERE s.state=0 OR c.claims>0 ORDER BY s.host, s.id"
        )
        now = self.now()
        return [sessions.presence_of(row, now) for row in found]

    def revoke(self, session_id: str, beat: int) -> bool:
        """See the port."""
        with self._db.transaction() as db:
            return sessions.revoke(db, session_id, beat, self.now())

    def held(self, session_id: str) -> list[Run]:
        """See the port."""
        return ledger.held(self._db.read, session_id)

    def close_session(self, session: Session) -> None:
        """See the port."""
        with self._db.transaction() as db:
            sessions.close_session(db, session)

    # Claims

    def claim(
        self, session: Session, wants: Sequence[Want], clock: datetime | None = None
    ) -> list[Claimed | Refused]:
        """See the port."""
        with self._db.transaction() as db:
            now = self.now()
            if not sessions.may_claim(db, session, now):
                return [Refused(Refusal.SESSION) for _ in wants]
            if clock is not None and abs(now - clock) > MAX_SKEW:
                return [Refused(Refusal.SKEW) for _ in wants]
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
            answers = [claims.finish(db, finish, now) for finish in finishes]
            if any(
                isinstance(answer, Accepted) and finish.retry_at
                for answer, finish in zip(answers, finishes, strict=True)
            ):
                sessions.change(db)
            return answers

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """See the port."""
        with self._db.transaction() as db:
            return [claims.settle(db, settlement) for settlement in settlements]

    def cursors(self, names: Collection[tuple[str, str]] | None = None) -> list[Cursor]:
        """See the port."""
        return ledger.cursors(self._db.read, names)

    # The ledger

    def runs(self, where: RunFilter) -> list[Run]:
        """See the port."""
        return ledger.runs(self._db.read, where)

    def run(self, run_id: str) -> list[Run]:
        """See the port."""
        return ledger.run(self._db.read, run_id)

    def prune(self, before: datetime) -> int:
        """See the port."""
        with self._db.transaction() as db:
            return ledger.prune(db, micros(before) or 0)

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
            sessions.change(db)

    def resume(self, target: PauseTarget, name: str) -> bool:
        """See the port."""
        with self._db.transaction() as db:
            gone = db.execute("DELETE FROM pause WHERE target=? AND name=?", (str(target), name))
            if gone.rowcount:
                sessions.change(db)
            return gone.rowcount > 0

    def pauses(self) -> list[Pause]:
        """See the port."""
        return [rows.pause_of(row) for row in self._db.read("SELECT * FROM pause")]

    # What keeps crashing

    def quarantine(self, quarantine: Quarantine) -> None:
        """See the port."""
        with self._db.transaction() as db:
            claims.give_up(
                db, quarantine.job, quarantine.scope, "not tried again: the job was quarantined"
            )
            db.execute(
                "REPLACE INTO quarantine VALUES (?,?,?,?,?,?,?,?)",
                rows.quarantine_values(quarantine),
            )
            sessions.change(db)

    def reinstate(self, job: str, scope: str) -> bool:
        """See the port."""
        with self._db.transaction() as db:
            gone = db.execute("DELETE FROM quarantine WHERE job=? AND scope=?", (job, scope))
            if gone.rowcount:
                sessions.change(db)
            return gone.rowcount > 0

    def quarantines(self) -> list[Quarantine]:
        """See the port."""
        found = self._db.read("SELECT * FROM quarantine ORDER BY job, scope")
        return [rows.quarantine_of(row) for row in found]

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
