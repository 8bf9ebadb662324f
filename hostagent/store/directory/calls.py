"""The calls of the port that write, as data: what a record of the log says.

Each is a frozen value that ``on`` makes of any store. They hold all that their result depends
on, but for the state and the time, which the log gives.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar, Protocol, TypeVar

from hostagent.model import Alarm, Run
from hostagent.store.port import (
    Accepted,
    AuditEvent,
    Backfill,
    Claimed,
    Decision,
    Finish,
    Mark,
    Over,
    Pause,
    PauseTarget,
    Profile,
    Quarantine,
    Refused,
    Registration,
    Renewed,
    Session,
    Settlement,
    SpecRecord,
    Stale,
    Store,
    Want,
)

ID = re.compile(r"[0-9a-f]{32}")
"""Of a session."""

R_co = TypeVar("R_co", covariant=True)


class Call(Protocol[R_co]):
    """One call. ``name`` is its field in ``Record``."""

    name: ClassVar[str]

    def on(self, store: Store) -> R_co:
        """Make it."""


@dataclass(frozen=True, slots=True)
class Register:
    """``remove_others`` is ``others`` where that is given."""

    name: ClassVar[str] = "register"
    jobs: tuple[Registration, ...]
    closing: tuple[Settlement, ...]
    at: datetime
    remove_others: bool = True
    others: tuple[str, ...] | None = None
    host: str = ""

    def on(self, store: Store) -> list[str]:
        """Make it."""
        others = self.remove_others if self.others is None else self.others
        return store.register(
            self.jobs, self.closing, self.at, remove_others=others, host=self.host
        )


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A new one. Its id is made up by who asks; how long it lasts is told by its beats alone."""

    name: ClassVar[str] = "open_session"
    id: str
    host: str
    boot_id: str
    profile: Profile

    def __post_init__(self) -> None:
        """An id is a directory's name, too."""
        if not ID.fullmatch(self.id):
            raise ValueError(self.id)

    def on(self, store: Store) -> Session:
        """Make it."""
        return store.open_session(self.host, self.boot_id, profile=self.profile)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a session tells of itself has changed."""

    name: ClassVar[str] = "beat"
    session: Session
    profile: Profile

    def on(self, store: Store) -> Renewed | Over:
        """Make it."""
        return store.beat(self.session, profile=self.profile)


@dataclass(frozen=True, slots=True)
class CloseSession:
    """By its owner, or by who revoked it."""

    name: ClassVar[str] = "close_session"
    session: Session

    def on(self, store: Store) -> None:
        """Make it."""
        store.close_session(self.session)


@dataclass(frozen=True, slots=True)
class Claim:
    """``clock`` is the host's."""

    name: ClassVar[str] = "claim"
    session: Session
    wants: tuple[Want, ...]
    clock: datetime | None = None

    def on(self, store: Store) -> list[Claimed | Refused]:
        """Make it."""
        return store.claim(self.session, self.wants, self.clock)


@dataclass(frozen=True, slots=True)
class Attach:
    """See the port."""

    name: ClassVar[str] = "attach"
    job: str
    scope: str
    token: int
    invocation_id: str
    at: datetime

    def on(self, store: Store) -> bool:
        """Make it."""
        return store.attach(self.job, self.scope, self.token, self.invocation_id, self.at)


@dataclass(frozen=True, slots=True)
class FinishAll:
    """See the port."""

    name: ClassVar[str] = "finish"
    finishes: tuple[Finish, ...]

    def on(self, store: Store) -> list[Accepted | Stale]:
        """Make it."""
        return store.finish(self.finishes)


@dataclass(frozen=True, slots=True)
class Settle:
    """See the port."""

    name: ClassVar[str] = "settle"
    settlements: tuple[Settlement, ...]

    def on(self, store: Store) -> list[Accepted | Refused]:
        """Make it."""
        return store.settle(self.settlements)


@dataclass(frozen=True, slots=True)
class GiveUp:
    """See the port."""

    name: ClassVar[str] = "give_up"
    job: str
    scope: str
    token: int
    why: str

    def on(self, store: Store) -> bool:
        """Make it."""
        return store.give_up(self.job, self.scope, self.token, self.why)


@dataclass(frozen=True, slots=True)
class Prune:
    """See the port."""

    name: ClassVar[str] = "prune"
    before: datetime

    def on(self, store: Store) -> int:
        """Make it."""
        return store.prune(self.before)


