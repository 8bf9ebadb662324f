"""What callers of the socket may ask, and how it is carried out (interface.Service)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar, cast

from hostagent import __version__
from hostagent.agent.aftermath import REINSTATE, reinstated
from hostagent.agent.book import Entry, order_of
from hostagent.agent.daemon import Daemon
from hostagent.agent.glance import Glance
from hostagent.agent.interface import (
    Abandoned,
    Abandonment,
    Activity,
    Admission,
    Backfilling,
    Backlog,
    Due,
    Held,
    NotPermitted,
    NotPossible,
    Sample,
    Standing,
    Status,
    Stopping,
    StormFact,
    Tried,
)
from hostagent.agent.interventions import Interventions
from hostagent.agent.offload import Offloaded
from hostagent.agent.permission import GROUP, may_ask_admission, may_change
from hostagent.agent.starts import Verdict
from hostagent.codec import rfc3339
from hostagent.errors import HostagentError, StoreUnavailable
from hostagent.host.peer import Peer
from hostagent.model import Kind, Only, Overlap, Run, run_id
from hostagent.policy import pace, samples
from hostagent.policy.alarms import sentence
from hostagent.policy.backlog import NEVER, Waiting
from hostagent.policy.forecast import Expected
from hostagent.policy.words import when
from hostagent.store.port import AuditEvent, Pause, PauseTarget, Store

R = TypeVar("R")
P = ParamSpec("P")

SLOW_S = 5.0
"""An answer that took longer may have come too late: whether the unit started is looked at."""


class AgentService:
    """Answers calls for a daemon. Every change is in the audit log, with the caller's uid.

    ``may_ask`` judges who asks for admission (permission.py).
    """

    def __init__(self, daemon: Daemon, may_ask: Callable[..., bool] = may_ask_admission) -> None:
        self._daemon = daemon
        self._world = daemon.world
        self._may_ask = may_ask
        self._interventions = Interventions(daemon)
        self._glance = Glance(daemon.world, lambda: daemon.book, daemon.backlog)

    async def admit(self, caller: Peer, unit: str, invocation_id: str) -> Admission:
        """Decide about a start that PID 1 has under way."""
        if not self._may_ask(caller, unit, user=self._world.paths.user):
            raise NotPermitted(reason=f"pid {caller.pid} does not run in {unit}")
        entry = self._daemon.book.of_service(unit)
        if entry is None:
            verdict = Verdict(False, "the job is not deployed; run: hostagent apply")
            return Admission(admitted=False, reason=verdict.reason)
        since_s = self._world.clock.boottime_s()
        try:
            async with entry.lock:
                by_timer = await self._timer_started(entry)
                if not await self._is_awaited(entry, invocation_id):
                    self._daemon.look_later(entry)
                    return Admission(admitted=False, reason="PID 1 has given this start up")
                verdict = await self._admit(entry, invocation_id, by_timer=by_timer)
                if not verdict.admitted:
                    await self._daemon.starts.turned_away(entry, verdict)
                self._daemon.ask_gate_again(entry)
                self._daemon.watch(entry)
        except HostagentError as error:
            self._daemon.look_later(entry)
            return Admission(admitted=False, reason=f"{error.message}; tried again soon")
        if self._world.clock.boottime_s() - since_s > SLOW_S:
            self._daemon.look_later(entry)
        self._daemon.on_change()
        return Admission(admitted=verdict.admitted, reason=verdict.reason)

    async def _is_awaited(self, entry: Entry, invocation: str) -> bool:
        """Asked last: while PID 1 waits for us, what it said of the timer holds.

        The client gives up after 10 s; we may have stood still, or waited for the store. The timer
        is at rest by then, and the start would be taken for a person's.
        """
        systemd = self._world.systemd
        state = await systemd.call(systemd.it.service, entry.unit.service)
        return state.is_running and state.invocation_id == invocation

    async def _admit(self, entry: Entry, invocation: str, *, by_timer: bool) -> Verdict:
        starts = self._daemon.starts
        run = entry.active
        if run is not None and run.invocation_id and run.invocation_id != invocation:
            # PID 1 runs a unit once at a time: that run has ended, and its state is overwritten.
            ended = await self._daemon.endings.recall(entry, run)
            if ended is not None:
                await self._daemon.conclude(entry, run, ended)
        if entry.active is not None and entry.stopped is not None:
            return Verdict(False, entry.stopped)
        if entry.active is not None:
            self._daemon.endings.was_asked(entry.active)
            return await starts.attach(entry, entry.active, invocation)
        if by_timer:
            return await starts.evaluate(entry, invocation)
        answer = await starts.manual(
            entry, f"started by hand: systemctl start {entry.unit.service}", None, invocation
        )
        return answer if isinstance(answer, Verdict) else Verdict(True, answer.reason)

    async def _timer_started(self, entry: Entry) -> bool:
        """A timer is ``running`` exactly while it starts its service (tried on 252, 257, 262)."""
        if entry.unit.timer is None:
            return False
        systemd = self._world.systemd
        state = await systemd.call(systemd.it.timer, entry.unit.timer)
        return state.sub_state == "running"

    async def run(self, caller: Peer, job: str, scope: str, as_of: str | None) -> str:
        """Start a manual run, which obeys ``overlap``."""
        self._may_change(caller)
        entry = self._find(job, scope)
        at = _instant(as_of) if as_of else self._world.clock.now().replace(microsecond=0)
        async with entry.lock:
            if entry.active is not None:
                return await self._run_beside(entry, entry.active, at)
            try:
                answer = await self._daemon.starts.manual(
                    entry, f"asked for by uid {caller.uid}", at
                )
            except HostagentError as error:
                self._daemon.look_later(entry)
                raise NotPossible(reason=f"{error.message}; see: hostagent why {job}") from error
        if isinstance(answer, Verdict):
            raise NotPossible(reason=answer.reason)
        await self._log(
            caller, "run", f"job {_name(entry)}", answer.run_id, self._world.store_of(entry)
        )
        return answer.run_id

    async def _run_beside(self, entry: Entry, active: Run, at: datetime) -> str:
        if entry.job.overlap is Overlap.SKIP:
            raise NotPossible(reason=f'run {active.run_id} is active and overlap = "skip"')
        at = await self._unused(entry, at)
        entry.queued.append(at)
        if entry.job.overlap is Overlap.REPLACE:
            entry.stopped = "replaced by a manual run"
            systemd = self._world.systemd
            await systemd.call(systemd.it.stop, [entry.unit.service], no_block=True)
        return run_id(entry.job.name, entry.scope, Kind.MANUAL, at)

    async def _unused(self, entry: Entry, at: datetime) -> datetime:
        """The next microsecond that names no manual run yet, neither claimed nor queued."""
        store = self._world.store_of(entry)
        while at in entry.queued or len(await store.call(store.it.run, _manual_id(entry, at))):
            at += timedelta(microseconds=1)
        return at

    async def stop(self, caller: Peer, run: str, reason: str) -> Stopping:
        """Stop a run of this host."""
        self._may_change(caller)
        run_id, goes_on = await self._interventions.stop(caller.uid, run, reason)
        return Stopping(run_id=run_id, goes_on=goes_on)

    async def retry(self, caller: Peer, run: str) -> Tried:
        """Start another attempt of a run that has ended."""
        self._may_change(caller)
        run_id, attempt = await self._interventions.retry(caller.uid, run)
        return Tried(run_id=run_id, attempt=attempt)

    async def backfill(
        self, caller: Peer, job: str, scope: str, first: str, last: str, only: str, is_dry: bool
    ) -> list[Due]:
        """Have a past range run on this host, after all that was missed."""
        if not is_dry:
            self._may_change(caller)
        entries = [e for e in self._daemon.book if e.job.name == job and scope in {"", e.scope}]
        if not entries:
            self._find(job, scope)
        found = await self._interventions.backfill(
            caller.uid, entries, _instant(first), _instant(last), _only(only), is_dry=is_dry
        )
        return [Due(job=job, scope=scope, scheduled_for=rfc3339(at)) for scope, at in found]

    async def wait(self, run_id: str) -> str:
        """Wait until the run is final."""
        for entry in self._daemon.book:
            queued = [run_id == _manual_id(entry, at) for at in entry.queued]
            if any(queued) or (entry.active is not None and entry.active.run_id == run_id):
                return await self._daemon.endings.wait(run_id)
        for store in self._world.reached():
            attempts = await store.call(store.it.run, run_id)
            if attempts and attempts[-1].outcome is not None:
                return str(attempts[-1].outcome)
        raise NotPossible(reason=f"there is no run {run_id}")

    async def pause(
        self, caller: Peer, target: str, name: str, until: str | None, reason: str
    ) -> None:
        """Set a pause; it holds from now on."""
        self._may_change(caller)
        is_named = target == PauseTarget.JOB or (target == PauseTarget.BACKLOG and name)
        if is_named and not any(e.job.name == name for e in self._daemon.book):
            raise NotPossible(reason=f'there is no job "{name}"')
        pause = Pause(
            _pause_target(target),
            name,
            reason,
            f"uid {caller.uid}",
            self._world.clock.now(),
            _instant(until) if until else None,
        )
        homes = self._homes(pause.target, name)
        for store in homes:
            await self._order(store, store.it.pause, pause)
        limit = f"until {when(pause.until)}" if pause.until else "until resumed"
        detail = f"{limit}: {reason}"
        await self._log(caller, "pause", f"{target} {name}".strip(), detail, homes[-1])

    async def resume(self, caller: Peer, target: str, name: str) -> bool:
        """Lift a pause. What fell due meanwhile was skipped; nothing starts because of this."""
        self._may_change(caller)
        await self._skip_what_fell_due()
        paused = _pause_target(target)
        homes = self._homes(paused, name)
        was_paused = [await self._order(one, one.it.resume, paused, name) for one in homes]
        await self._log(caller, "resume", f"{target} {name}".strip(), "", homes[-1])
        return any(was_paused)

    async def _skip_what_fell_due(self) -> None:
        """While the pause still holds. What cannot be settled now is, by the next look, run."""
        for entry in [*self._daemon.book.own_jobs(), *self._daemon.book.leased()]:
            try:
                async with entry.lock:
                    await self._daemon.starts.evaluate(entry)
            except StoreUnavailable:
                self._daemon.look_later(entry)

    async def _order(
        self, store: Offloaded[Store], change: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Have a ledger changed as a person says, and take it up at once."""
        world = self._world
        try:
            changed = await store.call(change, *args, **kwargs)
        except StoreUnavailable as error:
            what = "" if store is world.own else "; jobs of this host alone obey already"
            raise NotPossible(reason=f"{error.message}{what}; repeat it later") from error
        if store is world.own:
            await self._daemon.read_own()
        else:
            await self._daemon.read_shared()
        return changed

    def _homes(self, target: PauseTarget, name: str) -> list[Offloaded[Store]]:
        """The ledgers that keep a pause: this host's own, so that its jobs obey without the store

        that hosts share; that, for what concerns the cluster.
        """
        own, shared = self._world.own, self._world.shared
        if shared is None or target in {PauseTarget.HOST, PauseTarget.BACKLOG}:
            return [own]
        if target is PauseTarget.LANE:
            return [own, shared]
        is_own = target is PauseTarget.JOB and any(
            entry.job.name == name for entry in self._daemon.book.own_jobs()
        )
        return [own] if is_own else [shared]

    async def reload(self, caller: Peer) -> None:
        """Take up the manifest in force."""
        self._may_change(caller)
        try:
            await self._daemon.reload()
        except HostagentError as error:
            raise NotPossible(reason=f"the agent goes on as before: {error.message}") from error

    async def drain(self, caller: Peer, drains: bool) -> list[str]:
        """Other hosts take what falls due from now on; what runs here ends here."""
        self._may_change(caller)
        cluster = self._world.cluster
        if not cluster.is_shared:
            raise NotPossible(
                reason="the store is this host's alone: nobody could take over; "
                "to hold everything: hostagent pause --host"
            )
        cluster.is_draining = drains
        await self._log(caller, "drain" if drains else "undrain", f"host {self._world.host}", "")
        if not drains and not self._world.is_cut_off:
            await self._daemon.refresh()
        book = self._daemon.book
        return [e.active.run_id for e in book if e.active is not None and cluster.leases(e)]

    async def reinstate(self, caller: Peer, job: str, scope: str) -> bool:
        """What fell due in quarantine stays quarantined; the next occurrence runs."""
        self._may_change(caller)
        entry = self._daemon.book.exactly(job, scope)
        stores = [self._world.store_of(entry)] if entry else self._world.reached()
        for store in stores:
            if await self._order(store, store.it.reinstate, job, scope):
                await self._log(caller, REINSTATE, reinstated(job, scope), "", store)
                if entry is not None:
                    await self._daemon.look(entry)
                self._daemon.alarms.look((job, scope))
                return True
        return False

    async def status(self) -> Status:
        """What this agent sees."""
        book = self._daemon.book
        next_at, next_job = book.next_due()
        held, marks = self._daemon.backlog.told(book), self._daemon.hung.marks()
        return Status(
            version=__version__,
            host=self._world.host,
            generation=book.manifest.generation if book.manifest else 0,
            jobs=len(book),
            running=[e.active.run_id for e in book if e.active is not None],
            hung=[mark.run_id for mark in marks],
            hung_since=[rfc3339(mark.since) for mark in marks],
            hung_because=[mark.reason for mark in marks],
            held=[waiting.name for waiting, _ in held],
            held_because=[why for _, why in held],
            settles=self._daemon.backlog.settles(book) or "",
            pace=self._daemon.backlog.pace(),
            paused=[order_of(one) for one in book.pauses(self._world.clock.now())],
            next_job=next_job,
            next_at=rfc3339(next_at) if next_at else "",
            barred=self._daemon.starts.barred() or "",
            store_reached=not self._world.is_cut_off,
            lease_s=self._lease_s(),
            alarms=[
                Standing(
                    job=one.job,
                    scope=one.scope,
                    alarm=one.kind,
                    since=rfc3339(one.since),
                    reason=one.reason,
                    sentence=sentence(one),
                )
                for one in await self._daemon.alarms.standing()
            ],
        )

    async def going(self) -> Activity:
        """What runs here, and what it uses."""
        return await self._glance.now()

    async def backlog(self) -> Backlog:
        """What the gate holds."""
        book, backlog = self._daemon.book, self._daemon.backlog
        found = await backlog.forecast(book)
        now, now_s = self._world.clock.now(), self._world.clock.boottime_s()
        level, most, used = backlog.level(book)
        return Backlog(
            settles=backlog.settles(book) or "",
            level=level,
            most=most,
            used=used,
            pace=backlog.pace(),
            held=[
                _held(one, why, found.get(one.name), now, now_s) for one, why in backlog.told(book)
            ],
            catching_up=[e.active.run_id for e in book if e.active is not None and e.catching_up],
            backfills=await self._backfills(),
            storm=[
                StormFact(is_so=fact.is_so, sentence=fact.sentence) for fact in backlog.storm(book)
            ],
        )

    async def _backfills(self) -> list[Backfilling]:
        found = []
        for entry in self._daemon.book:
            if order := self._daemon.book.backfill_of(entry):
                left = None
                with contextlib.suppress(HostagentError):  # its store is away
                    left = len(await self._daemon.backfills.left(entry, order))
                found.append(
                    Backfilling(
                        name=_name(entry),
                        first=rfc3339(order.first),
                        last=rfc3339(order.last),
                        left=left,
                        by=order.by,
                    )
                )
        return found

    def _lease_s(self) -> float | None:
        deadline_s = self._world.cluster.deadline_s
        return None if deadline_s is None else deadline_s - self._world.clock.boottime_s()

    async def samples(self) -> list[Sample]:
        """How the backlogs of the last hour went."""
        found = samples.last_hour(self._daemon.backlog.samples, self._world.clock.now())
        return [cast("Sample", asdict(one) | {"at": rfc3339(one.at)}) for one in found]

    async def release(self, caller: Peer, job: str, rate: str | None) -> list[str]:
        """Lift a hold of the backlog; a job goes now, and all of it settles no more.

        With a ``rate`` either goes at that.
        """
        self._may_change(caller)
        at_pace = _pace(rate) if rate else None
        backlog, own = self._daemon.backlog, self._world.own
        entries = backlog.entries(self._daemon.book, job)
        for pause in self._daemon.book.own.pauses:
            if pause.target is PauseTarget.BACKLOG and job in {pause.name, ""}:
                await self._order(own, own.it.resume, pause.target, pause.name)
        if job or at_pace:
            backlog.release(entries, at_pace)
        else:
            backlog.end_settling()
        await self._log(caller, "backlog release", f"job {job}" if job else "all", rate or "")
        self._daemon.spawn(self._daemon.release())
        return [_name(entry) for entry in entries]

    async def abandon(self, caller: Peer, job: str, before: str | None, reason: str) -> Abandonment:
        """Give up what the gate holds, and what waits to be tried again.

        Backfills, too, if it is not only up to ``before``.
        """
        self._may_change(caller)
        until = _instant(before) if before else None
        given_up = await self._abandon_backfills(caller, job, reason) if until is None else []
        sentence = f"abandoned by uid {caller.uid}: {reason}"
        book, backlog = self._daemon.book, self._daemon.backlog
        for entry in backlog.owing(book, job):
            try:
                async with entry.lock:
                    count, retry = await self._daemon.starts.abandon(entry, until, sentence)
            except HostagentError as error:
                raise NotPossible(reason=f"{_name(entry)}: {error.message}") from error
            if count or retry:
                given_up.append(Abandoned(name=_name(entry), count=count, retry=retry))
                await self._log(caller, "backlog abandon", f"job {_name(entry)}", reason)
                await self._daemon.look(entry)
        return Abandonment(abandoned=given_up, fresh=backlog.fresh(book, job))

    async def _abandon_backfills(self, caller: Peer, job: str, reason: str) -> list[Abandoned]:
        book, backfills = self._daemon.book, self._daemon.backfills
        given_up = []
        for entry in [one for one in book if job in {one.job.name, ""}]:
            async with entry.lock:
                if (order := book.backfill_of(entry)) is None:
                    continue
                count = len(await backfills.left(entry, order))
                await backfills.end(book, entry)
                self._daemon.backlog.forget(entry)
            name = f"backfill of {_name(entry)}"
            given_up.append(Abandoned(name=name, count=count, retry=False))
            await self._log(caller, "backlog abandon", f"job {_name(entry)}", f"backfill: {reason}")
            await self._daemon.look(entry)
        return given_up

    async def holds(self, job: str, scope: str, token: int) -> bool:
        """Whether this host's run with that token may go on."""
        entry = self._daemon.book.find(job, scope)
        if entry is None or entry.active is None or entry.active.token != token:
            return False
        cluster = self._world.cluster
        return not cluster.leases(entry) or cluster.may_act(self._world.clock.boottime_s())

    def _may_change(self, caller: Peer) -> None:
        if not may_change(caller):
            raise NotPermitted(
                reason=f"uid {caller.uid} may not change anything here: be root, or join {GROUP}"
            )

    def _find(self, job: str, scope: str) -> Entry:
        entry = self._daemon.book.find(job, scope)
        if entry is None:
            scopes = [e.scope for e in self._daemon.book if e.job.name == job]
            known = f"; its scopes are {', '.join(scopes)}" if scopes else ""
            raise NotPossible(
                reason=f'there is no job "{job}"{" with scope " + scope if scope else ""}{known}'
            )
        return entry

    async def _log(
        self,
        caller: Peer,
        action: str,
        target: str,
        detail: str,
        store: Offloaded[Store] | None = None,
    ) -> None:
        now, store = self._world.clock.now(), store or self._world.own
        event = AuditEvent(now, caller.uid, self._world.host, action, target, detail)
        await store.call(store.it.log, event)


