"""The port on a SQL database. Each method is one transaction or one SELECT."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

from hostagent.model import Alarm, Run
from hostagent.store.port import (
    MAX_SKEW,
    Accepted,
    AuditEvent,
    Backfill,
    Claimed,
    Cursor,
    Decision,
    Finish,
    Mark,
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
    Tally,
    Want,
)
from hostagent.store.sql import claims, copies, ledger, orders, registry, rows, sessions
from hostagent.store.sql.database import Database, Transaction
from hostagent.store.sql.rows import instant, micros


class SqlStore:
    """See ``port.Store``. One thread at a time."""

    is_shared: bool

    def __init__(self, db: Database) -> None:
        self._db = db
        self._new_id: Callable[[], str] = lambda: uuid.uuid4().hex

    @property
    def database(self) -> Database:
        """What is below the port, for what is about the store itself."""
        return self._db

    def close(self) -> None:
        """See the port."""
        self._db.close()

    def now(self) -> datetime:
        """See the port."""
        return self._db.now()

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

        def work(db: Transaction) -> list[str]:
            changed = registry.register(
                db, jobs, closing, at, remove_others=remove_others, host=host
            )
            if changed:
                sessions.change(db)
            return changed

        return self._db.change(work)

    def specs(self, job: str | None = None) -> list[SpecRecord]:
        """See the port."""
        if job is None:
            found = self._db.read("SELECT * FROM job_spec")
        else:
            found = self._db.read("SELECT * FROM job_spec WHERE job=?", job)
        return sorted(map(rows.spec_of, found), key=lambda spec: (spec.job, spec.seq))

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
        return self._db.change(
            lambda db: sessions.open_session(db, asked, self._new_id(), ttl, profile)
        )

    def beat(
        self, session: Session, *, ttl: timedelta | None = None, profile: Profile | None = None
    ) -> Renewed | Over:
        """See the port."""
        return self._db.change(lambda db: sessions.beat(db, session, ttl, profile))

    def sessions(self) -> list[Presence]:
        """See the port."""
        found, now = self._db.read(sessions.PRESENT), self._db.now()
        present = [sessions.presence_of(row, now) for row in found]
        return sorted(present, key=lambda one: (one.session.host, one.session.id))

    def revoke(self, session_id: str, beat: int) -> bool:
        """See the port."""
        return self._db.change(lambda db: sessions.revoke(db, session_id, beat))

    def held(self, session_id: str) -> list[Run]:
        """See the port."""
        return ledger.held(self._db.read, session_id)

    def close_session(self, session: Session) -> None:
        """See the port."""
        self._db.change(lambda db: sessions.close_session(db, session))

    # Claims

    def claim(
        self, session: Session, wants: Sequence[Want], clock: datetime | None = None
    ) -> list[Claimed | Refused]:
        """See the port."""

        def work(db: Transaction) -> list[Claimed | Refused]:
            claims.lock(db, {(want.job, want.scope) for want in wants})
            now = db.now()
            if not sessions.may_claim(db, session, now):
                return [Refused(Refusal.SESSION) for _ in wants]
            if clock is not None and abs(now - clock) > MAX_SKEW:
                return [Refused(Refusal.SKEW) for _ in wants]
            return [claims.claim(db, session, want, now) for want in wants]

        return self._db.change(work)

    def attach(self, job: str, scope: str, token: int, invocation_id: str, at: datetime) -> bool:
        """See the port."""
        return self._db.change(lambda db: claims.attach(db, (job, scope, token), invocation_id, at))

    def finish(self, finishes: Sequence[Finish]) -> list[Accepted | Stale]:
        """See the port."""

        def work(db: Transaction) -> list[Accepted | Stale]:
            claims.lock(db, {(finish.job, finish.scope) for finish in finishes})
            now = db.now()
            answers = [claims.finish(db, finish, now) for finish in finishes]
            taken = zip(answers, finishes, strict=True)
            if any(finish.retry_at and answer == Accepted() for answer, finish in taken):
                sessions.change(db)
            return answers

        return self._db.change(work)

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """See the port."""

        def work(db: Transaction) -> list[Accepted | Refused]:
            claims.lock(db, {(one.job, one.scope) for one in settlements})
            return [claims.settle(db, one) for one in settlements]

        return self._db.change(work)

    def give_up(self, job: str, scope: str, token: int, why: str) -> bool:
        """See the port."""

        def work(db: Transaction) -> bool:
            claims.lock(db, [(job, scope)])
            is_given_up = claims.give_up(db, job, scope, why, token)
            if is_given_up:
                sessions.change(db)
            return is_given_up

        return self._db.change(work)

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

    def tally(self, host: str, since: datetime) -> list[Tally]:
        """See the port."""
        return ledger.tally(self._db.read, host, since)

    def prune(self, before: datetime) -> int:
        """See the port."""
        return self._db.change(lambda db: ledger.prune(db, micros(before) or 0), is_long=True)

    def retained_since(self) -> datetime | None:
        """See the port."""
        found = self._db.read("SELECT v FROM meta WHERE k='retained_since'")
        return instant(int(found[0]["v"])) if found else None

    # What hosts keep themselves

    def record(
        self,
        host: str,
        specs: Sequence[SpecRecord] | None,
        runs: Sequence[Run],
        marks: Sequence[Mark],
    ) -> None:
        """See the port."""
        self._db.change(lambda db: copies.record(db, host, specs, runs, marks), is_long=True)

    # What people ordered

    def pause(self, pause: Pause) -> None:
        """See the port."""
        self._db.change(lambda db: orders.pause(db, pause))

    def resume(self, target: PauseTarget, name: str) -> bool:
        """See the port."""
        return self._db.change(lambda db: orders.resume(db, target, name))

    def pauses(self) -> list[Pause]:
        """See the port."""
        return [rows.pause_of(row) for row in self._db.read("SELECT * FROM pause")]

    def backfill(self, order: Backfill) -> None:
        """See the port."""
        self._db.change(lambda db: orders.backfill(db, order))

    def end_backfill(self, job: str, scope: str) -> bool:
        """See the port."""
        return self._db.change(lambda db: orders.end_backfill(db, job, scope))

    def backfills(self) -> list[Backfill]:
        """See the port."""
        found = map(rows.backfill_of, self._db.read("SELECT * FROM backfill"))
        return sorted(found, key=lambda one: (one.job, one.scope))

    # What keeps crashing

    def quarantine(self, quarantine: Quarantine) -> None:
        """See the port."""
        self._db.change(lambda db: orders.quarantine(db, quarantine))

    def reinstate(self, job: str, scope: str) -> bool:
        """See the port."""
        return self._db.change(lambda db: orders.reinstate(db, job, scope))

    def quarantines(self) -> list[Quarantine]:
        """See the port."""
        found = map(rows.quarantine_of, self._db.read("SELECT * FROM quarantine"))
        return sorted(found, key=lambda one: (one.job, one.scope))

    # What people are told of

    def alarms(self) -> list[Alarm]:
        """See the port."""
        found = map(rows.alarm_of, self._db.read("SELECT * FROM alarm"))
        return sorted(found, key=lambda one: (one.job, one.scope))

    def change_alarm(self, before: Alarm | None, after: Alarm | None) -> bool:
        """See the port."""
        return self._db.change(lambda db: orders.change_alarm(db, before, after))

    # What was decided and done

    def note(self, decisions: Iterable[Decision]) -> None:
        """See the port."""
        kept = list(decisions)
        self._db.change(lambda db: orders.note(db, kept))

    def decisions(self, job: str, scope: str | None = None) -> list[Decision]:
        """See the port."""
        found = self._db.read("SELECT * FROM decision WHERE job=? ORDER BY at DESC, seq DESC", job)
        return [rows.decision_of(row) for row in found if scope in {None, row["scope"]}]

    def log(self, event: AuditEvent) -> None:
        """See the port."""
        self._db.change(lambda db: orders.log(db, event))

    def audit_log(self, since: datetime | None = None) -> list[AuditEvent]:
        """See the port."""
        first = -(2**62) if since is None else micros(since)
        found = self._db.read("SELECT * FROM audit_log WHERE at>=? ORDER BY at, seq", first)
        return [rows.event_of(row) for row in found]