@dataclass(frozen=True, slots=True)
class RecordOwn:
    """What a host keeps itself. No ``specs``: they stand."""

    name: ClassVar[str] = "record"
    host: str
    specs: tuple[SpecRecord, ...] | None
    runs: tuple[Run, ...]
    marks: tuple[Mark, ...]

    def on(self, store: Store) -> None:
        """Make it."""
        store.record(self.host, self.specs, self.runs, self.marks)


@dataclass(frozen=True, slots=True)
class SetPause:
    """See the port."""

    name: ClassVar[str] = "pause"
    pause: Pause

    def on(self, store: Store) -> None:
        """Make it."""
        store.pause(self.pause)


@dataclass(frozen=True, slots=True)
class Resume:
    """Of a pause."""

    name: ClassVar[str] = "resume"
    target: PauseTarget
    of: str

    def on(self, store: Store) -> bool:
        """Make it."""
        return store.resume(self.target, self.of)


@dataclass(frozen=True, slots=True)
class SetBackfill:
    """See the port."""

    name: ClassVar[str] = "backfill"
    order: Backfill

    def on(self, store: Store) -> None:
        """Make it."""
        store.backfill(self.order)


@dataclass(frozen=True, slots=True)
class EndBackfill:
    """See the port."""

    name: ClassVar[str] = "end_backfill"
    job: str
    scope: str

    def on(self, store: Store) -> bool:
        """Make it."""
        return store.end_backfill(self.job, self.scope)


@dataclass(frozen=True, slots=True)
class SetQuarantine:
    """See the port."""

    name: ClassVar[str] = "quarantine"
    quarantine: Quarantine

    def on(self, store: Store) -> None:
        """Make it."""
        store.quarantine(self.quarantine)


@dataclass(frozen=True, slots=True)
class Reinstate:
    """See the port."""

    name: ClassVar[str] = "reinstate"
    job: str
    scope: str

    def on(self, store: Store) -> bool:
        """Make it."""
        return store.reinstate(self.job, self.scope)


@dataclass(frozen=True, slots=True)
class ChangeAlarm:
    """See the port."""

    name: ClassVar[str] = "alarm"
    before: Alarm | None
    after: Alarm | None

    def on(self, store: Store) -> bool:
        """Make it."""
        return store.change_alarm(self.before, self.after)


@dataclass(frozen=True, slots=True)
class Note:
    """See the port."""

    name: ClassVar[str] = "note"
    decisions: tuple[Decision, ...]

    def on(self, store: Store) -> None:
        """Make it."""
        store.note(self.decisions)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """See the port."""

    name: ClassVar[str] = "log"
    event: AuditEvent

    def on(self, store: Store) -> None:
        """Make it."""
        store.log(self.event)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log: exactly one call is set, in the field of its name.

    ``after`` is the nonce of record ``seq`` - 1: a record stands in one history only. ``at`` is
    the file server's clock, at which the call is decided by all who replay it. ``by`` is the
    writer's host, for people who look.
    """

    seq: int
    after: str
    nonce: str
    at: datetime
    by: str
    register: Register | None = None
    open_session: OpenSession | None = None
    beat: Beat | None = None
    close_session: CloseSession | None = None
    claim: Claim | None = None
    attach: Attach | None = None
    finish: FinishAll | None = None
    settle: Settle | None = None
    give_up: GiveUp | None = None
    prune: Prune | None = None
    record: RecordOwn | None = None
    pause: SetPause | None = None
    resume: Resume | None = None
    backfill: SetBackfill | None = None
    end_backfill: EndBackfill | None = None
    quarantine: SetQuarantine | None = None
    reinstate: Reinstate | None = None
    note: Note | None = None
    log: LogEvent | None = None
    alarm: ChangeAlarm | None = None

    @property
    def calls(self) -> Sequence[Call[object]]:
        """What is set: of a sound record exactly one."""
        values = (getattr(self, field.name) for field in fields(self)[5:])
        return [value for value in values if value is not None]


def record(seq: int, after: str, nonce: str, at: datetime, by: str, call: Call[object]) -> Record:
    """The record of a call."""
    return Record(seq, after, nonce, at, by, **{call.name: call})  # type: ignore[arg-type]
