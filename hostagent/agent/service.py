"""What callers of the socket may ask, and how it is carried out (interface.Service)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import ParamSpec, TypeVar

from hostagent.agent.answers import Answers
from hostagent.agent.book import Entry
from hostagent.agent.daemon import Daemon
from hostagent.agent.interface import (
    Abandonment,
    Activity,
    Admission,
    Backlog,
    Due,
    NotPermitted,
    NotPossible,
    Sample,
    Status,
    Stopping,
    Tried,
)
from hostagent.agent.interventions import Interventions
from hostagent.agent.orders import Orders
from hostagent.agent.permission import GROUP, may_ask_admission, may_change
from hostagent.agent.starts import Verdict
from hostagent.agent.tell.telling import Telling
from hostagent.codec import rfc3339
from hostagent.errors import HostagentError
from hostagent.host.peer import Peer
from hostagent.model import Kind, Only, Overlap, Run, run_id
from hostagent.policy import pace
from hostagent.store.port import PauseTarget

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
        self._orders = Orders(daemon)
        self._answers = Answers(daemon)

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
        store = self._world.store_of(entry)
        await self._world.log(caller.uid, "run", f"job {entry.title}", answer.run_id, store)
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
        at = _instant(until) if until else None
        await self._orders.pause(caller.uid, _pause_target(target), name, at, reason)

    async def resume(self, caller: Peer, target: str, name: str) -> bool:
        """Lift a pause; whether there was one."""
        self._may_change(caller)
        return await self._orders.resume(caller.uid, _pause_target(target), name)

    async def reload(self, caller: Peer) -> None:
        """Take up the manifest in force."""
        self._may_change(caller)
        try:
            await self._daemon.reload()
        except HostagentError as error:
            raise NotPossible(reason=f"the agent goes on as before: {error.message}") from error

    async def drain(self, caller: Peer, drains: bool) -> list[str]:
        """Leave the cluster's jobs to other hosts, or no more; what of them still runs here."""
        self._may_change(caller)
        return await self._orders.drain(caller.uid, drains)

    async def reinstate(self, caller: Peer, job: str, scope: str) -> bool:
        """Let a job run again that was in quarantine; whether it was."""
        self._may_change(caller)
        return await self._orders.reinstate(caller.uid, job, scope)

    async def release(self, caller: Peer, job: str, rate: str | None) -> list[str]:
        """Let go what the backlog holds, at once or at a pace; of which jobs."""
        self._may_change(caller)
        return await self._orders.release(caller.uid, job, _pace(rate) if rate else None)

    async def abandon(self, caller: Peer, job: str, before: str | None, reason: str) -> Abandonment:
        """Give up what the backlog holds."""
        self._may_change(caller)
        until = _instant(before) if before else None
        return await self._orders.abandon(caller.uid, job, until, reason)

    async def try_out(self, caller: Peer, name: str) -> str:
        """Tell somebody that nothing is wrong; why it was not taken."""
        self._may_change(caller)
        known = {one.name: one for one in self._daemon.book.notifiers()}
        if name not in known:
            names = f"; there are {', '.join(known)}" if known else ""
            raise NotPossible(reason=f"no [notify.{name}] is deployed on this host{names}")
        return await Telling(self._world).try_out(known[name])

    async def status(self) -> Status:
        """What this agent sees."""
        return await self._answers.status()

    async def going(self) -> Activity:
        """What runs here, and what it uses."""
        return await self._answers.going()

    async def backlog(self) -> Backlog:
        """What the gate holds."""
        return await self._answers.backlog()

    async def samples(self) -> list[Sample]:
        """How the backlogs of the last hour went."""
        return await self._answers.samples()

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
