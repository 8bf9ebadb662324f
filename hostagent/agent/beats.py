"""The beat of an agent in a shared store: it renews the session, and sees whose has ended.

Every quarter of the TTL: renew, have PID 1 move the fence, look at the others, take over what a
lost host held, and read what others changed. All of it can be repeated without harm. The deadline
counts from before the beat was sent; when it has passed, PID 1 stops this host's leased runs
without us, and we only say so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from hostagent.agent.copies import Copies
from hostagent.agent.daemon import Daemon
from hostagent.agent.shared import Line
from hostagent.errors import HostagentError, SystemdError
from hostagent.policy import lease, skew
from hostagent.policy.lease import Lapsed, Seen, Watch
from hostagent.store.port import Over, Presence, Profile, Renewed, Session

log = logging.getLogger(__name__)

LAST_RUNS_S = 8.0
"""How long the agent of a machine that goes down waits for the ends of runs."""

AGAIN_S = 1.0
"""How soon a beat that failed is tried again."""


class Beats:
    """One agent's. ``store`` is a connection of its own: nothing waits before a beat.

    ``profile`` is what this agent tells of itself now; ``renew`` opens a session.
    """

    def __init__(
        self,
        daemon: Daemon,
        store: Line,
        ttl: timedelta,
        profile: Callable[[], Profile],
        renew: Callable[[], Session],
    ) -> None:
        self._daemon = daemon
        self._world = daemon.world
        self._store = store
        self._ttl = ttl
        self._profile = profile
        self._renew = renew
        self._watch = Watch()
        self._samples: tuple[skew.Sample, ...] = ()
        self._generation: int | None = None
        self._is_reached: bool | None = None
        self._copies = Copies(daemon)
        file = self._world.paths.session
        self._before = file.read_text().strip() if file.exists() else None

    async def first(self) -> None:
        """The beat before anything is decided: from here on this host may act, if it succeeds."""
        await self._try()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            pause_s = await self._try()
            await asyncio.sleep(pause_s)

    async def _try(self) -> float:
        """A beat, or a try; how many seconds until the next."""
        pause_s = AGAIN_S
        try:
            pause_s = await self._beat()
        except HostagentError as error:
            self._say_unreached(f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception:
            log.exception("this is a bug in hostagent; the agent goes on")
        await self.check()
        return pause_s

    async def stop(self) -> None:
        """The last beat: a session with claims is parked, one without is over at once.

        On a machine that goes down, PID 1 stops the runs, too: they are seen to their end, and
        nothing is parked.
        """
        cluster, store = self._world.cluster, self._store
        if cluster.session is None or self._world.is_cut_off:
            return  # what it holds is not known, or cannot be told: the fence stands as it is
        is_stopping = await self._is_going_down()
        if is_stopping:
            await self._daemon.see_off(LAST_RUNS_S)
        cluster.deadline_s = None  # callers that are still served claim nothing from here on
        if not await self._holds(cluster.session):
            await store.call(store.it.close_session, cluster.session)
            self._world.paths.session.unlink(missing_ok=True)
            await self._world.fence.drop()
            return
        if is_stopping:
            return  # what did not end in time is taken over when the lease runs out
        sent_s = self._world.clock.boottime_s()
        answer = await store.call(store.it.beat, cluster.session, ttl=lease.PARK)
        if isinstance(answer, Renewed):
            cluster.deadline_s = lease.deadline_s(sent_s, lease.PARK)
            await self._world.fence.move(cluster.deadline_s, is_needed=True)

    async def _holds(self, session: Session) -> bool:
        """Whether something hangs on the session, or may: some claims were not heard of here."""
        if self._daemon.holds_leases() or self._world.fence.is_claiming:
            return True
        return bool(await self._store.call(self._store.it.held, session.id))

    async def _is_going_down(self) -> bool:
        systemd = self._world.systemd
        try:
            return await systemd.call(systemd.it.is_stopping)
        except SystemdError:  # the bus went before us
            return True

    async def check(self) -> None:
        """The deadline may have passed: while the store was away, or while this host slept."""
        cluster, clock = self._world.cluster, self._world.clock
        if cluster.deadline_s is not None and not cluster.may_act(clock.boottime_s()):
            cluster.deadline_s = None
            await self._daemon.lose_leases("this host's lease ran out: the store was not reached")

    async def _beat(self) -> float:
        """One beat and what follows from its answer; how many seconds until the next."""
        await self.check()
        clock, cluster, store = self._world.clock, self._world.cluster, self._store
        session = cluster.session or await self._open()
        sent_s, sent_at = clock.boottime_s(), clock.now()
        answer = await store.call(store.it.beat, session, ttl=self._ttl, profile=self._profile())
        if isinstance(answer, Over):
            await self._begin_anew()
            return 0
        await self.check()  # the fence does not wait for an answer that is under way
        took = timedelta(seconds=clock.boottime_s() - sent_s)
        was_barred = self._daemon.starts.barred() is not None
        self._measure(skew.measured(sent_at, took, answer.now))
        deadline_s = lease.deadline_s(sent_s, self._ttl)
        self._say_reached()
        await self._world.fence.move(deadline_s, is_needed=self._daemon.holds_leases())
        cluster.deadline_s = deadline_s
        again_s = await self._observe()
        await self._daemon.reconcile(await store.call(store.it.held, session.id))
        is_back = was_barred and self._daemon.starts.barred() is None
        if is_back or answer.generation != self._generation:
            self._generation = answer.generation
            await self._daemon.refresh(everything=is_back)
        else:
            await self._daemon.look_elsewhere()
        self._copies.look()
        return again_s

    async def _open(self) -> Session:
        """Go on with the session of the agent before us, or begin one."""
        session = self._world.cluster.session = await self._store.call(self._renew)
        if self._before not in {None, session.id}:
            await self._world.fence.fall()  # what still runs is the claim of a session that is over
        return session

    async def _begin_anew(self) -> None:
        """Others ended this session: its claims are theirs, and nothing of it may go on here."""
        cluster, store = self._world.cluster, self._store
        cluster.deadline_s = None
        await self._daemon.lose_leases("this host's lease was revoked: others took over")
        cluster.session = await store.call(self._renew)
        log.warning("this session was over; another one is open")

    async def _observe(self) -> float:
        """See whose lease has lapsed, and take over; how many seconds until the next look."""
        world, store = self._world, self._store
        found = await store.call(store.it.sessions)
        others = [one for one in found if one.session.host != world.host]
        world.cluster.others = tuple(one for one in others if one.is_live)
        self._daemon.alarms.look_at_hosts()
        now_s = world.clock.boottime_s()
        verdict = self._watch.look(now_s, (_seen(one) for one in others if one.claims))
        self._watch = verdict.watch
        for lapsed in verdict.lapsed:
            await self._take_over(lapsed)
        every_s = lease.beat_every(self._ttl).total_seconds()
        if verdict.again_at_s is None:
            return every_s
        return min(every_s, max(0.05, verdict.again_at_s - world.clock.boottime_s()))

    async def _take_over(self, lapsed: Lapsed) -> None:
        store = self._store
        if await store.call(store.it.revoke, lapsed.session, lapsed.beat):
            for run in await store.call(store.it.held, lapsed.session):
                await self._daemon.take_over(run, lapsed.reason)

    def _measure(self, sample: skew.Sample) -> None:
        self._samples = skew.kept(self._samples, sample)
        cluster = self._world.cluster
        cluster.offset = skew.best(self._samples)
        verdict = skew.decide(cluster.offset.theta, cluster.offset.error)
        if cluster.skew is None or verdict.skew is not cluster.skew.skew:
            level = logging.INFO if verdict.skew is skew.Skew.OK else logging.WARNING
            log.log(level, "%s", verdict.reason)
        cluster.skew = verdict

    def _say_unreached(self, why: str) -> None:
        self._world.cluster.lose(self._world.clock.monotonic_s(), why)
        if self._world.shared is not None:
            self._world.shared.give_up()
        if self._is_reached is not False:
            log.warning("this host's lease is not renewed: %s; runs of the cluster wait", why)
            self._is_reached = False
            self._daemon.on_change()
        self._daemon.alarms.reach.look()

    def _say_reached(self) -> None:
        """A wake, if this host's lease had run out: a store that falters every minute is none."""
        cluster = self._world.cluster
        cluster.find()
        if self._is_reached is False:
            log.warning("this host's lease is renewed again")
            self._is_reached = True
            if not cluster.may_act(self._world.clock.boottime_s()):
                self._daemon.backlog.woke("the store was away")
            self._daemon.on_change()
        self._is_reached = True
        self._daemon.alarms.reach.look()


def _seen(one: Presence) -> Seen:
    return Seen(one.session.id, one.session.host, one.beat, one.ttl, one.has_expired)
