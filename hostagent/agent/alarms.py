"""Being told: what is wrong with any job of the store, seen by any live agent, told once.

``policy.diagnosis`` decides, by the ledger and what goes on here. Looked at is what has just ended,
here, at once, where its duration or its outcome may be news; what may have overrun, or hangs;
everything when this agent starts, when the store says that something changed, and when hosts come
or go; and, by the host whose turn it is (``place.watcher``), what may have become silent: at that
very instant, for which the agent wakes. Who changes an alarm in the store, by compare-and-set,
tells it. Nothing here ever holds up a job: it is a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book, spec_of
from hostagent.agent.hung import Hung
from hostagent.agent.live_runs import LiveRuns
from hostagent.agent.messages import ALARM, alarm_fields
from hostagent.agent.offload import Offloaded
from hostagent.agent.telling import Telling
from hostagent.agent.this_host import ThisHost
from hostagent.agent.verdicts import Name, Question, Watched, verdicts_of, watched_of
from hostagent.agent.world import World
from hostagent.errors import HostagentError, StoreUnavailable
from hostagent.model import Alarm, Run, RunOn
from hostagent.policy import alarms as policy
from hostagent.policy import early
from hostagent.policy.durations import Usual
from hostagent.policy.place import watcher
from hostagent.policy.trouble import LiveRun
from hostagent.store.port import Store

AT_ONCE = 5
"""How many names one call to the store is about: admissions wait behind it."""

AGAIN = timedelta(seconds=30)
"""When to try again what the store refused."""

LONGEST = timedelta(hours=1)
"""The longest sleep: the loop's clock stands still while the host is suspended."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Seen:
    """What the last look at the store showed."""

    watched: dict[Name, Watched] = field(default_factory=dict)
    alarms: dict[Name, Alarm] = field(default_factory=dict)


