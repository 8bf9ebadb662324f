"""The port of the store: who may run what (sessions, claims) and what came of it (the ledger).

The contract that every engine keeps, checked by one conformance suite
(``tests/contract/store``). An engine decides nothing about schedules or policies: it compares,
counts and writes. All methods are synchronous and are called from one thread at a time.

**Words.** A *cursor* per (job, scope) holds ``high_water`` (the latest ``scheduled_for`` that was
ever claimed or settled; it never goes back and alone forbids re-entry), ``token`` (grows with
every claim, whatever its kind) and the active claim, if there is one. The *ledger* holds a
``Run`` for each attempt and for each record that an occurrence got none.

**Leases.** A claim is valid while its session is. A session of a store with one host (``ttl``
None) never expires: it is over when the host boots anew. In a shared store each session has a
deadline by the store's clock, which ``beat`` moves. A deadline that has passed ends nothing by
itself: another agent that has also seen the beat unchanged for a whole TTL on its own clock
revokes the session, and then ends its claims by their tokens.

**Atomicity.** Every method is one transaction: after a crash at any instruction all of it holds
or none of it, and what was returned is durable. Batches are all in one transaction, but each
member succeeds or is refused by itself.

**Errors.** ``StoreUnavailable`` when the store cannot be reached in time: the caller must then
settle by reading what happened. ``StoreConflict`` when an apply was decided on what is no longer
so (``register``): read again, and repeat. ``StoreError`` for what is wrong with the store itself
(a schema of another version, a file of another program, a file system that cannot carry it) and
for a write to a store that was opened to read only. A "no" is a return value, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from hostagent.codec import content_json, from_json
from hostagent.errors import StoreError
from hostagent.model import Alarm, End, Job, Kind, Manifest, Only, Outcome, Run, RunOn, Schedule


@dataclass(frozen=True, slots=True)
class Session:
    """One agent process's presence in the store, and through a restart its successor's.

    ``boot_id`` is the kernel's; a session of another boot of the same host is over.
    """

    id: str
    host: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What an agent tells the others of itself: for ranking, and for ``status --cluster``.

    ``spec`` is the digest of what is deployed on its host, ``labels`` are the host's, ``schema`` is
    the newest store that it knows (``sql.schema.VERSION``).
    """

    version: str = ""
    spec: str = ""
    labels: tuple[str, ...] = ()
    draining: bool = False
    schema: int = 0


@dataclass(frozen=True, slots=True)
class Presence:
    """A session as the others see it. ``beat`` grows with each renewal; ``ttl`` is its own.

    ``is_live``: neither closed nor revoked. ``has_expired``: its deadline has passed by the
    store's clock. ``claims``: how many active claims hang on it.
    """

    session: Session
    profile: Profile
    beat: int
    ttl: timedelta | None
    is_live: bool
    has_expired: bool
    claims: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """The session goes on. ``now`` is the store's clock.

    ``generation`` grows with each change that other agents should read: schedules, pauses,
    quarantines, sessions that came or went, a retry that waits.
    """

    now: datetime
    generation: int


@dataclass(frozen=True, slots=True)
class Over:
    """The session was closed or revoked: its claims are, or will be, somebody else's."""


@dataclass(frozen=True, slots=True)
class SpecRecord:
    """What was due is history too: one schedule of a job and the time for which it held.

    ``schedule`` is the JSON of ``model.Schedule``, opaque to the store; ``scopes`` are those
    whose occurrences it answers for. ``valid_to`` None: in force. ``host`` is set for a job that
    runs on each host: the schedule is then that host's alone.
    """

    job: str
    seq: int
    hash: str
    schedule: str
    scopes: tuple[str, ...]
    valid_from: datetime
    valid_to: datetime | None = None
    host: str = ""


def schedule_of(record: SpecRecord) -> Schedule:
    """The schedule that a record holds.

    Raises:
        StoreError: it says what only a newer hostagent knows.
    """
    try:
        return from_json(Schedule, json.loads(record.schedule))
    except ValueError as error:
        raise StoreError(
            f"the schedule of {record.job} was applied by a newer hostagent ({error})",
            "upgrade hostagent on this host",
        ) from error


