"""The agent of one simulated host: the real daemon, put together as agent/wiring.py does it.

What is not here is the process around it: signals, the socket, sd_notify. Admissions and orders
come as calls of ``AgentService``, which is the product's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from hostagent import __version__
from hostagent.agent.beats import Beats
from hostagent.agent.cluster import Cluster
from hostagent.agent.daemon import Daemon
from hostagent.agent.fence import Fence
from hostagent.agent.service import AgentService
from hostagent.agent.shared import Line, Shared
from hostagent.agent.world import World
from hostagent.codec import content_hash
from hostagent.errors import HostagentError
from hostagent.host.peer import Peer
from hostagent.policy import lease
from hostagent.policy.backlog import Wake
from hostagent.policy.hung import HUNG_AFTER
from hostagent.store.port import Profile, Session, Store
from hostagent.systemd.beside import Done
from hostagent.systemd.port import Systemd
from tests.simulation.clocks import FakeWallTimer
from tests.simulation.loop import Process
from tests.simulation.pid1 import Connection
from tests.simulation.store import Line as Wire
from tests.simulation.store import at_once

if TYPE_CHECKING:
    from tests.simulation.host import Host

RETENTION = timedelta(days=400)
LOST_HINTS = 0.01
US = Peer(os.getpid(), os.getuid(), os.getgid())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every agent of a simulation gets: its store, its TTL, its dice."""

    store: Store
    ttl: timedelta
    rnd: Random
    record: Callable[[str, dict[str, str]], None]


class Agent:
    """One process of ``hostagent agent run``."""

    def __init__(self, host: Host, around: Surroundings) -> None:
        self.host = host
        self.process = Process(host.loop, f"agent of {host.name}")
        self.service: AgentService | None = None
        self.daemon: Daemon | None = None
        self._around = around
        self._stopping = asyncio.Event()
        self._connections: list[Connection] = []
        self._lines: list[Wire[Store]] = []

    def start(self, on_exit: Callable[[BaseException | None], None]) -> None:
        """Run; ``on_exit`` is told how it ended, unless it is killed."""
        task = self.process.spawn(self._run())
        task.add_done_callback(lambda done: on_exit(done.exception()), context=self.process.context)

    def kill(self) -> None:
        """SIGKILL: PID 1 and the store see the connections go."""
        self.process.kill()
        self._hang_up()

    def stop(self) -> None:
        """SIGTERM."""
        self.process.soon(self._stopping.set)

    @property
    def is_idle(self) -> bool:
        """It only waits: nothing is asked, and nobody elsewhere is waited for."""
        if self.daemon is None or self.service is None or self._stopping.is_set():
            return False
        book, cluster = self.daemon.book, self.daemon.world.cluster
        return (
            cluster.deadline_s is not None
            and all(line.is_idle for line in self._lines)
            and not any(entry.waits_elsewhere or entry.lock.locked() for entry in book)
        )

    async def _run(self) -> None:
        host, around = self.host, self._around
        try:
            cluster = Cluster(host.name, ttl=around.ttl)
            shared, beating = Shared(self._line(), cluster), Line(self._line(), lease.BEAT_ABORT)
            own = Wire[Store](host.ledger, host.loop, self.process, at_once(around.rnd))
            session = await own.call(self._open_own_session)
            systemd = Wire[Systemd](
                self._connect(0.0), host.loop, self.process, at_once(around.rnd)
            )
            world = World(
                paths=host.paths,
                host=host.name,
                boot_id=host.boot_id,
                booted_at=systemd.it.booted_at(),
                wake=Wake(host.clock.boottime_s()),
                keep_wake=lambda _: None,
                cores=4,
                limits=host.limits,
                signals=lambda: host.signals,
                hung_after=HUNG_AFTER,
                retention=RETENTION,
                clock=host.clock,
                own=own,
                shared=shared,
                session=session,
                systemd=systemd,
                cluster=cluster,
                fence=Fence(systemd, host.clock, is_kept=True),
                record=around.record,
                journal_end=host.journal.get,
                journal_tail=lambda *_: [],
                beside=_as_applied,
            )
            timer = FakeWallTimer(host.clock)
            signals = self._connect(LOST_HINTS)
            daemon = self.daemon = Daemon(world, signals, timer, lambda: host.manifest)
            await self._beating(daemon, beating)
            timer.close()
        finally:
            self._hang_up()

    async def _beating(self, daemon: Daemon, store: Line) -> None:
        beats = Beats(
            daemon, store, self._around.ttl, lambda: self._profile(daemon), self._open_session
        )
        await beats.first()
        daemon.on_step = beats.check
        work = asyncio.get_running_loop().create_task(beats.run())
        failure: HostagentError | None = None
        try:  # no ``finally``: a process that is killed does nothing any more
            await self._serve(daemon)
        except HostagentError as error:
            failure = error
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        try:
            await beats.stop()
        except HostagentError as error:
            self._around.record(f"the session could not be parked: {error.message}", {})
        if failure is not None:
            raise failure

    async def _serve(self, daemon: Daemon) -> None:
        self.host.is_ready = True
        await daemon.start()
        self.service = AgentService(daemon, may_ask=lambda *_, **__: True)
        self.host.serve()
        await self._stopping.wait()
        self.service = None
        self.host.hang_up()
        await daemon.stop()

    def _line(self) -> Wire[Store]:
        host = self.host
        line = Wire(self._around.store, host.loop, self.process, host.link.fate)
        self._lines.append(line)
        return line

    def _connect(self, loses: float) -> Connection:
        connection = Connection(self.host.pid1, loses)
        self._connections.append(connection)
        return connection

    def _hang_up(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _open_session(self) -> Session:
        file = self.host.paths.runtime / "session"
        resume = file.read_text() if file.exists() else None
        host = self.host
        session = self._around.store.open_session(
            host.name, host.boot_id, resume, ttl=self._around.ttl
        )
        file.write_text(session.id)
        return session

    def _open_own_session(self) -> Session:
        file = self.host.paths.runtime / "own-session"
        resume = file.read_text() if file.exists() else None
        session = self.host.ledger.open_session(self.host.name, self.host.boot_id, resume)
        file.write_text(session.id)
        return session

    def _profile(self, daemon: Daemon) -> Profile:
        self.host.beats += 1
        cluster, manifest = daemon.world.cluster, daemon.book.manifest
        spec = content_hash([digest for _, digest in manifest.sources]) if manifest else ""
        return Profile(__version__, spec, cluster.labels, cluster.is_draining)


async def _as_applied(command: Sequence[str], *_: object, **__: object) -> Done:
    """Units are as applied; and no job of a simulation names anybody who is to be told."""
    assert "hostagent.deploy.drifted" in command
    return Done(0, "")
