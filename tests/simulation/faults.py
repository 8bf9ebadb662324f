"""What befalls a simulated cluster: faults at random, one by one or several at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostagent.agent.interface import NotPossible
from hostagent.errors import HostagentError
from tests.simulation import load
from tests.simulation.agent import US
from tests.simulation.host import BOOT_S, Host
from tests.simulation.loop import MICROS
from tests.simulation.store import Weather

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

PARK_S = 600.0


@dataclass(slots=True)
class Disturbance:
    """A host (None: all of them) was not at its best, in true seconds."""

    host: str | None
    kind: str
    since: float
    until: float = float("inf")


class Nemesis:
    """Brings faults on, and heals them. ``disturbances`` are for who judges how long things took.

    A host suffers one fault at a time, but faults of the store and of other hosts go beside it.
    """

    def __init__(self, one: Simulation) -> None:
        self._one = one
        self._rnd = one.rnd
        self._loop = one.loop
        self.counts: Counter[str] = Counter()
        self.disturbances: list[Disturbance] = []
        self._suffering: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._drained: set[str] = set()
        self.parked: list[tuple[str, float]] = []
        self.restarted: list[tuple[str, float]] = []
        self._kinds: dict[str, Callable[[Host], Awaitable[None]]] = {
            "kill agent": self._kill_agent,
            "park": self._park,
            "freeze agent": self._freeze_agent,
            "power cut": self._power_cut,
            "reboot": self._reboot,
            "freeze": self._freeze,
            "suspend": self._suspend,
            "cut": self._cut,
            "slow": self._slow,
            "mute": self._mute,
            "step": self._step,
            "drain": self._drain,
            "apply": self._apply,
            "manual run": self._manual_run,
            "kill job": self._kill_job,
            "store outage": self._store_outage,
            "store step": self._store_step,
        }

    @property
    def is_raging(self) -> bool:
        """Something is wrong just now, by our doing."""
        return bool(self._suffering)

    async def rage(self, until: int) -> None:
        """Faults, so many an hour, until a true time."""
        kinds = self._one.plan.kinds or tuple(self._kinds)
        while self._one.plan.faults:
            pause_s = self._rnd.expovariate(self._one.plan.faults / 3600)
            at = self._loop.true_now + round(pause_s * MICROS)
            if at >= until:
                break
            await self._loop.sleep_until(at)
            self._begin(self._rnd.choice(kinds))
        await self._loop.sleep_until(until)

    def _begin(self, kind: str) -> None:
        free = [host for host in self._one.hosts if host.name not in self._suffering]
        if not free:
            return
        host = self._rnd.choice(free)
        about = kind if kind.startswith("store") else host.name
        if about in self._suffering:
            return
        self.counts[kind] += 1
        task = self._loop.create_task(self._suffer(kind, about, host))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _suffer(self, kind: str, about: str, host: Host) -> None:
        self._one.say(f"--- {kind} {about}")
        self._suffering.add(about)
        is_everywhere = about == kind
        disturbance = Disturbance(None if is_everywhere else host.name, kind, self._now_s)
        self.disturbances.append(disturbance)
        try:
            await self._kinds[kind](host)
        finally:
            disturbance.until = self._now_s
            self._suffering.discard(about)
            self._one.say(f"--- {kind} {about} is over")

    def heal(self) -> None:
        """What goes on comes to its end by itself; what does not is undone."""
        for host in self._one.hosts:
            if host.manifest is not None and host.manifest.jobs != self._one.jobs:
                self._keep(self._apply_until_done(host))
            if host.name in self._drained:
                self._keep(self._ask_drain(host, drains=False))

    def _keep(self, work: Awaitable[None]) -> None:
        async def wait() -> None:
            await work

        task = self._loop.create_task(wait())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def _now_s(self) -> float:
        return self._loop.true_now / MICROS

    async def _pass(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self._rnd.uniform(least_s, most_s))

    # An agent

    async def _kill_agent(self, host: Host) -> None:
        for _ in range(self._rnd.choice((1, 1, 1, 4))):
            self.restarted.append((host.name, self._now_s))
            host.kill_agent()
            await self._pass(0.1, 5)

    async def _park(self, host: Host) -> None:
        self.parked.append((host.name, self._now_s))
        self.restarted.append((host.name, self._now_s))
        host.stop_agent()
        await self._pass(0.5, self._rnd.choice((10, 60, 400)))
        host.start_agent()
        await self._pass(1, 5)
        host.start_agent()

    async def _freeze_agent(self, host: Host) -> None:
        agent = host.agent
        if agent is None:
            return
        agent.process.freeze()
        await self._pass(0.5, self._rnd.choice((5, 20, 90)))
        if agent is host.agent:
            agent.process.thaw()

    # A host

    async def _power_cut(self, host: Host) -> None:
        self.restarted.append((host.name, self._now_s))
        host.power_cut()
        await self._pass(1, self._rnd.choice((BOOT_S, 60, 600)))
        host.boot()
        await self._pass(3, 5)

    async def _reboot(self, host: Host) -> None:
        host.shut_down()
        await self._pass(16, 20)
        host.power_cut()
        await self._pass(1, self._rnd.choice((BOOT_S, 60)))
        host.boot()
        await self._pass(3, 5)

    async def _freeze(self, host: Host) -> None:
        host.freeze()
        await self._pass(0.5, self._rnd.choice((5, 20, 90)))
        host.thaw()
        await self._pass(5, 6)

    async def _suspend(self, host: Host) -> None:
        host.suspend()
        await self._pass(1, self._rnd.choice((5, 20, 600)))
        host.resume()
        await self._pass(5, 6)

    async def _step(self, host: Host) -> None:
        before = host.clock.offset
        by_s = self._rnd.choice((0.3, 0.9, 3, 3600, 86400)) * self._rnd.choice((-1, 1))
        host.clock.step(before + round(by_s * MICROS))
        await self._pass(1, self._rnd.choice((5, 60)))
        host.clock.step(before)
        await self._pass(5, 6)

    # Its way to the store

    async def _weather(self, host: Host, weather: Weather, most_s: float) -> None:
        host.link.weather = weather
        await self._pass(0.5, most_s)
        host.link.weather = Weather.FAIR
        await self._pass(5, 6)

    async def _cut(self, host: Host) -> None:
        await self._weather(host, Weather.CUT, self._rnd.choice((3, 15, 90)))

    async def _slow(self, host: Host) -> None:
        await self._weather(host, Weather.SLOW, self._rnd.choice((10, 60)))

    async def _mute(self, host: Host) -> None:
        await self._weather(host, Weather.MUTE, self._rnd.choice((3, 15, 60)))

    # The store

    async def _store_outage(self, host: Host) -> None:
        for each in self._one.hosts:
            each.link.is_store_down = True
        await self._pass(1, self._rnd.choice((5, 20, 120)))
        for each in self._one.hosts:
            each.link.is_store_down = False
        await self._pass(5, 6)

    async def _store_step(self, host: Host) -> None:
        clock = self._one.clock
        by_s = self._rnd.choice((0.4, 5, 30, 3600)) * self._rnd.choice((-1, 1))
        clock.step(round(by_s * MICROS))
        await self._pass(0.5, self._rnd.choice((3, 30, 60)))
        clock.step(0)
        await self._pass(20, 21)

    # People

    async def _apply(self, host: Host) -> None:
        self._one.jobs = load.change(self._one.jobs, self._rnd)
        for each in self._one.hosts:
            await self._pass(0, 20)
            self._one.apply(each)

    async def _apply_until_done(self, host: Host) -> None:
        while not self._one.apply(host):
            await self._pass(5, 6)

    async def _drain(self, host: Host) -> None:
        await self._ask_drain(host, drains=True)
        await self._pass(1, self._rnd.choice((10, 60)))
        await self._ask_drain(host, drains=False)

    async def _ask_drain(self, host: Host, *, drains: bool) -> None:
        agent = host.agent
        if agent is not None and agent.service is not None:
            (self._drained.add if drains else self._drained.discard)(host.name)
            agent.process.spawn(tried(agent.service.drain(US, drains)))

    async def _manual_run(self, host: Host) -> None:
        agent, job = host.agent, self._rnd.choice(self._one.jobs)
        if agent is None or agent.service is None:
            return
        self._one.history.ordered[job.name] += 1
        if self._rnd.random() < 0.5:
            agent.process.spawn(tried(agent.service.run(US, job.name, "", None)))
        else:
            host.pid1.start(f"hostagent-{job.name}.service")
        await self._pass(0, 1)

    async def _kill_job(self, host: Host) -> None:
        for unit in host.pid1.running()[:1]:
            self._one.history.will_crash(host.name, unit)
            host.pid1.kill_main(unit)
        await self._pass(0, 1)


async def tried(work: Awaitable[object]) -> None:
    """An order that may be refused: whoever gave it reads why."""
    with contextlib.suppress(NotPossible, HostagentError):
        await work
