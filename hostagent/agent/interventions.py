"""What a person does to a single run: have it stopped, or tried again.

Callers have asked whether the person may (permission.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from hostagent.agent import stops
from hostagent.agent.backfills import why_not as why_no_backfill
from hostagent.agent.book import Entry
from hostagent.agent.daemon import Daemon
from hostagent.agent.interface import NotPossible
from hostagent.agent.starts import Verdict
from hostagent.errors import HostagentError
from hostagent.model import Kind, Only, Outcome, Run, run_id
from hostagent.policy.again import why_not
from hostagent.policy.words import when
from hostagent.store.port import Backfill

RETRY = "retry"
"""The action of the audit log's record; its target is ``run RUN_ID``."""


BACKFILL = "backfill"
"""The same; its target is the job."""


class Interventions:
    """Acts for a daemon. What it refuses comes back as ``NotPossible``."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._world = daemon.world

    async def stop(self, uid: int, name: str, reason: str) -> tuple[str, bool]:
        """Have the run of this id (or the one of this job) stopped.

        Returns:
            Its id, and whether it goes on until its processes have ended.
        """
        entry = self._running(name)
        if entry is None:
            return await self._unqueue(uid, name, reason), False
        async with entry.lock:
            run, systemd = entry.active, self._world.systemd
            if run is None or name not in {run.run_id, run.job}:
                raise NotPossible(reason=await self._why_not_running(name))
            state = await systemd.call(systemd.it.service, entry.unit.service)
            if run.invocation_id and not (state.is_running or state.job_pending):
                self._daemon.spawn(self._daemon.look(entry))
                raise NotPossible(
                    reason=f"{run.run_id} has just ended; see: hostagent why {run.run_id}"
                )
            if entry.stopped is None:  # first: an agent that takes over is to know it
                await self._world.log(uid, stops.STOP, stops.target(run), reason, self._world.own)
                entry.stopped = stops.sentence(uid, reason)
            await systemd.call(systemd.it.stop, [entry.unit.service], no_block=True)
        self._daemon.spawn(self._daemon.look(entry))
        return run.run_id, True

    async def retry(self, uid: int, name: str) -> tuple[str, int]:
        """Start another attempt of a run that has ended; its id, and the attempt's number."""
        attempts = await self._attempts(name)
        if not attempts:
            raise NotPossible(reason=f"there is no run {name}; see: hostagent runs")
        last = attempts[-1]
        entry = self._daemon.book.exactly(last.job, last.scope)
        active = (entry.active or entry.elsewhere) if entry else None
        if refusal := why_not(attempts, active):
            raise NotPossible(reason=refusal)
        if entry is None:
            raise NotPossible(reason=self._not_here(last))
        reason = f"attempt {last.attempt + 1}, asked for by uid {uid}, after: {last.end_reason}"
        async with entry.lock:
            try:
                answer = await self._daemon.starts.retry(entry, last, reason)
            except HostagentError as error:
                self._daemon.look_later(entry)
                raise NotPossible(
                    reason=f"{error.message}; see: hostagent why {last.run_id}"
                ) from error
        if isinstance(answer, Verdict):
            raise NotPossible(reason=f"{answer.reason}; see: hostagent why {last.run_id}")
        store = self._world.store_of(entry)
        await self._world.log(uid, RETRY, stops.target(last), f"attempt {answer.attempt}", store)
        return answer.run_id, answer.attempt

    async def backfill(
        self,
        uid: int,
        entries: Sequence[Entry],
        first: datetime,
        last: datetime,
        only: Only,
        *,
        is_dry: bool,
    ) -> list[tuple[str, datetime]]:
        """Have what fell due from ``first`` to ``last`` run: scopes and instants, in time order.

        Only what has its outcome by now, above which the schedule itself sees to it.
        """
        orders, found = [], []
        for entry in entries:
            mark = min(last, entry.high_water or last)
            order = Backfill(
                entry.job.name, entry.scope, first, mark, only, f"uid {uid}", self._now()
            )
            refusal = why_no_backfill(entry, order)
            if refusal or (known := self._daemon.book.backfill_of(entry)):
                raise NotPossible(reason=refusal or _known(known))
            try:
                left = await self._daemon.backfills.find(entry, order)
            except HostagentError as error:
                hint = error.hint or f"see: hostagent why {entry.job.name}"
                raise NotPossible(reason=f"{error.message}; {hint}") from error
            orders += [order] if left else []
            found += [(entry.scope, at) for at in left]
        for order in [] if is_dry else orders:
            own = self._world.own
            await own.call(own.it.backfill, order)
            detail = f"{when(order.first)} to {when(order.last)}, {only}"
            name = f"job {order.job}@{order.scope}" if order.scope else f"job {order.job}"
            await self._world.log(uid, BACKFILL, name, detail, own)
        if orders and not is_dry:
            await self._daemon.read_own()
        return sorted(found, key=lambda one: (one[1], one[0]))

    def _running(self, name: str) -> Entry | None:
        """The entry whose active run is meant, by its id or its job's name."""
        going = [(e, e.active) for e in self._daemon.book if e.active is not None]
        found = [(e, run) for e, run in going if name in {run.run_id, run.job}]
        if len(found) > 1:
            known = ", ".join(run.run_id for _, run in found)
            raise NotPossible(reason=f"{name} has {len(found)} runs; say which: {known}")
        return found[0][0] if found else None

    async def _unqueue(self, uid: int, name: str, reason: str) -> str:
        """Give up a manual run that waits behind another one (overlap = "queue")."""
        for entry in self._daemon.book:
            for at in entry.queued:
                if run_id(entry.job.name, entry.scope, Kind.MANUAL, at) != name:
                    continue
                entry.queued.remove(at)
                self._daemon.endings.tell(name, Outcome.ABANDONED)
                await self._world.log(uid, stops.STOP, f"run {name}", reason, self._world.own)
                return name
        raise NotPossible(reason=await self._why_not_running(name))

    async def _why_not_running(self, name: str) -> str:
        attempts = await self._attempts(name)
        if not attempts:
            if any(entry.job.name == name for entry in self._daemon.book):
                return f"no run of {name} goes on here; see: hostagent runs {name}"
            return f"there is no run {name}; see: hostagent status"
        last = attempts[-1]
        if last.outcome is None and last.host != self._world.host:
            return f"{name} runs on {last.host}; type there: hostagent stop {name}"
        if last.outcome is None:
            return f"{name} is about to end; see: hostagent why {name}"
        entry = self._daemon.book.exactly(last.job, last.scope)
        if entry is not None and entry.retry is not None and entry.retry.run_id == last.run_id:
            return (
                f"{name} does not run: it waits for its next attempt; "
                f"to hold that: hostagent pause {last.job}"
            )
        return f"{name} has ended already ({last.outcome}); see: hostagent why {name}"

    def _not_here(self, run: Run) -> str:
        if run.host != self._world.host and run.scope == run.host:
            return f"{run.run_id} is {run.host}'s; type there: hostagent retry {run.run_id}"
        return f"the job {run.job} is not deployed here; run: hostagent apply"

    async def _attempts(self, name: str) -> Sequence[Run]:
        for store in self._world.reached():
            if attempts := await store.call(store.it.run, name):
                return attempts
        return ()

    def _now(self) -> datetime:
        return self._world.clock.now()


def _known(order: Backfill | None) -> str:
    assert order is not None
    return (
        f"{order.job} is being backfilled, from {when(order.first)} to {when(order.last)}, by "
        f"{order.by}; give that up first: hostagent backlog abandon {order.job} --reason TEXT"
    )