@dataclass(frozen=True, slots=True)
class Registration:
    """A job as ``apply`` deploys it. ``renamed_from`` carries over what the store knows of a job.

    Rows, schedules, tokens, marks, decisions, a pause and a pending retry stand under the new
    name from then on, and run ids of the old name still find their run. A run that goes on keeps
    the old name, by which PID 1 knows its unit, until it is finished, and until then stands in
    the way of a claim of the new one. It is done once: a job that is registered under its new name
    already is left alone.

    ``host`` empty: the job is the cluster's, and this registration replaces those of single hosts.
    Else it is that host's alone (``run_on = "each"``) and stands beside those of other hosts, but
    replaces the cluster's.
    """

    job: str
    hash: str
    schedule: str
    scopes: tuple[str, ...]
    renamed_from: str | None = None
    host: str = ""

    @classmethod
    def of(cls, job: Job, host: str) -> Registration:
        """As the host of this name registers ``job``."""
        return cls(
            job.name,
            job.schedule.hash,
            content_json(job.schedule),
            job.scopes(host),
            job.renamed_from,
            host if job.run_on is RunOn.EACH else "",
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    """Occurrences that end without an attempt: ``count`` of them from ``first`` to ``last``.

    Written as one ledger row. ``at`` is when it was decided (the agent's clock).
    """

    job: str
    scope: str
    spec_hash: str
    first: datetime
    last: datetime
    count: int
    outcome: Outcome
    reason: str
    host: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Want:
    """A claim that is asked for.

    ``attempt`` 1 opens a run; n + 1 follows attempt n of the same run. ``covers_from`` and
    ``covers`` say which missed occurrences a scheduled run stands for besides its own.
    ``invocation_id`` is given when PID 1 is already starting the unit, else the claim is
    *prepared* and ``attach`` gives it later. ``at`` is the agent's clock. ``by_hand``: a person
    asks for attempt n + 1, whether or not one was to follow.
    """

    job: str
    scope: str
    spec_hash: str
    kind: Kind
    scheduled_for: datetime
    reason: str
    at: datetime
    attempt: int = 1
    covers_from: datetime | None = None
    covers: int = 1
    invocation_id: str | None = None
    by_hand: bool = False


def registered(manifest: Manifest) -> list[Job]:
    """The jobs that the manifest's host registers: the cluster's, and those that run on it."""
    deployed = {unit.job for unit in manifest.units}
    return [job for job in manifest.jobs if job.run_on is RunOn.ONE or job.name in deployed]


def registrations(manifest: Manifest) -> list[Registration]:
    """What the manifest's host registers."""
    return [Registration.of(job, manifest.host) for job in registered(manifest)]


class Refusal(StrEnum):
    """Why a claim or a settlement was refused."""

    UNKNOWN = "unknown"  # no such (job, scope) is registered
    SPEC = "spec"  # the schedule's hash is not the registered one
    ACTIVE = "active"  # another claim of this (job, scope) is active
    PASSED = "passed"  # not all that it stands for is above high_water: some has its outcome
    EARLY = "early"  # scheduled_for lies in the store's future
    SESSION = "session"  # the session is closed, revoked, expired, or of another boot
    SKEW = "skew"  # the host's clock and the store's differ by more than MAX_SKEW
    ATTEMPT = "attempt"  # this attempt does not follow the last one of that run


@dataclass(frozen=True, slots=True)
class Claimed:
    """The claim is ours; ``run`` is its ledger row, with its token."""

    run: Run


@dataclass(frozen=True, slots=True)
class Refused:
    """The claim was not given. ``holder`` is the active run, where that is the cause."""

    refusal: Refusal
    holder: Run | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """A final write: the attempt that holds ``token`` ended so.

    ``retry_at`` set: the run goes on, and attempt n + 1 may be claimed from then on.
    """

    job: str
    scope: str
    token: int
    end: End
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The write was taken (or had been taken before: a repeated write of one end is accepted).

    It is one end when outcome, reason, exit code and signal are the same.
    """


@dataclass(frozen=True, slots=True)
class Stale:
    """Another claim has this token's place, or its run ended otherwise. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a (job, scope) stands.

    ``active`` is the run that holds its claim; ``retry`` is the attempt that is to be followed by
    the next one from ``retry_at`` on.
    """

    job: str
    scope: str
    spec_hash: str
    high_water: datetime
    token: int
    active: Run | None = None
    retry_at: datetime | None = None
    retry: Run | None = None


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A (job, scope) that was taken out because it kept crashing, until a person reinstates it.

    ``attempts`` are how its last attempts ended, newest first, one sentence each; ``evidence`` is
    the end of its journal, and ``report`` its last report.
    """

    job: str
    scope: str
    since: datetime
    host: str
    reason: str
    attempts: tuple[str, ...] = ()
    evidence: str = ""
    report: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a host's own ledger was copied for one of its (job, scope); see ``Store.record``."""

    job: str
    scope: str
    spec_hash: str
    high_water: datetime
    token: int


class PauseTarget(StrEnum):
    """What a pause applies to."""

    JOB = "job"
    LANE = "lane"
    HOST = "host"
    CLUSTER = "cluster"
    BACKLOG = "backlog"


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's order that nothing scheduled starts. ``until`` None: until resumed.

    ``name`` is the job, the lane or the host; empty for the cluster. One of the backlog is that of
    a host, in its own ledger: what was missed of the job (empty: of all) stays owed meanwhile.
    """

    target: PauseTarget
    name: str
    reason: str
    by: str
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Backfill:
    """A person's order that what a schedule names from ``first`` to ``last`` is run now.

    Each (job, scope) has one. What of it is done, the runs of kind ``backfill`` say that were
    claimed since ``since``; the store decides nothing about it.
    """

    job: str
    scope: str
    first: datetime
    last: datetime
    only: Only
    by: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict that left no run behind (held, turned away), with its sentence, for ``why``."""

    job: str
    scope: str
    at: datetime
    verdict: str
    reason: str
    scheduled_for: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Who changed what: append-only. ``uid`` is the caller's; ``detail`` is one sentence."""

    at: datetime
    uid: int
    host: str
    action: str
    target: str
    detail: str


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which ledger rows to read; None or empty: any. Newest first, ``limit`` at most.

    ``token_above``: of a greater token. ``covering``: that stand for this instant. ``ended_since``:
    that ended then or later, or have not ended. ``reason``: with this text in one of their two
    reasons, in whatever ASCII case. ``oldest_first``: in the opposite order. ``jobs``: of one of
    these. ``attempts_only``: not what was settled without one.
    """

    job: str | None = None
    scope: str | None = None
    kind: Kind | None = None
    outcomes: tuple[Outcome, ...] = ()
    open_only: bool = False
    host: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None
    token_above: int | None = None
    covering: datetime | None = None
    ended_since: datetime | None = None
    reason: str | None = None
    oldest_first: bool = False
    jobs: frozenset[str] = frozenset()
    attempts_only: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows ended so, how many of them were attempts that started, and what these took."""

    job: str
    scope: str
    outcome: Outcome
    count: int
    started: int
    took: timedelta


class Store(Protocol):
    """One engine. ``since`` and ``until`` of reads bound ``scheduled_for``, both inclusive.

    ``is_shared``: agents of several hosts use it, so claims are leased and hosts fenced.
    """

    is_shared: bool

    def close(self) -> None:
        """Give back connections and files. Idempotent."""

    def now(self) -> datetime:
        """The store's clock, which decides what is due."""

    # What is due: specs
    def register(
        self,
        jobs: Sequence[Registration],
        closing: Sequence[Settlement],
        at: datetime,
        *,
        remove_others: bool | Collection[str] = True,
        host: str = "",
    ) -> list[str]:
        """Make ``jobs`` the registered ones; return the names of those that changed.

        A job whose hash and scopes, in any order, stand already is left alone, to the byte. For a
        new hash: the old ``SpecRecord`` is closed at ``at``, the new one opened, and every
        cursor's ``high_water`` raised to at least ``at`` (so that nothing in the past becomes due:
        promise 5). ``closing`` are the settlements of what the old schedules still owed; those of
        a schedule that is no longer registered are left out. Jobs that are not named (the
        cluster's and those of ``host``) are closed, and their cursors removed once no claim is
        active, if ``remove_others``: True for all, or the names of those; a job or a scope that
        comes back goes on with its token and its mark, raised to at least ``at``. Where a
        schedule or a job ends, its pending retry does, and the ledger says so. Idempotent.

        Compare-and-set: what a caller computed from ``specs`` and ``cursors`` is written only if
        nothing was claimed in between. Records of one job never overlap: where one of them, or a
        mark above ``now``, lies above ``at`` (a clock was set back), it stands for ``at``.

        Raises:
            StoreConflict: a cursor of a job that changes has a mark above ``at`` and not above
                ``now``, or a settlement in ``closing`` does not lie above its cursor's mark.
                Nothing was written.
        """

    def specs(self, job: str | None = None) -> list[SpecRecord]:
        """All records, by job and seq, past ones included."""

    # Who is here: sessions
    def open_session(
        self,
        host: str,
        boot_id: str,
        resume: str | None = None,
        *,
        ttl: timedelta | None = None,
        profile: Profile | None = None,
    ) -> Session:
        """Open a session; with ``resume``, go on with that one if it is of this boot and open.

        A host has one session: the one before it is over. ``ttl`` None: it never expires. To go
        on with a session renews it, with this ``ttl`` and ``profile`` (None: an empty one).
        """

    def beat(
        self, session: Session, *, ttl: timedelta | None = None, profile: Profile | None = None
    ) -> Renewed | Over:
        """Renew: the deadline becomes the store's now + the TTL. Not idempotent, but harmless.

        ``ttl`` and ``profile`` change the session's own, from now on; None leaves them.
        """

    def sessions(self) -> list[Presence]:
        """Every session that is live or on which active claims hang, by host and id."""

    def revoke(self, session_id: str, beat: int) -> bool:
        """End another's session: True when it is over (now, or was before).

        False, and nothing is changed, when it has beaten since ``beat``, or has not expired by the
        store's clock. After a True no beat and no claim of it succeeds; its active claims stay
        active until they are finished by their tokens, by it or by others.
        """

    def held(self, session_id: str) -> list[Run]:
        """The runs whose active claims hang on this session, whatever its state."""

    def close_session(self, session: Session) -> None:
        """The session ends. Its active claims stay active until finished. Idempotent."""

    # Claims
    def claim(
        self, session: Session, wants: Sequence[Want], clock: datetime | None = None
    ) -> list[Claimed | Refused]:
        """Ask for claims, in order; one answer each.

        ``clock`` is the host's clock as it asks: all is refused with ``SKEW`` when that differs
        from the store's by more than ``MAX_SKEW``. None: it is not compared.

        A first attempt of a scheduled run needs ``scheduled_for <= now``, all that it stands for
        above ``high_water``, and no active claim, and moves ``high_water``; a retry that was
        pending is given up, and the ledger says so. Manual and backfill runs need no active claim
        only, and neither read nor move ``high_water``; where a run of their kind has their
        ``scheduled_for`` already, they get the next free microsecond. Attempt n + 1 needs the run's
        attempt n finished with a ``retry_at`` that has come (else ``EARLY``) and not given up; or,
        ``by_hand``, attempt n to be the run's last and to have ended without success. A pending
        retry of another run is not touched by that. Of
        several reasons to refuse, the first in the order SESSION, SKEW, UNKNOWN, SPEC, ACTIVE,
        EARLY, PASSED, ATTEMPT is told.
        """

    def attach(self, job: str, scope: str, token: int, invocation_id: str, at: datetime) -> bool:
        """The unit is starting as ``invocation_id``; False when ``token`` is not active.

        Replaces an earlier invocation of the same token: PID 1 had not run it. An empty
        ``invocation_id`` makes the claim a prepared one again.
        """

    def finish(self, finishes: Sequence[Finish]) -> list[Accepted | Stale]:
        """Final, token-checked writes; one answer each. ``ended_at`` None: the store's now.

        A (job, scope) has one pending retry: a later ``retry_at`` of another run replaces it.
        """

    def settle(self, settlements: Sequence[Settlement]) -> list[Accepted | Refused]:
        """Record occurrences that get no attempt and move ``high_water`` to ``last``.

        Refused with ``PASSED`` when ``first`` is not above ``high_water``; an active claim does
        not stand in the way.
        """

    def give_up(self, job: str, scope: str, token: int, why: str) -> bool:
        """The attempt with this token is not followed by another one, though its retry waits.

        It stays failed, and its row says ``why``. False, and nothing is written: no retry waits
        for it (any more).
        """

    def cursors(self, names: Collection[tuple[str, str]] | None = None) -> list[Cursor]:
        """Every cursor, or those of these (job, scope), by job and scope."""

    # The ledger
    def runs(self, where: RunFilter) -> list[Run]:
        """Ledger rows, newest ``scheduled_for`` (then token) first."""

    def run(self, run_id: str) -> list[Run]:
        """All attempts of one run, oldest first; empty when there is none."""

    def tally(self, host: str, since: datetime) -> list[Tally]:
        """The ended rows of a host, counted by job, scope and outcome, in this order."""

    def prune(self, before: datetime) -> int:
        """Drop ended ledger rows, decisions and closed specs from before.

        Returns how many ledger rows. A row is from before when its ``scheduled_for`` is, so what
        it covers reaches back further. Never drops an attempt of a run that is open or waits for
        its retry, nor a cursor: ``high_water`` guards against re-entry by itself.
        """

    def retained_since(self) -> datetime | None:
        """From when on the ledger is complete (the latest ``prune``), None: from its beginning."""

    # What hosts keep themselves
    def record(
        self,
        host: str,
        specs: Sequence[SpecRecord] | None,
        runs: Sequence[Run],
        marks: Sequence[Mark],
    ) -> None:
        """Take over, for others to see, what ``host`` keeps of its own jobs in its own ledger.

        ``specs`` (None: they stand) replace all records that are this host's, and are numbered
        anew; of a job that none of them names any more, as it was renamed or pruned, the ended
        rows of ``host`` in its own scopes go, too, and its cursors. ``runs``, of ``host`` and
        ended, replace ended rows of the same identity. ``marks`` make, or raise, the cursors: they
        never go back. What is the cluster's, or another host's, is left alone, and what is this
        host's is claimed by nobody here. Idempotent.
        """

    # What people ordered
    def pause(self, pause: Pause) -> None:
        """Set, or replace, the pause of one target."""

    def resume(self, target: PauseTarget, name: str) -> bool:
        """Lift a pause; False when there was none."""

    def pauses(self) -> list[Pause]:
        """All pauses, the lapsed ones too."""

    def backfill(self, order: Backfill) -> None:
        """Set, or replace, the backfill of a (job, scope). It goes with its cursor."""

    def end_backfill(self, job: str, scope: str) -> bool:
        """The backfill is done, or given up; False when there was none."""

    def backfills(self) -> list[Backfill]:
        """All backfills, by job and scope."""

    # What keeps crashing
    def quarantine(self, quarantine: Quarantine) -> None:
        """Take a (job, scope) out; replaces what was noted of it before. A retry is given up."""

    def reinstate(self, job: str, scope: str) -> bool:
        """Put a (job, scope) back; False when it was not out."""

    def quarantines(self) -> list[Quarantine]:
        """What is out, by job and scope."""

    # What people are told of
    def alarms(self) -> list[Alarm]:
        """All of them, by job and scope."""

    def change_alarm(self, before: Alarm | None, after: Alarm | None) -> bool:
        """Compare-and-set: the alarm of a (job, scope) that is ``before`` becomes ``after``.

        None: there is none. False, and nothing is changed, when it is not ``before``.

        Raises:
            StoreError: the store is of a version that has no alarms yet.
        """

    # What was decided and done
    def note(self, decisions: Iterable[Decision]) -> None:
        """Keep decisions for ``why``: the last 50 of each (job, scope)."""

    def decisions(self, job: str, scope: str | None = None) -> list[Decision]:
        """The kept decisions, newest first."""

    def log(self, event: AuditEvent) -> None:
        """Append to the audit log."""

    def audit_log(self, since: datetime | None = None) -> list[AuditEvent]:
        """The audit log, oldest first."""


DEFAULT_BUSY = timedelta(seconds=5)
"""How long an engine waits for another writer before it raises ``StoreUnavailable``."""

MAX_SKEW = timedelta(seconds=1)
"""How far a host's clock may be from the store's for its claims to be heard."""
