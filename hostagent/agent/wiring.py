"""The composition root: everything the agent needs is made here, once, and handed on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sdnotify import SystemdNotifier

from hostagent import __version__
from hostagent.agent import config, stamps
from hostagent.agent.beats import Beats
from hostagent.agent.book import spec_of
from hostagent.agent.cluster import Cluster
from hostagent.agent.config import AgentConfig
from hostagent.agent.daemon import Daemon
from hostagent.agent.fence import Fence
from hostagent.agent.messages import READY
from hostagent.agent.offload import Offloaded
from hostagent.agent.server import Server, listening_socket
from hostagent.agent.service import AgentService
from hostagent.agent.shared import Line, Shared, lazily
from hostagent.agent.world import World
from hostagent.codec import from_json
from hostagent.errors import HostagentError, RefusedError
from hostagent.host import identity
from hostagent.host.clock import Clock, WallTimer
from hostagent.host.files import write_atomically
from hostagent.host.paths import Paths
from hostagent.host.pressure import Pressure
from hostagent.model import Manifest
from hostagent.policy import lease
from hostagent.policy.backlog import Wake
from hostagent.policy.outcome import Ended
from hostagent.store.open import open_store, opener
from hostagent.store.port import Profile, Session, Store
from hostagent.store.sql import schema
from hostagent.systemd import beside
from hostagent.systemd.journal import Journal, send
from hostagent.systemd.manager import Manager
from hostagent.systemd.port import Systemd

LISTEN_FDS_START = 3
EVIDENCE_LINES = 20
"""How much of its output is kept with a job in quarantine."""

log = logging.getLogger(__name__)


def run_agent(paths: Paths) -> None:
    """Be the agent until SIGTERM. Raises HostagentError when it cannot start."""
    asyncio.run(_run(paths))


async def _run(paths: Paths) -> None:
    settings = config.load(paths)
    for place in (paths.runtime, paths.env_files, paths.reports, paths.ready.parent):
        place.mkdir(parents=True, exist_ok=True)
    mine, ours = config.stores(paths, settings)
    ledger = open_store(mine)
    own = Offloaded[Store](ledger, "ledger")
    cluster = Cluster(settings.host, ttl=settings.lease_ttl if ours else None)
    shared = Shared(lazily(opener(ours, may_make=False), "store"), cluster) if ours else None
    session_file = paths.own_session if ours else paths.session
    manager, signals = Manager(user=paths.user), Manager(user=paths.user)
    systemd = Offloaded[Systemd](manager, "systemd")
    journal, clock = Journal(paths.user), Clock()
    with contextlib.closing(WallTimer()) as timer:
        world = World(
            paths=paths,
            host=settings.host,
            boot_id=identity.boot_id(),
            booted_at=manager.booted_at(),
            wake=_last_wake(paths.wake, session_file, clock),
            keep_wake=partial(_keep_wake, paths.wake),
            cores=len(os.sched_getaffinity(0)),
            limits=settings.gate,
            signals=Pressure(clock.boottime_s).read,
            hung_after=settings.hung_after,
            retention=settings.retention,
            clock=clock,
            own=own,
            shared=shared,
            session=_open_session(ledger, settings.host, session_file),
            systemd=systemd,
            cluster=cluster,
            fence=Fence(systemd, clock, is_kept=ours is not None and not paths.user),
            record=_record,
            journal_end=partial(_journal_end, journal),
            journal_tail=partial(_journal_tail, journal),
            beside=beside.run,
        )
        daemon = Daemon(world, signals, timer, partial(read_manifest, paths))
        async with _beating(daemon, settings):
            await _serve(daemon)
    systemd.close()
    if shared is not None:
        shared.close()
    own.close()
    manager.close()
    signals.close()
    ledger.close()


@contextlib.asynccontextmanager
async def _beating(daemon: Daemon, settings: AgentConfig) -> AsyncIterator[None]:
    """In a shared store: renew the session for as long as the block goes, and park it then."""
    paths, (_, url) = daemon.world.paths, config.stores(daemon.world.paths, settings)
    if url is None:
        yield
        return
    line, ttl = (
        Line(lazily(opener(url, may_make=False), "beats"), lease.BEAT_ABORT),
        settings.lease_ttl,
    )
    renew = partial(_open_session, line.it, settings.host, paths.session, ttl=ttl)
    beats = Beats(daemon, line, ttl, partial(_profile, daemon), renew)
    await beats.first()
    daemon.on_step = beats.check
    work = asyncio.create_task(beats.run())
    try:
        yield
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        try:
            await beats.stop()
        except HostagentError as error:
            log.error("the session could not be parked: %s", error.message)  # noqa: TRY400 -- for people
        line.close()


def _profile(daemon: Daemon) -> Profile:
    """What this agent tells the others of itself."""
    cluster, spec = daemon.world.cluster, spec_of(daemon.book)
    return Profile(__version__, spec, cluster.labels, cluster.is_draining, schema.VERSION)


async def _serve(daemon: Daemon) -> None:
    """From the first look at everything to SIGTERM."""
    loop, notifier = asyncio.get_running_loop(), SystemdNotifier()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.set_exception_handler(_tell)
    loop.add_signal_handler(signal.SIGHUP, lambda: daemon.spawn(daemon.reload()))
    passed = int(os.environ.get("LISTEN_FDS", "0")) if _is_for_us("LISTEN_PID") else 0
    path = daemon.world.paths.socket
    listener = listening_socket(path, LISTEN_FDS_START if passed else None)
    service = AgentService(daemon)
    server = Server(listener, service)
    # PID 1 may start jobs from here on: those of our own first look already depend on it, and
    # callers wait in the socket's queue until we serve it.
    daemon.world.keep_wake(daemon.world.wake)
    daemon.world.paths.ready.touch()
    watchdog = _keep_watchdog(loop, notifier)
    daemon.on_change = lambda: notifier.notify(f"STATUS={_status(daemon)}")
    await daemon.start(partial(_ready, daemon, notifier))
    server.start()
    _record(f"agent ready: {_status(daemon)}", {"MESSAGE_ID": READY, "PRIORITY": "6"})
    await stopping.wait()
    notifier.notify("STOPPING=1\nSTATUS=stopping; runs go on without an agent")
    if watchdog is not None:
        watchdog.cancel()
    server.close()
    await daemon.stop()


def _ready(daemon: Daemon, notifier: SystemdNotifier) -> None:
    """All is read: PID 1 may go on with the boot, and start timers, which come after the agent."""
    world, manifest = daemon.world, daemon.book.manifest
    if manifest is not None:
        stamps.answer_for_all(world.paths, manifest, world.clock.now())
    notifier.notify(f"READY=1\nSTATUS={_status(daemon)}")


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Callers whose calls end with this agent are no error: asyncvarlink raises for each."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _keep_watchdog(
    loop: asyncio.AbstractEventLoop, notifier: SystemdNotifier
) -> asyncio.TimerHandle | None:
    """Tell systemd twice in each WatchdogSec= that the loop turns."""
    if not _is_for_us("WATCHDOG_PID") or not os.environ.get("WATCHDOG_USEC"):
        return None
    period_s = int(os.environ["WATCHDOG_USEC"]) / 2e6

    def ping() -> None:
        notifier.notify("WATCHDOG=1")
        loop.call_later(period_s, ping)

    return loop.call_later(period_s, ping)


def _is_for_us(variable: str) -> bool:
    """sd_listen_fds(3), sd_watchdog_enabled(3): the variables may be meant for our parent."""
    pid = os.environ.get(variable)
    return pid == str(os.getpid()) or (pid is None and variable == "WATCHDOG_PID")


def _status(daemon: Daemon) -> str:
    """One line for ``systemctl status``."""
    book = daemon.book
    running = sum(entry.active is not None for entry in book)
    at, name = book.next_due()
    then = f"; next {name} at {at:%Y-%m-%d %H:%M:%S}Z" if at is not None else ""
    still = len(daemon.hung.marks())
    hung = f", {still} hung?" if still else ""
    held = f", {len(daemon.backlog.held)} held" if daemon.backlog.held else ""
    away = "; the store is not reached" if daemon.world.is_cut_off else ""
    return f"{len(book)} jobs, {running} running{hung}{held}{then}{away}"


def _last_wake(file: Path, session: Path, clock: Clock) -> Wake:
    """The last one of the agent that we go on for."""
    try:
        at_s, _, why = file.read_text(encoding="utf-8").strip().partition(" ")
        return Wake(float(at_s), why)
    except (OSError, ValueError):
        is_first = not session.exists()
        why = "the host has booted" if is_first else "no agent was up"
        return Wake(clock.boottime_s(), why)


def _keep_wake(file: Path, wake: Wake) -> None:
    write_atomically(file, f"{wake.at_s:f} {wake.why}\n".encode(), 0o644, sync=False)


def _open_session(store: Store, host: str, file: Path, *, ttl: timedelta | None = None) -> Session:
    """Go on with the session of the agent before us, if it was of this boot and not closed.

    ``file`` remembers its id.
    """
    resume = file.read_text().strip() if file.exists() else None
    session = store.open_session(host, identity.boot_id(), resume, ttl=ttl)
    write_atomically(file, session.id.encode(), 0o600, sync=False)
    return session


def read_manifest(paths: Paths) -> Manifest | None:
    """What is deployed here; None before the first apply.

    Raises:
        RefusedError: the manifest cannot be read.
    """
    try:
        return from_json(Manifest, json.loads(Path(paths.manifest).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RefusedError(
            f"{paths.manifest} cannot be read by hostagent {__version__} ({error}); if a newer one "
            "wrote it: systemctl restart hostagent",
            "run: hostagent apply",
        ) from error


def _record(message: str, fields: dict[str, str]) -> None:
    priority = int(fields.get("PRIORITY", "6"))
    rest = {name: value for name, value in fields.items() if name != "PRIORITY"}
    send(message, priority=priority, SYSLOG_IDENTIFIER="hostagent", **rest)


def _journal_end(journal: Journal, invocation_id: str) -> Ended | None:
    end = journal.end_of(invocation_id)
    if end is None:
        return None
    return Ended(end.result, end.exit_code, end.signal, None, end.ended_at, end.usage)


def _journal_tail(
    journal: Journal, invocation_id: str, unit: str, since: datetime | None
) -> list[str]:
    return journal.tail(invocation_id, unit, EVIDENCE_LINES, since)
