"""What the agent answers for: one entry for each (job, scope) of the manifest.

The book is a view: the manifest says which entries there are, the store where each stands, PID 1
what runs. It is rebuilt from them at every start and reload.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hostagent.codec import content_hash
from hostagent.compile.names import service_name
from hostagent.model import Form, Job, Manifest, Notify, Run, RunOn, Schedule, Unit
from hostagent.policy.due import Await, is_catch_up
from hostagent.policy.words import when
from hostagent.store.port import Backfill, Cursor, Pause, PauseTarget, Quarantine


@dataclass(slots=True)
class Entry:
    """One (job, scope): its unit, where it stands, and what waits for it.

    ``lock`` is held while anything is decided or written about the entry. ``active`` mirrors the
    cursor's claim where that is this host's, ``elsewhere`` where it is another's. ``freed_from``
    and ``freed_at`` are when its last run began and ended. ``next_due`` is its next occurrence,
    ``wake_at`` when the second clock looks whether that has started. ``stopped`` is why the agent
    stopped the active run for good, ``gave_way`` why the gate did. ``queued`` are manual runs that
    wait (``overlap = "queue"``).

    ``retry`` is the attempt that the next one follows from ``retry_at`` on. ``quarantined`` is why
    the job was taken out. ``waits_elsewhere``: it waits for a run on another host, whose end
    nobody tells us. ``lost``: the result of the active run if PID 1 stops it (``fenced``,
    ``host-stopped``). ``pool_mates`` are the jobs of its pool; ``takes_place``: a place of it is
    taken for a run that is being claimed. ``awaits``: other jobs are waited for (``after``).
    ``is_leased``: it is the cluster's, kept in the store
    that hosts share; its claims hold only by a live lease.
    """

    job: Job
    unit: Unit
    schedule_hash: str
    high_water: datetime | None = None
    registered: bool = False
    active: Run | None = None
    elsewhere: Run | None = None
    freed_at: datetime | None = None
    freed_from: datetime | None = None
    next_due: datetime | None = None
    wake_at: datetime | None = None
    catching_up: bool = False
    stopped: str | None = None
    gave_way: str | None = None
    queued: list[datetime] = field(default_factory=list)
    retry: Run | None = None
    retry_at: datetime | None = None
    quarantined: str | None = None
    waits_elsewhere: bool = False
    lost: str | None = None
    is_leased: bool = False
    pool_mates: frozenset[str] = frozenset()
    takes_place: bool = False
    awaits: Await | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def scope(self) -> str:
        """The scope this entry answers for."""
        return self.unit.scope

    @property
    def title(self) -> str:
        """What people call it: ``job`` or ``job@scope``."""
        return f"{self.job.name}@{self.scope}" if self.scope else self.job.name

    @property
    def is_ending(self) -> bool:
        """Whether its active run was told to end: by its overlap, a person or the gate."""
        return self.stopped is not None or self.gave_way is not None

    def deploy(self, job: Job, unit: Unit, *, is_leased: bool) -> None:
        """Take over what the manifest says."""
        self.job, self.unit, self.schedule_hash = job, unit, job.schedule.hash
        self.is_leased, self.awaits = is_leased, None

    def stands_at(self, cursor: Cursor) -> bool:
        """Whether the cursor says what is known of it."""
        return (
            self.registered == (cursor.spec_hash == self.schedule_hash)
            and (self.high_water, self.retry_at) == (cursor.high_water, cursor.retry_at)
            and (self.active or self.elsewhere) == cursor.active
        )

    def stand(self, cursor: Cursor | None, host: str) -> None:
        """Take over what the store says; ``host`` is this one.

        All that its own ledger holds is this host's, whatever it was called then.
        """
        self.registered = cursor is not None and cursor.spec_hash == self.schedule_hash
        self.high_water = cursor.high_water if cursor else None
        run = cursor.active if cursor else None
        is_here = run is not None and (run.host == host or not self.is_leased)
        self.active, self.elsewhere = (run, None) if is_here else (None, run)
        self.retry = cursor.retry if cursor else None
        self.retry_at = cursor.retry_at if cursor else None
        self.catching_up = self.active is not None and is_catch_up(self.job, self.active)


@dataclass(frozen=True, slots=True)
class View:
    """What a ledger said when it was read."""

    cursors: Sequence[Cursor] = ()
    pauses: Sequence[Pause] = ()
    quarantines: Sequence[Quarantine] = ()
    backfills: Sequence[Backfill] = ()


class Book:
    """The entries, found by service, timer or (job, scope).

    ``jobs`` are all by their names, those of other hosts too.
    ``own`` is what this host's own ledger says, ``shared`` the store that hosts share (None: it
    could not be read, or not yet). ``is_shared``: there is one.
    """

    def __init__(
        self,
        manifest: Manifest | None,
        host: str,
        own: View = View(),
        shared: View | None = None,
        before: Book | None = None,
        *,
        is_shared: bool = False,
    ) -> None:
        """The book of ``manifest``. Entries of ``before`` live on, with what waits for them."""
        self.manifest = manifest
        self.host = host
        self.own = own
        self.shared: View = shared or (before.shared if before else View())
        self._by_service: dict[str, Entry] = {}
        self._by_name: dict[tuple[str, str], Entry] = {}
        jobs = self.jobs = {job.name: job for job in manifest.jobs} if manifest else {}
        self._pools: dict[str, frozenset[str]] = {}
        self.places = {
            pool.name: pool.max for pool in (manifest.pools if manifest else ()) if pool.max
        }
        for job in jobs.values():
            if job.pool is not None:
                self._pools[job.pool] = self._pools.get(job.pool, frozenset()) | {job.name}
        stands = {False: _by_name(own), True: _by_name(shared) if shared else None}
        for unit in manifest.units if manifest else ():
            job = jobs[unit.job]
            entry = self._add(job, unit, before, is_leased=is_shared and job.run_on is RunOn.ONE)
            if (known := stands[entry.is_leased]) is not None:
                entry.stand(known.get((unit.job, unit.scope)), host)
        for is_leased, known in stands.items():
            for cursor in (known or {}).values():
                run = cursor.active
                if run is not None and (run.host == host or not is_leased):
                    self._add_removed(cursor, run, before, is_leased=is_leased)
        self._take_out()

    def _add(self, job: Job, unit: Unit, before: Book | None, *, is_leased: bool) -> Entry:
        entry = before.exactly(unit.job, unit.scope) if before else None
        if entry is None or entry.is_leased != is_leased:
            entry = Entry(job, unit, job.schedule.hash)
        entry.deploy(job, unit, is_leased=is_leased)
        entry.pool_mates = self._pools.get(job.pool, frozenset()) if job.pool else frozenset()
        self._by_service[unit.service] = entry
        self._by_name[unit.job, unit.scope] = entry
        return entry

    def _add_removed(
        self, cursor: Cursor, run: Run, before: Book | None, *, is_leased: bool
    ) -> None:
        """A job that apply removed, whose last run goes on: its end must be seen."""
        if self.exactly(cursor.job, cursor.scope) is not None:
            return
        known = before.exactly(cursor.job, cursor.scope) if before else None
        if known is not None:
            job, unit = known.job, known.unit
        else:
            fan_out = bool(run.scope) and run.scope != run.host
            service = service_name(run.job, run.scope, fan_out=fan_out)
            job = Job(run.job, (), Schedule(Form.ON_BOOT, "removed"), timedelta(0))
            unit = Unit(run.job, run.scope, service, None)
        self._add(job, unit, before, is_leased=is_leased).stand(cursor, self.host)

    def read_own(self, view: View) -> None:
        """Take over what people ordered, as this host's own ledger says it now."""
        self.own = view
        self._take_out()

    def read_shared(self, view: View) -> None:
        """Take over what people ordered, as the shared store says it now."""
        self.shared = view
        self._take_out()

    def _take_out(self) -> None:
        """Know which jobs are out."""
        out = {
            is_leased: {(one.job, one.scope): one.reason for one in view.quarantines}
            for is_leased, view in ((False, self.own), (True, self.shared))
        }
        for name, entry in self._by_name.items():
            entry.quarantined = out[entry.is_leased].get(name)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._by_service.values())

    def leased(self) -> list[Entry]:
        """The cluster's."""
        return [entry for entry in self if entry.is_leased]

    def own_jobs(self) -> list[Entry]:
        """Those that this host's own ledger keeps."""
        return [entry for entry in self if not entry.is_leased]

    def notifiers(self) -> tuple[Notify, ...]:
        """Who is told, by what is deployed."""
        return self.manifest.notify if self.manifest else ()

    def __len__(self) -> int:
        return len(self._by_service)

    def of_service(self, service: str) -> Entry | None:
        """The entry whose service this is."""
        return self._by_service.get(service)

    def exactly(self, job: str, scope: str) -> Entry | None:
        """The entry of this very (job, scope)."""
        return self._by_name.get((job, scope))

    def find(self, job: str, scope: str) -> Entry | None:
        """The entry of a job; an empty scope finds a job that has one scope only."""
        if entry := self._by_name.get((job, scope)):
            return entry
        mine = [e for (name, _), e in self._by_name.items() if name == job]
        return mine[0] if not scope and len(mine) == 1 else None

    def next_due(self) -> tuple[datetime | None, str]:
        """The earliest coming occurrence, and its job."""
        coming = [(e.next_due, e.job.name) for e in self if e.next_due is not None]
        return min(coming, default=(None, ""))

    def pause_of(self, entry: Entry, host: str, now: datetime) -> Pause | None:
        """The pause that holds ``entry`` now, the narrowest first."""
        names = {
            PauseTarget.JOB: entry.job.name,
            PauseTarget.LANE: str(entry.job.lane),
            PauseTarget.HOST: host,
            PauseTarget.CLUSTER: "",
        }
        pauses = self._pauses_for(entry)
        for target, name in names.items():
            for pause in pauses:
                if (pause.target, pause.name) != (target, name):
                    continue
                if pause.until is None or pause.until > now:
                    return pause
        return None

    def host_pause(self, now: datetime) -> Pause | None:
        """The pause of this whole host, if there is one."""
        whole = (pause for pause in self.pauses(now) if pause.target is PauseTarget.HOST)
        return next(whole, None)

    def backfill_of(self, entry: Entry) -> Backfill | None:
        """What a person wants to be run of its past, on this host."""
        name = (entry.job.name, entry.scope)
        return next((one for one in self.own.backfills if (one.job, one.scope) == name), None)

    def end_backfill(self, job: str, scope: str) -> None:
        """It is done, or given up."""
        left = [one for one in self.own.backfills if (one.job, one.scope) != (job, scope)]
        self.own = replace(self.own, backfills=left)

    def pauses(self, now: datetime) -> list[Pause]:
        """All that hold anything of this host now, none twice."""
        found = {
            (pause.target, pause.name): pause
            for pause in (*self.shared.pauses, *self.own.pauses)
            if pause.target is not PauseTarget.HOST or pause.name == self.host
            if pause.until is None or pause.until > now
        }
        return [found[key] for key in sorted(found)]

    @property
    def has_holds(self) -> bool:
        """Whether people hold anything of the backlog back."""
        return any(pause.target is PauseTarget.BACKLOG for pause in self.own.pauses)

    def hold_of(self, job: str, now: datetime) -> Pause | None:
        """A person's order that what was missed of the job waits, the narrowest first."""
        found = [
            pause
            for pause in self.own.pauses
            if pause.target is PauseTarget.BACKLOG
            and pause.name in {job, ""}
            and (pause.until is None or pause.until > now)
        ]
        return max(found, key=lambda pause: pause.name, default=None)

    def _pauses_for(self, entry: Entry) -> list[Pause]:
        """Those of its own ledger; a host's hold what the cluster runs there, too, and the
        cluster's hold all.
        """
        own, shared = self.own.pauses, self.shared.pauses
        if entry.is_leased:
            return [*shared, *(p for p in own if p.target is PauseTarget.HOST)]
        return [*own, *(p for p in shared if p.target is PauseTarget.CLUSTER)]


def order_of(pause: Pause) -> str:
    """Who ordered it, how long it holds, and why."""
    what = f"{pause.target} {pause.name}".strip()
    limit = f" until {when(pause.until)}" if pause.until else ""
    return f"{what} by {pause.by}{limit}: {pause.reason}"


def _by_name(view: View) -> dict[tuple[str, str], Cursor]:
    return {(cursor.job, cursor.scope): cursor for cursor in view.cursors}


def spec_of(book: Book) -> str:
    """The digest of what is deployed; the same on hosts with the same jobs.toml."""
    manifest = book.manifest
    return content_hash([digest for _, digest in manifest.sources]) if manifest else ""
