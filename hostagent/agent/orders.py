"""What a person orders of jobs, of this host and of its backlog, from pause to abandon.

Callers have asked whether the person may (permission.py). Each order is in the audit log.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ParamSpec, TypeVar

from hostagent.agent.aftermath import REINSTATE, reinstated
from hostagent.agent.daemon import Daemon
from hostagent.agent.interface import Abandoned, Abandonment, NotPossible
from hostagent.agent.offload import Offloaded
from hostagent.errors import HostagentError, StoreUnavailable
from hostagent.policy.pace import Pace
from hostagent.policy.words import when
from hostagent.store.port import Pause, PauseTarget, Store

R = TypeVar("R")
P = ParamSpec("P")


class Orders:
    """Acts for a daemon. What it refuses comes back as ``NotPossible``."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._world = daemon.world

    async def pause(
        self, uid: int, target: PauseTarget, name: str, until: datetime | None, reason: str
    ) -> None:
        """Set a pause; it holds from now on."""
        is_named = target == PauseTarget.JOB or (target == PauseTarget.BACKLOG and name)
        if is_named and not any(e.job.name == name for e in self._daemon.book):
            raise NotPossible(reason=f'there is no job "{name}"')
        pause = Pause(target, name, reason, f"uid {uid}", self._world.clock.now(), until)
        homes = self._homes(target, name)
        for store in homes:
            await self._order(store, store.it.pause, pause)
        limit = f"until {when(until)}" if until else "until resumed"
        detail = f"{limit}: {reason}"
        await self._world.log(uid, "pause", f"{target} {name}".strip(), detail, homes[-1])

    async def resume(self, uid: int, target: PauseTarget, name: str) -> bool:
        """Lift a pause. What fell due meanwhile was skipped; nothing starts because of this."""
        await self._skip_what_fell_due()
        homes = self._homes(target, name)
        was_paused = [await self._order(one, one.it.resume, target, name) for one in homes]
        await self._world.log(uid, "resume", f"{target} {name}".strip(), "", homes[-1])
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
        """The ledgers that keep a pause.

        This host's own, so that its jobs obey without the store that hosts share; that one, for
        what concerns the cluster.
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

    async def drain(self, uid: int, drains: bool) -> list[str]:
        """Other hosts take what falls due from now on; what runs here ends here."""
        cluster = self._world.cluster
        if not cluster.is_shared:
            raise NotPossible(
                reason="the store is this host's alone: nobody could take over; "
                "to hold everything: hostagent pause --host"
            )
        cluster.is_draining = drains
        await self._world.log(uid, "drain" if drains else "undrain", f"host {self._world.host}")
        if not drains and not self._world.is_cut_off:
            await self._daemon.refresh()
        book = self._daemon.book
        return [e.active.run_id for e in book if e.active is not None and cluster.leases(e)]

    async def reinstate(self, uid: int, job: str, scope: str) -> bool:
        """What fell due in quarantine stays quarantined; the next occurrence runs."""
        entry = self._daemon.book.exactly(job, scope)
        stores = [self._world.store_of(entry)] if entry else self._world.reached()
        for store in stores:
            if await self._order(store, store.it.reinstate, job, scope):
                await self._world.log(uid, REINSTATE, reinstated(job, scope), "", store)
                if entry is not None:
                    await self._daemon.look(entry)
                self._daemon.alarms.look((job, scope))
                return True
        return False

    async def release(self, uid: int, job: str, at_pace: Pace | None) -> list[str]:
        """Lift a hold of the backlog; a job goes now, and all of it settles no more.

        With a pace either goes at that.
        """
        backlog, own = self._daemon.backlog, self._world.own
        entries = backlog.entries(self._daemon.book, job)
        for pause in self._daemon.book.own.pauses:
            if pause.target is PauseTarget.BACKLOG and job in {pause.name, ""}:
                await self._order(own, own.it.resume, pause.target, pause.name)
        if job or at_pace:
            backlog.release(entries, at_pace)
        else:
            backlog.end_settling()
        await self._world.log(
            uid, "backlog release", f"job {job}" if job else "all", str(at_pace or "")
        )
        self._daemon.spawn(self._daemon.release())
        return [entry.title for entry in entries]

    async def abandon(
        self, uid: int, job: str, before: datetime | None, reason: str
    ) -> Abandonment:
        """Give up what the gate holds, and what waits to be tried again.

        Backfills, too, if it is not only up to ``before``.
        """
        given_up = await self._abandon_backfills(uid, job, reason) if before is None else []
        sentence = f"abandoned by uid {uid}: {reason}"
        book, backlog = self._daemon.book, self._daemon.backlog
        for entry in backlog.owing(book, job):
            try:
                async with entry.lock:
                    count, retry = await self._daemon.starts.abandon(entry, before, sentence)
            except HostagentError as error:
                raise NotPossible(reason=f"{entry.title}: {error.message}") from error
            if count or retry:
                given_up.append(Abandoned(name=entry.title, count=count, retry=retry))
                await self._world.log(uid, "backlog abandon", f"job {entry.title}", reason)
                await self._daemon.look(entry)
        return Abandonment(abandoned=given_up, fresh=backlog.fresh(book, job))

    async def _abandon_backfills(self, uid: int, job: str, reason: str) -> list[Abandoned]:
        book, backfills = self._daemon.book, self._daemon.backfills
        given_up = []
        for entry in [one for one in book if job in {one.job.name, ""}]:
            async with entry.lock:
                if (order := book.backfill_of(entry)) is None:
                    continue
                count = len(await backfills.left(entry, order))
                await backfills.end(book, entry)
                self._daemon.backlog.forget(entry)
            name = f"backfill of {entry.title}"
            given_up.append(Abandoned(name=name, count=count, retry=False))
            await self._world.log(
                uid, "backlog abandon", f"job {entry.title}", f"backfill: {reason}"
            )
            await self._daemon.look(entry)
        return given_up
