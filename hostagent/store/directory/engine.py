"""A shared directory behind the port: calls that write go through the log, reads to the replica.

A call that would change nothing is answered by the replica as it stands, and leaves no record: a
refusal is true at the time of reading.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hostagent.model import Alarm, Run
from hostagent.store.directory import calls
from hostagent.store.directory.clock import Clock
from hostagent.store.directory.history import History
from hostagent.store.directory.members import Members
from hostagent.store.directory.place import Place
from hostagent.store.port import (
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
from hostagent.store.sql import schema

WIDER = 2
"""The version from which on the log may say what a person gives up or backfills, and alarms."""


class DirectoryStore:
    """See ``port.Store``. One thread at a time.

    ``read_only`` writes nothing at all, not even a file to ask for the time: ``now`` is then this
    host's clock. Without ``may_make`` an empty directory is no store: it may be a mount point.

    Raises:
        StoreUnavailable: the directory is not there, or it is empty.
        StoreError: it cannot be trusted, or its file system cannot carry a store.
    """

    is_shared = True

    def __init__(self, root: Path, *, read_only: bool = False, may_make: bool = True) -> None:
        self._place, self._clock = Place(root), Clock()
        self._read_only = read_only
        if read_only or not may_make:
            self._place.require()
        if not read_only:
            self._place.set_up()
        by = os.uname().nodename
        self._history = History(self._place, self._clock, by, read_only=read_only)
        self._members = Members(self._place, self._clock, self._history)

    def close(self) -> None:
        """See the port."""
        self._history.close()

    def now(self) -> datetime:
        """The file server's clock."""
        return datetime.now(UTC) if self._read_only else self._clock.at(self._place.now())

    def schema(self) -> int:
        """The version in which the log is said.

        Raises:
            StoreError: it is newer than ours.
        """
        return self._history.read(lambda replica: replica.format)

    def migrate(self) -> None:
        """Say the log in our version from now on, if it is not. Who knows less reads no further.

        Raises:
            StoreError: an agent at work knows less.
        """
        before = self.schema()
        if before == schema.VERSION:
            return
        schema.refuse_leaving(self._place.root, self.sessions(), schema.VERSION)
        event = AuditEvent(
            self.now(),
            os.getuid(),
            os.uname().nodename,
            "store migrate",
            "",
            f"the shared directory went from schema {before} to {schema.VERSION}",
        )
        self._history.write(calls.LogEvent(event), number=schema.VERSION)

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
        others = None if isinstance(remove_others, bool) else tuple(sorted(set(remove_others)))
        return self._history.write(
            calls.Register(
                tuple(jobs), tuple(closing), at, remove_others is not False, others, host
            )
        )

    def specs(self, job: str | None = None) -> list[SpecRecord]:
        """See the port."""
        return self._history.read(lambda replica: replica.specs(job))

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
        return self._members.open(host, boot_id, resume, ttl, profile or Profile())

    def beat(
        self, session: Session, *, ttl: timedelta | None = None, profile: Profile | None = None
    ) -> Renewed | Over:
        """See the port."""
        return self._members.beat(session, ttl, profile)

    def sessions(self) -> list[Presence]:
        """See the port."""
        return self._members.all(self.now)

    def revoke(self, session_id: str, beat: int) -> bool:
        """See the port."""
        return self._members.revoke(session_id, beat, self.now)

    def held(self, session_id: str) -> list[Run]:
        """See the port."""
        return self._history.read(lambda replica: replica.held(session_id))

    def close_session(self, session: Session) -> None:
        """See the port."""
        self._history.write(calls.CloseSession(session))

    # Claims

    def claim(
        self, session: Session, wants: Sequence[Want], clock: datetime | None = None
    ) -> list[Claimed | Refused]:
        """See the port."""
        if any(want.by_hand for want in wants):
            self._need_wider()

        def refused(at: datetime) -> list[Claimed | Refused] | None:
            may = self._members.may_claim(session, at)
            return None if may else [Refused(Refusal.SESSION) for _ in wants]

        return self._history.write(calls.Claim(session, tuple(wants), clock), refused)

    def attach(self, job: str, scope: str, token: int, invocation_id: str, at: datetime) -> bool:
        """See the port."""
        return self._history.write(calls.Attach(job, scope, token, invocation_id, at))

    def finish(self, finishes: Sequence[Finish]) -> list[Accepted | Stale]:
        """See the port."""
        return self._history.write(calls.FinishAll(tuple(finishes)))

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """See the port."""
        return self._history.write(calls.Settle(tuple(settlements)))

    def give_up(self, job: str, scope: str, token: int, why: str) -> bool:
        """See the port."""
        self._need_wider()
        return self._history.write(calls.GiveUp(job, scope, token, why))

    def cursors(self, names: Collection[tuple[str, str]] | None = None) -> list[Cursor]:
        """See the port."""
        return self._history.read(lambda replica: replica.cursors(names))

    # The ledger

    def runs(self, where: RunFilter) -> list[Run]:
        """See the port."""
        return self._history.read(lambda replica: replica.runs(where))

    def run(self, run_id: str) -> list[Run]:
        """See the port."""
        return self._history.read(lambda replica: replica.run(run_id))

    def tally(self, host: str, since: datetime) -> list[Tally]:
        """See the port."""
        return self._history.read(lambda replica: replica.tally(host, since))

    def prune(self, before: datetime) -> int:
        """See the port."""
        return self._history.write(calls.Prune(before))

    def retained_since(self) -> datetime | None:
        """See the port."""
        return self._history.read(lambda replica: replica.retained_since())

    # What hosts keep themselves

    def record(
        self,
        host: str,
        specs: Sequence[SpecRecord] | None,
        runs: Sequence[Run],
        marks: Sequence[Mark],
    ) -> None:
        """See the port."""
        told = None if specs is None else tuple(specs)
        self._history.write(calls.RecordOwn(host, told, tuple(runs), tuple(marks)))

    # What people ordered

    def pause(self, pause: Pause) -> None:
        """See the port."""
        self._history.write(calls.SetPause(pause))

    def resume(self, target: PauseTarget, name: str) -> bool:
        """See the port."""
        return self._history.write(calls.Resume(target, name))

    def pauses(self) -> list[Pause]:
        """See the port."""
        return self._history.read(lambda replica: replica.pauses())

    def backfill(self, order: Backfill) -> None:
        """See the port."""
        self._need_wider()
        self._history.write(calls.SetBackfill(order))

    def end_backfill(self, job: str, scope: str) -> bool:
        """See the port."""
        self._need_wider()
        return self._history.write(calls.EndBackfill(job, scope))

    def backfills(self) -> list[Backfill]:
        """See the port."""
        return self._history.read(lambda replica: replica.backfills())

    # What keeps crashing

    def quarantine(self, quarantine: Quarantine) -> None:
        """See the port."""
        self._history.write(calls.SetQuarantine(quarantine))

    def reinstate(self, job: str, scope: str) -> bool:
        """See the port."""
        return self._history.write(calls.Reinstate(job, scope))

    def quarantines(self) -> list[Quarantine]:
        """See the port."""
        return self._history.read(lambda replica: replica.quarantines())

    # What people are told of

    def alarms(self) -> list[Alarm]:
        """See the port."""
        return self._history.read(lambda replica: replica.alarms())

    def change_alarm(self, before: Alarm | None, after: Alarm | None) -> bool:
        """See the port."""
        self._need_wider()
        return self._history.write(calls.ChangeAlarm(before, after))

    def _need_wider(self) -> None:
        """Agents of an earlier version could not read the log any more."""
        if (found := self.schema()) < WIDER:
            schema.refuse_older(self._place.root, found, "run: hostagent store migrate")

    # What was decided and done

    def note(self, decisions: Iterable[Decision]) -> None:
        """See the port."""
        self._history.write(calls.Note(tuple(decisions)))

    def decisions(self, job: str, scope: str | None = None) -> list[Decision]:
        """See the port."""
        return self._history.read(lambda replica: replica.decisions(job, scope))

    def log(self, event: AuditEvent) -> None:
        """See the port."""
        self._history.write(calls.LogEvent(event))

    def audit_log(self, since: datetime | None = None) -> list[AuditEvent]:
        """See the port."""
        return self._history.read(lambda replica: replica.audit_log(since))
