"""Being told: what is wrong with any job of the store, seen by any live agent, told once.

``policy.diagnosis`` decides, by the ledger and what goes on here. Looked at is what has just ended,
here, at once, where its duration or its outcome may be news; what may have overrun, or hangs;
everything when this agent starts, when the store says that something changed, and when hosts come
or go; and, by the host whose turn it is (``place.watcher``), what may have become silent: at that
very instant, for which the agent wakes. Who changes an alarm in the store tells it (``outbox``).
Nothing here ever holds up a job: it is a task of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Any

from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book, spec_of
from hostagent.agent.hung import Hung
from hostagent.agent.tell.drift import Drift
from hostagent.agent.tell.live_runs import LiveRuns
from hostagent.agent.tell.outbox import Outbox
from hostagent.agent.tell.reach import Reach
from hostagent.agent.tell.this_host import ThisHost
from hostagent.agent.tell.verdicts import Name, Question, Watched, verdicts_of, watched_of
from hostagent.agent.world import World
from hostagent.errors import HostagentError, StoreUnavailable
from hostagent.model import Alarm, Run, RunOn
from hostagent.policy import early
from hostagent.policy.durations import Usual
from hostagent.policy.place import watcher
from hostagent.policy.trouble import LiveRun, Verdict

AT_ONCE = 5
"""How many names one call to the store is about: admissions wait behind it."""

AGAIN = timedelta(seconds=30)
"""When to try again what the store refused."""

LONGEST = timedelta(hours=1)
"""The longest sleep: the loop's clock stands still while the host is suspended."""

log = logging.getLogger(__name__)


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
        self._store = world.shared or world.own
        """The one that knows of all: hosts copy into it what they keep themselves."""
        self._outbox = Outbox(world, self._store, book, spawn, self.look)
        self.going = LiveRuns(book, hung, self.look)
        self.drift = Drift(world, self.look_at_host)
        self._host = ThisHost(world, book, backlog, self.drift)
        self.reach = Reach(world, self._host, book, spawn)
        self._watched: dict[Name, Watched] = {}
        self._usual: dict[Name, Usual | None] = {}
        self._asked: set[Name] = set()
        self._plain: set[Name] = set()
        self._is_all = True
        self._hosts: frozenset[str] = frozenset()
        self._call = asyncio.Event()

    # When to look

    def ended(self, run: Run) -> None:
        """A run ended; the store knows it. A usual success is news where an alarm stands."""
        name = run.job, run.scope
        one = self._watched.get(name)
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
        """What waits here, its clock, its units, or what others have deployed may be another."""
        host = self._host
        host.observe()
        if self._outbox.is_news(host.name, self._verdict(), host.told()):
            self.look(host.name)

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
        found = self.reach.standing()
        with contextlib.suppress(HostagentError):
            found += await self._outbox.stored()
        return [one for one in found if one.over_at is None]

    # Looking

    async def _pass(self) -> timedelta:
        """One look; how long until the next."""
        now, is_all = self._now(), self._is_all
        asked, self._asked = self._asked, set()
        plain, self._plain = self._plain, set()
        try:
            if is_all:
                self._is_all, self._hosts = False, self._peers()
                await self._watch()
            asked |= {n for n, one in self._watched.items() if is_due(one.again_at, now)}
            if is_all or asked or plain or is_due(self._outbox.due_at(), now):
                await self._look(asked, plain, is_all=is_all)
        except HostagentError:
            self._asked |= asked | plain
            raise
        return self._pause()

    async def _look(self, asked: set[Name], plain: set[Name], *, is_all: bool) -> None:
        await self._outbox.read()
        await self._forget()
        if is_all:
            self._host.doubt(self._outbox.standing.get(self._host.name))
        watched, alarms = self._watched, self._outbox.standing
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
            await self._outbox.judge(self._host.name, self._verdict(), self._host.told())
        await self._outbox.try_again()

    def _verdict(self) -> Verdict:
        """On this host."""
        return self._host.verdict(self._outbox.standing.get(self._host.name))

    def _question(self, name: Name, going: LiveRun | None, is_thorough: bool) -> Question:
        one, standing = self._watched[name], self._outbox.standing.get(name)
        is_others = one.job.run_on is RunOn.EACH and self._book().exactly(*name) is None
        woke_at = self._host.woke_at(self._now())
        return Question(one.job, one.since, standing, going, is_others, is_thorough, woke_at)

    def _is_mine(self, name: Name) -> bool:
        """Whether it is this host's turn to see that it is silent."""
        return watcher(*name, self._hosts) == self._world.host

    async def _watch(self) -> None:
        """Know every (job, scope) whose job this host knows, too, and since when it is due."""
        specs = await self._store.call(self._store.it.specs)
        self._watched = watched_of(specs, self._book().manifest)

    async def _forget(self) -> None:
        """Alarms of what is no longer due anywhere are over, and nobody waits for that."""
        alarms = self._outbox.standing.keys()
        for name in [name for name in alarms if not name[0] and name[1] not in self._host.live()]:
            await self._outbox.change(name, None, "the host is gone")
        gone = {name for name in alarms - self._watched.keys() if name[0]}
        if not gone:
            return
        specs = await self._store.call(self._store.it.specs)
        due = {(spec.job, s) for spec in specs if spec.valid_to is None for s in spec.scopes}
        for name in gone - due:
            await self._outbox.change(name, None, "it is no longer due")

    async def _judge(self, asked: Mapping[Name, Question]) -> None:
        """Begin, change or end the alarms of these."""
        now, store = self._now(), self._store
        verdicts = await store.call(verdicts_of, store.it, asked, now)
        for name, verdict in verdicts.items():
            one = self._watched[name]
            silent_at = verdict.again_at if self._is_mine(name) else None
            one.again_at = min(filter(None, (silent_at, verdict.overruns_at)), default=None)
            if asked[name].is_thorough:
                self._usual[name] = verdict.usual
            await self._outbox.judge(name, verdict, one.job.on_failure)

    def _pause(self) -> timedelta:
        """Until the next instant at which there may be anything to do."""
        times = [*(one.again_at for one in self._watched.values()), self._outbox.due_at()]
        at = min((time for time in times if time is not None), default=None)
        return LONGEST if at is None else min(at - self._now(), LONGEST)

    def _peers(self) -> frozenset[str]:
        """The live hosts that know the same jobs, this one among them."""
        cluster, spec = self._world.cluster, spec_of(self._book())
        others = (one for one in cluster.others if not one.has_expired and one.profile.spec == spec)
        return frozenset({self._world.host, *(one.session.host for one in others)})

    def _now(self) -> datetime:
        return self._outbox.now()


def is_due(at: datetime | None, now: datetime) -> bool:
    """Whether its time has come."""
    return at is not None and at <= now
