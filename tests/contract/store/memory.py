"""A store in memory, as plainly as the port's contract can be said: what engines are compared with.

No batches that can half fail, no indexes, no files: a dictionary of stands and a list of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostagent import model
from hostagent.errors import StoreConflict
from hostagent.model import Alarm, End, Kind, Outcome, Run, parse_run_id
from hostagent.store.port import (
    MAX_SKEW,
    Accepted,
    Backfill,
    Claimed,
    Cursor,
    Finish,
    Mark,
    Presence,
    Quarantine,
    Refusal,
    Refused,
    Registration,
    Session,
    Settlement,
    SpecRecord,
    Stale,
    Want,
)
from tests.contract.store.memory_sessions import Sessions

Name = tuple[str, str]


@dataclass
class Stand:
    """A (job, scope) that was ever registered. ``active`` and ``retry`` are tokens."""

    hash: str
    high_water: datetime
    token: int = 0
    active: int | None = None
    session: str | None = None
    retry: int | None = None
    retry_at: datetime | None = None
    is_gone: bool = False
    heir: str | None = None
    host: str = ""


class Memory:
    """What the port promises of specs, sessions, claims and the ledger."""

    def __init__(self) -> None:
        self.stands: dict[Name, Stand] = {}
        self.specs: list[SpecRecord] = []
        self.rows: list[Run] = []
        self.sessions = Sessions()
        self.quarantines: dict[Name, Quarantine] = {}
        self.backfills: dict[Name, Backfill] = {}
        self.alarms: dict[Name, Alarm] = {}

    # What is due

    def register(
        self,
        jobs: Sequence[Registration],
        closing: Sequence[Settlement],
        at: datetime,
        now: datetime,
        remove_others: bool | Collection[str],
        host: str,
    ) -> list[str]:
        """The names of the jobs that changed. A conflict leaves this copy half changed."""
        for one in closing:
            if self.settle(one) == Refused(Refusal.PASSED):
                raise StoreConflict("settled already")
        changed = self._rename(jobs)
        in_force = {(spec.job, spec.host): spec for spec in self.specs if spec.valid_to is None}
        for job in jobs:
            old = in_force.get((job.job, job.host))
            if old and (old.hash, {*old.scopes}) == (job.hash, {*job.scopes}):
                continue
            changed.add(job.job)
            since = self._since(job.job, job.host, at, now)
            self._end(job.job, job.host, since, keep=job.scopes)
            self._begin(job, since, goes_on=old is not None and old.hash == job.hash)
        for name, owner in in_force:
            goes = remove_others if isinstance(remove_others, bool) else name in remove_others
            if goes and owner in ("", host) and name not in {job.job for job in jobs}:
                changed.add(name)
                self._end(name, owner, self._since(name, owner, at, now), keep=())
        return sorted(changed)

    def _since(self, job: str, host: str, at: datetime, now: datetime) -> datetime:
        records = [s for s in self.specs if s.job == job and _reaches(host, s.host)]
        since = max([at, *(s.valid_to or s.valid_from for s in records)])
        stands = [s for n, s in self.stands.items() if n[0] == job and _reaches(host, s.host)]
        live = [stand for stand in stands if not stand.is_gone]
        if any(since < stand.high_water <= now for stand in live):
            raise StoreConflict("claimed meanwhile")
        return max([since, *(stand.high_water for stand in live)])

    def _begin(self, job: Registration, at: datetime, *, goes_on: bool) -> None:
        seq = 1 + max((spec.seq for spec in self.specs if spec.job == job.job), default=0)
        self.specs.append(
            SpecRecord(job.job, seq, job.hash, job.schedule, job.scopes, at, host=job.host)
        )
        for scope in job.scopes:
            stand = self.stands.setdefault((job.job, scope), Stand(job.hash, at))
            if stand.is_gone or not goes_on:
                stand.high_water = max(stand.high_water, at)
                self._give_up((job.job, scope))
            stand.hash, stand.is_gone, stand.heir, stand.host = job.hash, False, None, job.host

    def _end(self, job: str, host: str, at: datetime, keep: Sequence[str]) -> None:
        for spec in [s for s in self.specs if s.job == job and _reaches(host, s.host)]:
            if spec.valid_to is None:
                self.specs[self.specs.index(spec)] = replace(spec, valid_to=at)
        for name, stand in self.stands.items():
            if name[0] == job and name[1] not in keep and _reaches(host, stand.host):
                self._give_up(name)
                if not stand.is_gone:
                    self.backfills.pop(name, None)
                stand.is_gone = True

    def _rename(self, jobs: Sequence[Registration]) -> set[str]:
        named, renamed = {job.job for job in jobs}, set()
        in_force = [(spec.job, spec.host) for spec in self.specs if spec.valid_to is None]
        for job in jobs:
            old, new = job.renamed_from, job.job
            known = any(s.job == old and _reaches(job.host, s.host) for s in self.specs)
            done = any(name == new and _reaches(job.host, host) for name, host in in_force)
            if old is not None and old not in named and known and not done:
                renamed.add(new)
                self._rename_one(old, new, job.host)
        return renamed

    def _rename_one(self, old: str, new: str, host: str) -> None:
        mine = {
            name: stand
            for name, stand in self.stands.items()
            if name[0] == old and _reaches(host, stand.host)
        }
        for name, stand in mine.items():
            if stand.retry is not None and self._attempts((new, name[1]), stand.retry):
                self._give_up(name)
        base = max((spec.seq for spec in self.specs if spec.job == new), default=0)
        for spec in [s for s in self.specs if s.job == old and _reaches(host, s.host)]:
            self.specs[self.specs.index(spec)] = replace(spec, job=new, seq=base + spec.seq)
        for row in [row for row in self.rows if (row.job, row.scope) in mine]:
            if row.outcome is not None:
                self._move(row, new)
        for name, stand in mine.items():
            if name in self.quarantines and (new, name[1]) not in self.quarantines:
                out = self.quarantines.pop(name)
                self.quarantines[new, name[1]] = replace(out, job=new)
            if name in self.backfills and (new, name[1]) not in self.backfills:
                order = self.backfills.pop(name)
                self.backfills[new, name[1]] = replace(order, job=new)
            for earlier in [s for n, s in self.stands.items() if n[1] == name[1]]:
                earlier.heir = new if earlier.heir == old else earlier.heir
            before = self.stands.get((new, name[1]), Stand("", stand.high_water))
            self.stands[new, name[1]] = Stand(
                hash=stand.hash,
                high_water=max(stand.high_water, before.high_water),
                token=max(stand.token, before.token),
                active=before.active,
                session=before.session,
                retry=stand.retry,
                retry_at=stand.retry_at,
                is_gone=stand.is_gone,
                host=stand.host,
            )
            stand.retry = stand.retry_at = None
            stand.is_gone, stand.heir = True, new

    def _move(self, row: Run, new: str) -> None:
        moved = replace(row, job=new)
        if not any(_identity(other) == _identity(moved) for other in self.rows):
            self.rows[self.rows.index(row)] = moved

    # Claims

    def claim(
        self, session: Session, want: Want, now: datetime, clock: datetime | None = None
    ) -> Claimed | Refused:
        """One claim."""
        name = (want.job, want.scope)
        if refusal := self._refusal(session, want, now, clock):
            return Refused(refusal, self._holder(name) if refusal is Refusal.ACTIVE else None)
        stand = self.stands[name]
        if want.attempt > 1:
            if self._is_awaited(name, want):
                stand.retry = stand.retry_at = None
        elif want.kind is Kind.SCHEDULED:
            self._give_up(name)
            stand.high_water = want.scheduled_for
        else:
            taken = {_run_of(row) for row in self.rows}
            while (*name, want.kind, want.scheduled_for) in taken:
                later = want.scheduled_for + timedelta(microseconds=1)
                want = replace(want, scheduled_for=later)
        stand.token += 1
        stand.active, stand.session = stand.token, session.id
        run = Run(
            want.job,
            want.scope,
            want.kind,
            want.scheduled_for,
            want.attempt,
            stand.token,
            session.host,
            want.reason,
            want.spec_hash,
            session.id,
            session.boot_id,
            claimed_at=want.at,
            started_at=want.at if want.invocation_id else None,
            invocation_id=want.invocation_id,
            covers_from=want.covers_from,
            covers=want.covers,
        )
        self.rows.append(run)
        return Claimed(run)

    def _refusal(
        self, session: Session, want: Want, now: datetime, clock: datetime | None
    ) -> Refusal | None:
        stand = self.stands.get((want.job, want.scope))
        is_scheduled = want.kind is Kind.SCHEDULED
        if not self.sessions.may_claim(session, now):
            return Refusal.SESSION
        if clock is not None and abs(clock - now) > MAX_SKEW:
            return Refusal.SKEW
        if stand is None or stand.is_gone:
            return Refusal.UNKNOWN
        if is_scheduled and stand.hash != want.spec_hash:
            return Refusal.SPEC
        if self._holder((want.job, want.scope)):
            return Refusal.ACTIVE
        if want.attempt > 1:
            return self._may_follow((want.job, want.scope), want, now)
        if is_scheduled and want.scheduled_for > now:
            return Refusal.EARLY
        first = want.covers_from or want.scheduled_for
        return Refusal.PASSED if is_scheduled and first <= stand.high_water else None

    def _holder(self, name: Name) -> Run | None:
        """What runs under this name, or still under a former one."""
        own = [(n, s.active) for n, s in self.stands.items() if n == name]
        former = [
            (n, s.active) for n, s in self.stands.items() if (s.heir, n[1]) == name and s.active
        ]
        return next((self._active(n, token) for n, token in own + former if token), None)

    def _may_follow(self, name: Name, want: Want, now: datetime) -> Refusal | None:
        if want.by_hand:
            return None if self._has_failed(want) else Refusal.ATTEMPT
        if not self._is_awaited(name, want):
            return Refusal.ATTEMPT
        retry_at = self.stands[name].retry_at
        assert retry_at is not None
        return Refusal.EARLY if retry_at > now else None

    def _is_awaited(self, name: Name, want: Want) -> bool:
        asked = (want.kind, want.scheduled_for, want.attempt - 1)
        waiting = self._attempts(name, self.stands[name].retry)
        return any((last.kind, last.scheduled_for, last.attempt) == asked for last in waiting)

    def _has_failed(self, want: Want) -> bool:
        """Whether the attempt before is the run's last, and came to no good end."""
        mine = (want.job, want.scope, want.kind, want.scheduled_for)
        rows = [row for row in self.rows if _run_of(row) == mine]
        last = max(rows, key=lambda row: row.attempt, default=None)
        if last is None or last.attempt != want.attempt - 1:
            return False
        return last.outcome not in {None, Outcome.SUCCEEDED}

    def attach(self, job: str, scope: str, token: int, invocation: str, at: datetime) -> bool:
        """Whether the token is active."""
        stand = self.stands.get((job, scope))
        if stand is None or stand.active != token:
            return False
        started = at if invocation else None
        self._change((job, scope), token, invocation_id=invocation or None, started_at=started)
        return True

    def finish(self, one: Finish) -> Accepted | Stale:
        """One final write."""
        name = (one.job, one.scope)
        stand, end = self.stands.get(name), one.end
        if stand is None or stand.active != one.token:
            given = self._attempts(name, one.token)
            return Accepted() if any(_is_end_of(row, end) for row in given) else Stale()
        self._change(
            name,
            one.token,
            outcome=end.outcome,
            end_reason=end.reason,
            result=end.result,
            exit_code=end.exit_code,
            signal=end.signal,
            ended_at=end.ended_at,
        )
        stand.active = stand.session = None
        if one.retry_at is not None:
            self._give_up(name)
            stand.retry, stand.retry_at = one.token, one.retry_at
        if stand.is_gone:
            self._give_up(name)
        for row in self._attempts(name, one.token):
            if stand.heir:
                self._move(row, stand.heir)
        return Accepted()

    def settle(self, one: Settlement) -> Accepted | Refused:
        """Occurrences without an attempt."""
        stand = self.stands.get((one.job, one.scope))
        if stand is None or stand.is_gone:
            return Refused(Refusal.UNKNOWN)
        if stand.hash != one.spec_hash:
            return Refused(Refusal.SPEC)
        if one.first <= stand.high_water:
            return Refused(Refusal.PASSED)
        stand.high_water = one.last
        self.rows.append(
            Run(
                one.job,
                one.scope,
                Kind.SCHEDULED,
                one.last,
                0,
                0,
                one.host,
                one.reason,
                one.spec_hash,
                ended_at=one.at,
                outcome=one.outcome,
                covers_from=one.first,
                covers=one.count,
            )
        )
        return Accepted()

    def cursors(self) -> list[Cursor]:
        """What is registered, and what still runs of what was."""
        return [
            Cursor(
                *n,
                s.hash,
                s.high_water,
                s.token,
                self._active(n, s.active),
                s.retry_at,
                next(iter(self._attempts(n, s.retry)), None),
            )
            for n, s in sorted(self.stands.items())
            if s.active is not None or not s.is_gone
        ]

    def held(self, session_id: str) -> list[Run]:
        """What hangs on a session."""
        found = [(name, s) for name, s in sorted(self.stands.items()) if s.session == session_id]
        runs = [self._active(name, stand.active) for name, stand in found]
        return [run for run in runs if run is not None]

    def presences(self, now: datetime) -> list[Presence]:
        """What the others see."""
        found = [
            Presence(
                stay.session,
                stay.profile,
                stay.beat,
                stay.ttl,
                stay.is_live,
                stay.has_expired(now),
                len(self.held(stay.session.id)),
            )
            for stay in self.sessions.stays.values()
        ]
        shown = [one for one in found if one.is_live or one.claims]
        return sorted(shown, key=lambda one: (one.session.host, one.session.id))

    def quarantine(self, one: Quarantine) -> None:
        """Take a (job, scope) out."""
        if (one.job, one.scope) in self.stands:
            self._give_up((one.job, one.scope))
        self.quarantines[one.job, one.scope] = one

    def give_up(self, name: Name, token: int) -> bool:
        """A person wants no retry."""
        stand = self.stands.get(name)
        if stand is None or stand.retry != token:
            return False
        self._give_up(name)
        return True

    def change_alarm(self, before: Alarm | None, after: Alarm | None) -> bool:
        """Whether it was ``before``."""
        name = next(((one.job, one.scope) for one in (before, after) if one), None)
        if name is None:
            return True
        if self.alarms.get(name) != before:
            return False
        self.alarms.pop(name, None)
        if after is not None:
            self.alarms[name] = after
        return True

    # What hosts keep themselves

    def record(
        self,
        host: str,
        specs: Sequence[SpecRecord] | None,
        runs: Sequence[Run],
        marks: Sequence[Mark],
    ) -> None:
        """What a host says of its own jobs."""
        if specs is not None:
            self._respecify(host, specs)
        for run in [run for run in runs if run.host == host]:
            before = next((r for r in self.rows if _identity(r) == _identity(run)), None)
            if before is None:
                self.rows.append(run)
            elif before.host == host and before.outcome is not None:
                self.rows[self.rows.index(before)] = run
        for mark in marks:
            stand = self.stands.setdefault(
                (mark.job, mark.scope), Stand(mark.spec_hash, mark.high_water, host=host)
            )
            if stand.host == host or (stand.is_gone and stand.active is None):
                stand.hash, stand.host, stand.is_gone, stand.heir = (
                    mark.spec_hash,
                    host,
                    False,
                    None,
                )
                stand.high_water = max(stand.high_water, mark.high_water)
                stand.token = max(stand.token, mark.token)

    def _respecify(self, host: str, specs: Sequence[SpecRecord]) -> None:
        def plain(some: Sequence[SpecRecord]) -> list[SpecRecord]:
            ours = sorted((s for s in some if s.host == host), key=lambda s: (s.job, s.seq))
            return [replace(spec, seq=0) for spec in ours]

        before, after = plain(self.specs), plain(specs)
        if before == after:
            return
        self.specs = [spec for spec in self.specs if spec.host != host]
        for spec in after:
            seq = 1 + max((s.seq for s in self.specs if s.job == spec.job), default=0)
            self.specs.append(replace(spec, seq=seq))
        named = {spec.job for spec in after}
        gone = [(s.job, scope) for s in before if s.job not in named for scope in s.scopes]
        for name in gone:
            stand = self.stands.get(name)
            if stand is not None and stand.host == host and not stand.is_gone:
                self._give_up(name)
                stand.is_gone = True
        self.rows = [
            row
            for row in self.rows
            if row.outcome is None or row.host != host or (row.job, row.scope) not in gone
        ]

    # The ledger

    def run(self, run_id: str) -> list[Run]:
        """All attempts of one run."""
        found = parse_run_id(run_id)
        assert found is not None
        job, scope, kind, at = found
        rows = [r for r in self.rows if (r.job, r.scope, r.kind, r.scheduled_for) == found]
        stand = self.stands.get((job, scope))
        if not rows and stand and stand.heir:
            return self.run(model.run_id(stand.heir, scope, kind, at))
        return sorted(rows, key=lambda row: row.attempt)

    def prune(self, before: datetime) -> int:
        """How many rows went."""
        kept = {_run_of(row) for row in self.rows if row.outcome is None}
        for name, stand in self.stands.items():
            kept |= {_run_of(row) for row in self._attempts(name, stand.retry)}
        count = len(self.rows)
        self.rows = [r for r in self.rows if r.scheduled_for >= before or _run_of(r) in kept]
        self.specs = [s for s in self.specs if s.valid_to is None or s.valid_to >= before]
        return count - len(self.rows)

    def _attempts(self, name: Name, token: int | None) -> list[Run]:
        """More than one where a job took the name of an earlier one that used the token, too."""
        found = [r for r in self.rows if (r.job, r.scope, r.token) == (*name, token) and r.attempt]
        stand = self.stands.get(name)
        if not found and stand and stand.heir:
            return self._attempts((stand.heir, name[1]), token)
        return found

    def _active(self, name: Name, token: int | None) -> Run | None:
        return next((row for row in self._attempts(name, token) if row.outcome is None), None)

    def _change(self, name: Name, token: int, **fields: object) -> None:
        row = self._active(name, token)
        assert row is not None
        self.rows[self.rows.index(row)] = replace(row, **fields)  # type: ignore[arg-type]

    def _give_up(self, name: Name) -> None:
        stand = self.stands[name]
        for row in self._attempts(name, stand.retry):
            said = replace(row, end_reason=f"{row.end_reason}; given up")
            self.rows[self.rows.index(row)] = said
        stand.retry = stand.retry_at = None


def _reaches(host: str, owner: str) -> bool:
    """Whether a registration of ``host`` concerns what is ``owner``'s."""
    return not host or owner in ("", host)


def _is_end_of(row: Run, end: End) -> bool:
    reason = (row.end_reason or "").partition("; given up")[0]
    ended = (row.outcome, reason, row.exit_code, row.signal)
    return ended == (end.outcome, end.reason, end.exit_code, end.signal)


def _run_of(row: Run) -> tuple[object, ...]:
    return row.job, row.scope, row.kind, row.scheduled_for


def _identity(row: Run) -> tuple[object, ...]:
    return (*_run_of(row), row.attempt)