def _name(entry: Entry) -> str:
    return f"{entry.job.name}@{entry.scope}" if entry.scope else entry.job.name


def _held(one: Waiting, why: str, found: Expected | None, now: datetime, now_s: float) -> Held:
    """``now`` by both clocks."""
    return Held(
        name=one.name,
        due=rfc3339(one.due) if one.due else "",
        covers=one.covers,
        since=rfc3339(now - timedelta(seconds=round(now_s - one.since_s))),
        lost=rfc3339(one.deadline) if one.deadline < NEVER else "",
        expected=rfc3339(now + timedelta(seconds=round(found.in_s))) if found else "",
        bound=found.bound if found else "",
        reason=why,
    )


def _manual_id(entry: Entry, at: datetime) -> str:
    return run_id(entry.job.name, entry.scope, Kind.MANUAL, at)


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotPossible(reason=str(error)) from None
    if at.tzinfo is None:
        raise NotPossible(reason=f"{text} has no zone; write {text}Z for UTC")
    return at.astimezone(UTC)


def _pace(text: str) -> pace.Pace:
    try:
        return pace.parse(text)
    except ValueError as error:
        raise NotPossible(reason=f'"{text}" {error}; write for example 6/min') from None


def _only(text: str) -> Only:
    try:
        return Only(text)
    except ValueError:
        raise NotPossible(reason=f'"{text}" is not known; known: {", ".join(Only)}') from None


def _pause_target(text: str) -> PauseTarget:
    try:
        return PauseTarget(text)
    except ValueError:
        known = ", ".join(PauseTarget)
        raise NotPossible(reason=f'"{text}" cannot be paused; known: {known}') from None
