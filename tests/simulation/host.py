"""A simulated host: clocks, a PID 1, a way to the store, an agent; and what can befall it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from hostagent.host import paths
from hostagent.model import Manifest
from hostagent.policy.backlog import Limits, Signals
from hostagent.policy.outcome import Ended
from tests.simulation.agent import US, Agent, Surroundings
from tests.simulation.clocks import HostClock
from tests.simulation.history import History
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.pid1 import Behaviour, Pid1, UnitFile
from tests.simulation.store import Link, OwnLedger

RESTART_S = 0.5
BOOT_S = 10.0


class Host:
    """Everything of one host that outlives its agent, and of it what outlives a boot."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        rnd: Random,
        place: Path,
        around: Surroundings,
        history: History,
        offset: int = 0,
    ) -> None:
        self.name = name
        self.loop = loop
        self.paths = paths.system(place / name)
        self.clock = HostClock(loop, offset)
        self.link = Link(rnd)
        self.paths.state.mkdir(parents=True)
        self.ledger = OwnLedger(self.paths.state / "own.db", self.clock.now, rnd)
        self.journal: dict[str, Ended] = {}
        self.manifest: Manifest | None = None
        self.agent: Agent | None = None
        self.is_up = self.is_still = self.is_ready = False
        self.beats = 0
        self.signals, self.limits = Signals(), Limits(settle=timedelta(0))
        self.boot_id = ""
        self._rnd = rnd
        self._around = around
        self._history = history
        self._stamps: dict[str, Any] = {}
        self._files: tuple[UnitFile, ...] = ()
        self._queue: list[tuple[str, str, asyncio.Future[bool]]] = []
        self._answers: set[asyncio.Future[bool]] = set()
        self._wants_agent = True

    # The machine

    def boot(self) -> None:
        """The kernel and PID 1 come up; PID 1 starts the timers and the agent."""
        shutil.rmtree(self.paths.runtime, ignore_errors=True)
        for place in (self.paths.env_files, self.paths.reports):
            place.mkdir(parents=True)
        self.boot_id = f"{self._rnd.getrandbits(128):032x}"
        self.kernel = Process(self.loop, f"kernel of {self.name}")
        self.clock.boot()
        self.is_up, self.is_ready, self._wants_agent = True, False, True
        self.pid1 = Pid1(
            self.loop,
            self.clock,
            self._rnd,
            self.kernel,
            self.paths.env_files,
            _Jobs(self, self._history),
            self.admit,
            lambda: self.is_ready,
            self._stamps,
            self.journal,
            say=self._history.say,
        )
        self.pid1.deploy(self._files)
        self.kernel.later(self._rnd.uniform(0.2, 2), self.start_agent)

    def shut_down(self) -> None:
        """PID 1 stops everything, the agent too; the power goes some seconds later."""
        self.pid1.shut_down()
        self.stop_agent()

    def power_cut(self) -> None:
        """Everything is gone at once."""
        self.is_up = False
        for unit in self.pid1.running():
            self._history.last_sign(self.name, unit)
        if self.agent is not None:
            self.agent.kill()
            self.agent = None
        self.kernel.kill()
        self._queue.clear()
        self._answers.clear()

    def end(self) -> None:
        """The simulation is over."""
        for process in self._processes():
            process.kill()

    def deploy(self, manifest: Manifest, files: tuple[UnitFile, ...]) -> None:
        """The files of an apply are in place; PID 1 has read them."""
        self.manifest, self._files = manifest, files
        if self.is_up:
            self.pid1.deploy(files)

    # Standing still

    def freeze(self) -> None:
        """All processes stop (a paused container); the clocks go on."""
        self._stand_still()
        for process in self._processes():
            process.freeze()

    def thaw(self) -> None:
        """And go on."""
        for process in self._processes():
            process.thaw()
        self._go_on()

    def suspend(self) -> None:
        """The machine sleeps, and CLOCK_MONOTONIC with it."""
        self._stand_still()
        self.clock.suspend()
        for process in self._processes():
            process.suspend()

    def resume(self) -> None:
        """It wakes up; the kernel's timers see the clock set."""
        for process in self._processes():
            process.resume()
        self.clock.resume()
        self._go_on()

    def _stand_still(self) -> None:
        self.is_still = True
        self._history.stands_still(self.name, self.loop.true_now)
        self.pid1.pause_jobs()

    def _go_on(self) -> None:
        self.is_still = False
        self._history.goes_on(self.name, self.loop.true_now)
        self.pid1.resume_jobs()

    def _processes(self) -> list[Process]:
        return [self.kernel, *([self.agent.process] if self.agent else [])]

    # The agent's unit

    def start_agent(self) -> None:
        """Have PID 1 start hostagent.service, unless it is up."""
        self._wants_agent = True
        if self.agent is None:
            self.agent = Agent(self, self._around)
            self.agent.start(self._agent_ended)

    def stop_agent(self) -> None:
        """``systemctl stop``: ready goes, the session is parked."""
        self._wants_agent = False
        if self.agent is not None:
            self.agent.stop()
            self.kernel.later(15, self._kill_if_it_still_stops, self.agent)

    def kill_agent(self) -> None:
        """SIGKILL; PID 1 starts another one."""
        if self.agent is not None:
            self.agent.kill()
            self._agent_ended(None)

    def _kill_if_it_still_stops(self, agent: Agent) -> None:
        if agent is self.agent:
            self.kill_agent()

    def _agent_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self._history.agent_failed(self.name, error)
        if self.agent is not None:
            self.agent.kill()
        self.agent = None
        self.hang_up()
        if self._wants_agent:
            self.kernel.later(RESTART_S, self.start_agent)
        else:
            self.is_ready = False

    # Its socket

    def admit(self, unit: str, invocation: str) -> asyncio.Future[bool]:
        """A client connects: it is served, or waits in the socket until somebody does."""
        future: asyncio.Future[bool] = self.loop.create_future()
        self._queue.append((unit, invocation, future))
        if self.agent is not None and self.agent.service is not None:
            self.agent.process.soon(self.serve)
        return future

    def serve(self) -> None:
        """The agent takes up who waits; the kernel hands over what a client asked that has gone."""
        agent = self.agent
        if agent is None or agent.service is None:
            return
        waiting, self._queue = self._queue, []
        for unit, invocation, future in waiting:
            self._answers.add(future)
            future.add_done_callback(self._answers.discard)
            agent.process.spawn(self._answer(agent, unit, invocation, future))

    async def _answer(
        self, agent: Agent, unit: str, invocation: str, future: asyncio.Future[bool]
    ) -> None:
        assert agent.service is not None
        try:
            answer = await agent.service.admit(US, unit, invocation)
        except Exception as error:
            self._history.agent_failed(self.name, error)
            raise
        if not future.done():
            future.set_result(answer["admitted"])

    def hang_up(self) -> None:
        """Those who were being served get no answer."""
        for future in list(self._answers):
            if not future.done():
                future.set_result(False)
        self._answers.clear()


class _Jobs:
    """What the host's jobs do, as the history's dice say."""

    def __init__(self, host: Host, history: History) -> None:
        self._host = host
        self._history = history

    def start(self, unit: str, env: Mapping[str, str]) -> Behaviour:
        return self._history.start(self._host.name, unit, env)

    def stop(self, unit: str, *, is_end: bool) -> None:
        self._history.stop(self._host.name, unit, is_end=is_end)

    def is_queued(self, unit: str) -> None:
        self._history.ordered[unit.removeprefix("hostagent-").removesuffix(".service")] += 1