class Alarms:
    """One agent's. ``book`` gives what is deployed; ``spawn`` goes on beside everything else."""

    def __init__(
        self,
        world: World,
        book: Callable[[], Book],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        hung: Hung,
        backlog: Backlog,
    ) -> None:
        self._world = world
        self._book = book
        self._spawn = spawn
        self.going = LiveRuns(book, hung, self.look)
        self._host = ThisHost(world, book, backlog)
        self._seen = Seen()
        self._usual: dict[Name, Usual | None] = {}
        self._asked: set[Name] = set()
        self._plain: set[Name] = set()
        self._is_all = True
        self._hosts: frozenset[str] = frozenset()
        self._call = asyncio.Event()
        self._telling = Telling(world)

    # When to look

    def ended(self, run: Run) -> None:
        """A run ended; the store knows it. A usual success is news where an alarm stands."""
        name = run.job, run.scope
        one = self._seen.watched.get(name)
        is_news = one is None or early.may_tell(one.job, run, self._usual.get(name))
        self.look(name, is_plain=not is_news)

    def look(self, name: Name, *, is_plain: bool = False) -> None:
        """See how it stands now; what ``is_plain`` is news only where an alarm stands."""
        (self._plain if is_plain else self._asked).add(name)
        self._call.set()

    def look_at_all(self) -> None:
        """What is due, or what people ordered, may be another."""
        self._is_all = True
        self._call.set()

    def look_at_hosts(self) -> None:
        """A beat: whose turn it is follows from who is there."""
        if self._peers() != self._hosts:
            self.look_at_all()
        self.look_at_host()

    def look_at_host(self) -> None:
        """What waits here, its clock, or what others have deployed may be another."""
        if self._host.is_news(self._seen.alarms.get(self._host.name)):
            self.look(self._host.name)

    async def run(self) -> None:
        """Look whenever it is time, until cancelled."""
        while True:
            pause = AGAIN
            try:
                pause = await self._pass()
            except StoreUnavailable:
                self._is_all = True  # a beat says it; what was asked for is among all
            except HostagentError as error:
                self._is_all = True
                hint = f" ({error.hint})" if error.hint else ""
                log.error("alarms wait: %s%s", error.message, hint)  # noqa: TRY400 -- for people
            except Exception:
                log.exception("this is a bug in hostagent; the agent goes on")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._call.wait(), max(pause.total_seconds(), 0))
            self._call.clear()

    async def standing(self) -> list[Alarm]:
        """Those that stand now, as far as the store is reached."""
        with contextlib.suppress(HostagentError):
            return [one for one in await self._read() if one.over_at is None]
        return []

    # Looking

    @property
    def _store(self) -> Offloaded[Store]:
        """The one that knows of all: hosts copy into it what they keep themselves."""
        return self._world.shared or self._world.own

    async def _read(self) -> list[Alarm]:
        return await self._store.call(self._store.it.alarms)

    async def _pass(self) -> timedelta:
        """One look; how long until the next."""
        now, is_all = self._now(), self._is_all
        asked, self._asked = self._asked, set()
        plain, self._plain = self._plain, set()
        try:
            if is_all:
                self._is_all, self._hosts = False, self._peers()
                await self._watch()
            watched = self._seen.watched
            asked |= {name for name, one in watched.items() if is_due(one.again_at, now)}
            known = self._seen.alarms.values()
            if is_all or asked or plain or any(is_due(one.due_at, now) for one in known):
                await self._look(asked, plain, is_all=is_all)
        except HostagentError:
            self._asked |= asked | plain
            raise
        return self._pause()

    async def _look(self, asked: set[Name], plain: set[Name], *, is_all: bool) -> None:
        self._seen.alarms = {(one.job, one.scope): one for one in await self._read()}
        await self._forget()
        watched, alarms = self._seen.watched, self._seen.alarms
        going = self.going.now()
        names = asked | (plain & alarms.keys())
        if is_all:
            names |= alarms.keys() | going.keys() | set(filter(self._is_mine, watched))
        thorough = asked | alarms.keys() | going.keys()
        found = sorted(names & watched.keys())
        for first in range(0, len(found), AT_ONCE):
            some = found[first : first + AT_ONCE]
            await self._judge({n: self._question(n, going.get(n), n in thorough) for n in some})
        if is_all or self._host.name in asked:
            await self._judge_host()
        await self._try_again()

    def _question(self, name: Name, going: LiveRun | None, is_thorough: bool) -> Question:
        one, standing = self._seen.watched[name], self._seen.alarms.get(name)
        is_others = one.job.run_on is RunOn.EACH and self._book().exactly(*name) is None
        return Question(one.job, one.since, standing, going, is_others, is_thorough)

    def _is_mine(self, name: Name) -> bool:
        """Whether it is this host's turn to see that it is silent."""
        return watcher(*name, self._hosts) == self._world.host

    async def _watch(self) -> None:
        """Know every (job, scope) whose job this host knows, too, and since when it is due."""
        specs = await self._store.call(self._store.it.specs)
        self._seen.watched = watched_of(specs, self._book().manifest)

    async def _forget(self) -> None:
        """Alarms of what is no longer due anywhere are over, and nobody waits for that."""
        alarms = self._seen.alarms.keys()
        for name in [name for name in alarms if not name[0] and name[1] not in self._host.live()]:
            await self._change(name, None, "the host is gone")
        gone = {name for name in alarms - self._seen.watched.keys() if name[0]}
        if not gone:
            return
        specs = await self._store.call(self._store.it.specs)
        due = {(spec.job, s) for spec in specs if spec.valid_to is None for s in spec.scopes}
        for name in gone - due:
            await self._change(name, None, "it is no longer due")

    async def _judge(self, asked: Mapping[Name, Question]) -> None:
        """Begin, change or end the alarms of these."""
        now, store = self._now(), self._store
        verdicts = await store.call(verdicts_of, store.it, asked, now)
        for name, verdict in verdicts.items():
            one = self._seen.watched[name]
            silent_at = verdict.again_at if self._is_mine(name) else None
            one.again_at = min(filter(None, (silent_at, verdict.overruns_at)), default=None)
            if asked[name].is_thorough:
                self._usual[name] = verdict.usual
            before = self._seen.alarms.get(name)
            after = policy.step(before, name, verdict, one.job.on_failure, now)
            if after != before:
                await self._change(name, after, verdict.relief)

    async def _judge_host(self) -> None:
        """Begin, change or end the alarm of this host."""
        before = self._seen.alarms.get(self._host.name)
        verdict = self._host.verdict(before)
        after = policy.step(before, self._host.name, verdict, self._host.told(), self._now())
        if after != before:
            await self._change(self._host.name, after, verdict.relief)

    async def _change(self, name: Name, after: Alarm | None, relief: str) -> None:
        """If nobody else has: say it, and tell those who are to be told."""
        store, before = self._store, self._seen.alarms.get(name)
        if not await store.call(store.it.change_alarm, before, after):
            self.look(name)  # another host was faster: it tells
            return
        self._keep(name, after)
        if after is not None:
            self._record(after)
            self._tell(after)
        elif before is not None and before.over_at is None:
            self._record(replace(before, over_at=self._now(), reason=relief))

    def _keep(self, name: Name, alarm: Alarm | None) -> None:
        if alarm is None:
            self._seen.alarms.pop(name, None)
        else:
            self._seen.alarms[name] = alarm

    async def _try_again(self) -> None:
        """Who could not be reached, or whose teller was lost."""
        now, store = self._now(), self._store
        for name, alarm in list(self._seen.alarms.items()):
            if not is_due(alarm.due_at, now):
                continue
            taken = policy.taken(alarm, now)
            if await store.call(store.it.change_alarm, alarm, taken):
                self._keep(name, taken)
                self._tell(taken)
            else:
                self.look(name)

    def _pause(self) -> timedelta:
        """Until the next instant at which there may be anything to do."""
        times = [one.again_at for one in self._seen.watched.values()]
        times += [one.due_at for one in self._seen.alarms.values()]
        at = min((time for time in times if time is not None), default=None)
        return LONGEST if at is None else min(at - self._now(), LONGEST)

    def _peers(self) -> frozenset[str]:
        """The live hosts that know the same jobs, this one among them."""
        cluster, spec = self._world.cluster, spec_of(self._book())
        others = (one for one in cluster.others if not one.has_expired and one.profile.spec == spec)
        return frozenset({self._world.host, *(one.session.host for one in others)})

    def _now(self) -> datetime:
        """The store's clock, as far as it is known."""
        return self._world.cluster.by_store(self._world.clock.now())

    def _record(self, alarm: Alarm) -> None:
        self._world.record(policy.sentence(alarm), alarm_fields(alarm, ALARM))

    def _tell(self, alarm: Alarm) -> None:
        if alarm.untold:
            self._spawn(self._tell_all(alarm))

    async def _tell_all(self, alarm: Alarm) -> None:
        """And note how far people know it. While it takes, nobody else tells it."""
        store, name = self._store, (alarm.job, alarm.scope)
        manifest = self._book().manifest
        work = asyncio.ensure_future(self._telling.tell(alarm, manifest, self._now()))
        try:
            while not (await asyncio.wait({work}, timeout=policy.HOLD.total_seconds() / 3))[0]:
                with contextlib.suppress(StoreUnavailable):
                    held = policy.held(alarm, self._now())
                    if await store.call(store.it.change_alarm, alarm, held):
                        alarm = held
                        self._keep(name, held)
            told = work.result()
            after = policy.tried(alarm, told.reached, self._now(), told.quiet)
        finally:
            work.cancel()
        if await store.call(store.it.change_alarm, alarm, after):
            self._keep(name, after)
        self.look(name)


def is_due(at: datetime | None, now: datetime) -> bool:
    """Whether its time has come."""
    return at is not None and at <= now
