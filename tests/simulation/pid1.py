"""A PID 1 of our own: services, timers and the fence of one host, as far as the port shows them.

Behaves as systemd was seen to behave (tests/contract/systemd, tests/machine): a start goes through
its conditions, asks the admission client, reads the env file, executes; a timer is ``running``
from its elapse until its service is down; the fence counts CLOCK_MONOTONIC and needs nobody.
What processes do is a ``Program``.
"""

from __future__ import annotations

import asyncio
import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Protocol

from hostagent.errors import SystemdError
from hostagent.model import Schedule, Usage
from hostagent.policy.outcome import Ended
from hostagent.schedule.occurrences import next_after
from hostagent.systemd.port import ServiceState, TimerState
from tests.simulation.clocks import HostClock
from tests.simulation.loop import Process, VirtualLoop

KILL_AFTER_S = 2.0
ADMIT_TIMEOUT_S = 10.0
MISSED_ELAPSE = 0.003
"""How often PID 1 loses a timer's elapse (research: several releases do, over a reload)."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one start of a command does: how long it takes and how it ends."""

    lasts_s: float = 0.0
    exit_code: int = 0
    signal: str | None = None
    ignores_term: bool = False


class Program(Protocol):
    """The processes of a unit's command."""

    def start(self, unit: str, env: Mapping[str, str]) -> Behaviour:
        """It was executed."""

    def stop(self, unit: str, *, is_end: bool) -> None:
        """It is gone; ``is_end``: by itself."""

    def is_queued(self, unit: str) -> None:
        """A start waits behind a stop. When its turn comes, the timer that asked is at rest."""


@dataclass(frozen=True, slots=True)
class UnitFile:
    """What stands in a service's and its timer's files.

    ``is_admitted``: it has the condition and the admission client. ``part_of_once``: the fence
    stops it.
    """

    name: str
    timer: str | None = None
    schedule: Schedule | None = None
    jitter: timedelta = timedelta(0)
    stop_timeout_s: float = 90.0
    timeout_s: float = math.inf
    success_exit_status: frozenset[int] = frozenset({0})
    is_admitted: bool = True
    part_of_once: bool = True


@dataclass(slots=True)
class _Service:
    file: UnitFile
    active_state: str = "inactive"
    sub_state: str = "dead"
    result: str = "success"
    invocation_id: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    condition_result: bool = False
    job_pending: bool = False
    starts_after_stop: bool = False
    began_s: float = 0.0
    behaviour: Behaviour | None = None
    ending: asyncio.Handle | None = None
    ends_at: int = 0
    killing: asyncio.Handle | None = None
    asking: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self.active_state in {"active", "activating", "deactivating"}


@dataclass(slots=True)
class _Timer:
    name: str
    service: str
    schedule: Schedule
    jitter: timedelta
    is_active: bool = False
    is_running: bool = False
    base: datetime | None = None
    next_elapse: datetime | None = None
    last_trigger: datetime | None = None
    pending: asyncio.Handle | None = None


@dataclass(slots=True)
class _Fence:
    deadline_s: float
    pending: asyncio.Handle


@dataclass(slots=True)
class Pid1:
    """The manager of one boot of one host.

    ``admit(unit, invocation)`` is the admission client's question to the agent's socket;
    ``is_ready`` whether ``up/ready`` exists; ``stamps`` and ``journal`` outlive the boot.
    """

    loop: VirtualLoop
    clock: HostClock
    rnd: Random
    kernel: Process
    env_files: Path
    program: Program
    admit: Callable[[str, str], asyncio.Future[bool]]
    is_ready: Callable[[], bool]
    stamps: dict[str, datetime] = field(default_factory=dict)
    journal: dict[str, Ended] = field(default_factory=dict)
    began_at: datetime | None = None
    is_stopping: bool = False
    loses: float = MISSED_ELAPSE
    say: Callable[[str], None] = lambda _: None
    _services: dict[str, _Service] = field(default_factory=dict)
    _timers: dict[str, _Timer] = field(default_factory=dict)
    _fence: _Fence | None = None
    _at_work: int = 0
    connections: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began_at = self.clock.now()
        self.clock.on_step.append(self._clock_was_set)

    # What is installed

    def deploy(self, files: Sequence[UnitFile]) -> None:
        """daemon-reload with these unit files; timers that are new or changed start."""
        names = {file.name for file in files}
        for name in [n for n, s in self._services.items() if n not in names and not s.is_up]:
            del self._services[name]
        timers = {file.timer for file in files}
        for name in [name for name in self._timers if name not in timers]:
            self._disarm(self._timers.pop(name))
        for file in files:
            known = self._services.get(file.name)
            if known is None:
                self._services[file.name] = _Service(file)
            else:
                known.file = file
            if file.timer is not None and file.schedule is not None:
                self._deploy_timer(file, file.timer, file.schedule)

    def _deploy_timer(self, file: UnitFile, name: str, schedule: Schedule) -> None:
        before = self._timers.get(name)
        if before is not None and before.schedule == schedule and before.jitter == file.jitter:
            return
        if before is not None:
            self._disarm(before)
            self.stamps[name] = self.clock.now()
        timer = _Timer(name, file.name, schedule, file.jitter, is_active=True)
        self._timers[name] = timer
        timer.base = self.stamps.setdefault(name, self.clock.now())
        self._wait(timer)

    # Timers

    def _wait(self, timer: _Timer) -> None:
        """Until its next elapse after the last one; at once when that has passed."""
        self._disarm(timer)
        timer.is_running = False
        assert timer.base is not None
        at = next_after(timer.schedule, timer.base)
        timer.next_elapse = None
        if at is not None:
            delay = timedelta(seconds=self.rnd.random() * timer.jitter.total_seconds())
            timer.next_elapse = max(at, self.clock.now()) + delay
            due = self.clock.true(timer.next_elapse)
            timer.pending = self.kernel.at_true(due, self._elapse, timer)

    def _elapse(self, timer: _Timer) -> None:
        now = self.clock.now()
        if timer.next_elapse is not None and now < timer.next_elapse:
            self._wait(timer)
            return
        timer.pending = None
        if self.is_stopping:
            return  # a shutdown stops timers, too; the start of a service would be refused
        timer.base = timer.last_trigger = self.stamps[timer.name] = now
        if self.rnd.random() < self.loses:
            self._wait(timer)
            return
        timer.is_running = True
        self.say(f"{timer.name} elapses")
        self.start(timer.service)

    def _disarm(self, timer: _Timer) -> None:
        if timer.pending is not None:
            timer.pending.cancel()
            timer.pending = None

    def _clock_was_set(self) -> None:
        for timer in self._timers.values():
            if timer.is_active and not timer.is_running:
                if timer.base is not None and timer.base > self.clock.now():
                    timer.base = self.clock.now()
                self._wait(timer)

    # Services

    def start(self, name: str) -> None:
        """Queue a start. Raises SystemdError for a unit without a file."""
        service = self._services.get(name)
        if service is None:
            raise SystemdError(f"start of {name}: Unit {name} not found.")
        if self.is_stopping:
            raise SystemdError(f"start of {name}: the transaction is destructive.")
        if service.active_state == "deactivating":
            service.job_pending = service.starts_after_stop = True
            self.program.is_queued(name)
        elif not service.is_up and not service.job_pending:
            service.job_pending = True
            self.kernel.later(self.rnd.uniform(0.001, 0.02), self._begin, service)

    def shut_down(self) -> None:
        """Everything is stopped, and nothing starts any more."""
        self.is_stopping = True
        for timer in self._timers.values():
            self._disarm(timer)
        for name in list(self._services):
            self.stop(name)

    def _begin(self, service: _Service) -> None:
        if not service.job_pending or service.is_up:
            return
        service.job_pending = False
        file = service.file
        service.condition_result = not file.is_admitted or self.is_ready()
        if not service.condition_result:
            self._is_down(service)
            return
        service.active_state, service.sub_state, service.result = (
            "activating",
            "condition",
            "success",
        )
        service.invocation_id = f"{self.rnd.getrandbits(128):032x}"
        service.exit_code = service.signal = service.started_at = service.ended_at = None
        service.began_s = self.clock.monotonic_s()
        self.say(f"{file.name} starts as {service.invocation_id[:8]}")
        self._hint(file.name)
        if file.is_admitted:
            service.asking = self.kernel.spawn(self._ask(service, service.invocation_id))
        else:
            self._execute(service, {})

    async def _ask(self, service: _Service, invocation: str) -> None:
        """ExecCondition=: the admission client."""
        await asyncio.sleep(self.rnd.uniform(0.006, 0.015))
        answer = self.admit(service.file.name, invocation)
        try:
            is_admitted = await asyncio.wait_for(answer, ADMIT_TIMEOUT_S)
        except TimeoutError:
            is_admitted = False
        if service.invocation_id != invocation or service.sub_state != "condition":
            return
        service.asking = None
        if not is_admitted:
            self._down(service, "exec-condition")
            return
        env = self._read_env(service.file.name)
        if env is None:
            self._down(service, "resources")
        else:
            self._execute(service, env)

    def _read_env(self, name: str) -> dict[str, str] | None:
        try:
            text = (self.env_files / f"{name.removesuffix('.service')}.env").read_text()
        except FileNotFoundError:
            return None
        pairs = (line.split("=", 1) for line in text.splitlines())
        return {key: value.strip('"') for key, value in pairs}

    def _execute(self, service: _Service, env: Mapping[str, str]) -> None:
        service.sub_state, service.started_at = "start", self.clock.now()
        service.behaviour = self.program.start(service.file.name, env)
        lasts_s = min(service.behaviour.lasts_s, service.file.timeout_s)
        service.ends_at = self.loop.true_now + round(lasts_s * 1e6)
        service.ending = self.kernel.at_true(service.ends_at, self._exit, service)
        self._hint(service.file.name)

    def _exit(self, service: _Service) -> None:
        """The command comes to its own end."""
        behaviour = service.behaviour
        assert behaviour is not None
        code, is_success = behaviour.exit_code, service.file.success_exit_status
        if behaviour.lasts_s > service.file.timeout_s:
            self._gone(service, "timeout", "TERM")
        elif behaviour.signal is not None:
            self._gone(service, "signal", behaviour.signal)
        else:
            self._gone(service, "success" if code in is_success else "exit-code", None, code)

    def _gone(
        self, service: _Service, result: str, signal: str | None, exit_code: int | None = None
    ) -> None:
        """The main process is no more."""
        for handle in (service.ending, service.killing):
            if handle is not None:
                handle.cancel()
        service.ending = service.killing = service.behaviour = None
        service.signal, service.exit_code = signal, exit_code
        self.program.stop(service.file.name, is_end=exit_code is not None)
        self._down(service, result)

    def _down(self, service: _Service, result: str) -> None:
        service.result = result
        is_clean = result in {"success", "exec-condition"}
        service.active_state = "inactive" if is_clean else "failed"
        service.sub_state = "dead" if is_clean else "failed"
        service.ended_at = self.clock.now()
        assert service.invocation_id is not None
        self.say(f"{service.file.name} is down ({result})")
        told = result if service.started_at or result == "resources" else "exec-condition"
        self.journal[service.invocation_id] = Ended(
            told, service.exit_code, service.signal, None, service.ended_at
        )
        self._is_down(service)

    def _is_down(self, service: _Service) -> None:
        for timer in self._timers.values():
            if timer.service == service.file.name and timer.is_running and not self.is_stopping:
                self._wait(timer)
        self._hint(service.file.name)
        self._collect(service)
        if service.starts_after_stop:
            service.starts_after_stop = service.job_pending = False
            if not self.is_stopping:
                self.start(service.file.name)

    def _collect(self, service: _Service) -> None:
        """PID 1 forgets a unit that is down, and that nothing refers to."""
        name = service.file.name
        is_held = service.file.timer in self._timers or any(
            name in c.refs for c in self.connections
        )
        is_needed = service.is_up or service.job_pending or service.starts_after_stop
        if not is_held and not is_needed and service.active_state != "failed":
            self._services[name] = _Service(service.file)

    def stop(self, name: str) -> None:
        """TERM, and KILL after the unit's stop timeout."""
        service = self._services.get(name)
        if service is None:
            return
        if not service.is_up:
            service.job_pending = False
            return
        service.starts_after_stop = service.job_pending = False
        if service.sub_state == "condition":
            if service.asking is not None:
                service.asking.cancel()
                service.asking = None
            self._down(service, "signal")
            return
        if service.active_state == "deactivating":
            return
        service.active_state, service.sub_state = "deactivating", "stop-sigterm"
        behaviour = service.behaviour
        assert behaviour is not None
        self._hint(name)
        if behaviour.ignores_term:
            wait_s = service.file.stop_timeout_s
            service.killing = self.kernel.later(wait_s, self._gone, service, "timeout", "KILL")
        else:
            wait_s = self.rnd.uniform(0.002, 0.05)
            service.killing = self.kernel.later(wait_s, self._gone, service, "signal", "TERM")

    def kill_main(self, name: str) -> None:
        """SIGKILL to what a unit runs."""
        service = self._services[name]
        if service.behaviour is not None:
            self._gone(service, "signal", "KILL")

    # The fence

    def arm_fence(self, deadline_s: float) -> None:
        """See the port."""
        self.disarm_fence()
        left_s = deadline_s - self.clock.monotonic_s()
        if left_s <= 0:
            self._fall()
            return
        self._fence = _Fence(deadline_s, self.kernel.later(left_s, self._fall))

    def disarm_fence(self) -> None:
        """See the port."""
        if self._fence is not None:
            self._fence.pending.cancel()
            self._fence = None

    @property
    def fence_deadline_s(self) -> float | None:
        """See the port."""
        return self._fence.deadline_s if self._fence else None

    def _fall(self) -> None:
        """The deadline has passed: stop, and 2 s later kill what ran when it did."""
        self.say("the fence falls")
        self._fence = None
        began_s = self.clock.monotonic_s()
        for name in [n for n, s in self._services.items() if s.file.part_of_once]:
            self.stop(name)
        self._at_work += 1
        self.kernel.later(KILL_AFTER_S, self._kill_overdue, began_s)

    def _kill_overdue(self, began_s: float) -> None:
        self._at_work -= 1
        for name, service in list(self._services.items()):
            if service.file.part_of_once and service.is_up and service.began_s <= began_s:
                self.kill_main(name)

    # What connections ask

    def usage(self, name: str) -> Usage:
        """See ``port.Systemd.usage``."""
        s = self._services.get(name)
        return Usage(cpu_s=0.01) if s is not None and s.started_at else Usage()

    def state(self, name: str) -> ServiceState:
        """See ``port.Systemd.service``."""
        s = self._services.get(name)
        if s is None:
            return ServiceState(
                name, "not-found", "inactive", "dead", "success", None, None, None, None, None,
                False, False, Usage(),
            )  # fmt: skip
        usage = Usage(cpu_s=0.01) if s.ended_at and s.started_at else Usage()
        return ServiceState(
            name,
            "loaded",
            s.active_state,
            s.sub_state,
            s.result,
            s.invocation_id,
            s.exit_code,
            s.signal,
            s.started_at,
            s.ended_at,
            s.condition_result,
            s.job_pending,
            usage,
        )

    def timer(self, name: str) -> TimerState:
        """See the port."""
        timer = self._timers.get(name)
        if timer is None:
            return TimerState(name, "not-found", "inactive", "dead", None, None)
        sub_state = "running" if timer.is_running else "waiting"
        return TimerState(
            name, "loaded", "active", sub_state, timer.next_elapse, timer.last_trigger
        )

    def loaded(self, pattern: str) -> dict[str, str]:
        """See the port."""
        states = {name: s.active_state for name, s in self._services.items()}
        states |= dict.fromkeys(self._timers, "active")
        return {name: s for name, s in states.items() if fnmatch.fnmatchcase(name, pattern)}

    def reset_failed(self, name: str) -> None:
        """See the port."""
        service = self._services.get(name)
        if service is not None and service.active_state == "failed":
            service.active_state, service.sub_state, service.result = "inactive", "dead", "success"
            self._collect(service)

    def running(self) -> list[str]:
        """Units whose command runs."""
        return [name for name, s in self._services.items() if s.behaviour is not None]

    def pause_jobs(self) -> None:
        """The host stands still; what its jobs have still to do is kept."""
        for service in self._services.values():
            if service.ending is not None:
                service.ending.cancel()
                service.ends_at -= self.loop.true_now

    def resume_jobs(self) -> None:
        """They go on."""
        for service in self._services.values():
            if service.ending is not None:
                service.ends_at += self.loop.true_now
                service.ending = self.kernel.at_true(service.ends_at, self._exit, service)

    def _hint(self, name: str) -> None:
        for connection in list(self.connections):
            connection.hint(name)

    def unheld(self, name: str) -> None:
        """A reference was given back."""
        if (service := self._services.get(name)) is not None:
            self._collect(service)

    def forget_refs(self, connection: Connection) -> None:
        """A connection is gone, and its references with it."""
        if connection in self.connections:
            self.connections.remove(connection)
        for name in connection.refs:
            self.unheld(name)


class Connection:
    """``port.Systemd`` over a ``Pid1``. ``loses``: how often a hint never arrives."""

    def __init__(self, pid1: Pid1, loses: float = 0.0) -> None:
        self._pid1 = pid1
        self.loses = loses
        self._prefix: str | None = None
        self._callback: Callable[[str], None] = lambda _: None
        self._descriptor = pid1.loop.descriptor()
        self._hints: list[str] = []
        self._reloaded: Callable[[], None] = lambda: None
        self._has_reloaded = False
        self.refs: set[str] = set()
        pid1.connections.append(self)

    def version(self) -> int:
        """See the port."""
        return 257

    def booted_at(self) -> datetime:
        """See the port."""
        assert self._pid1.began_at is not None
        return self._pid1.began_at

    def is_stopping(self) -> bool:
        """See the port."""
        return self._pid1.is_stopping

    def reload(self) -> None:
        """See the port; ``deploy`` has read the files already, so the signal is all."""
        for connection in self._pid1.connections:
            connection.hint_reload()

    def start(self, units: Sequence[str], *, no_block: bool = True) -> None:
        """See the port; nobody here waits for the end."""
        refused = []
        for unit in units:
            try:
                self._pid1.say(f"is asked to start {unit}")
                self._pid1.start(unit)
            except SystemdError as error:
                refused.append(error.message)
        if refused:
            raise SystemdError("; ".join(refused))

    def stop(self, units: Sequence[str], *, no_block: bool = False) -> None:
        """See the port; nobody here waits for the end."""
        for unit in units:
            self._pid1.stop(unit)

    def reset_failed(self, units: Sequence[str]) -> None:
        """See the port."""
        for unit in units:
            self._pid1.reset_failed(unit)

    def service(self, unit: str) -> ServiceState:
        """See the port."""
        return self._pid1.state(unit)

    def timer(self, unit: str) -> TimerState:
        """See the port."""
        return self._pid1.timer(unit)

    def loaded(self, pattern: str) -> dict[str, str]:
        """See the port."""
        return self._pid1.loaded(pattern)

    def memory(self, unit: str) -> int | None:
        """See the port; nobody counts it here."""
        return None

    def usage(self, unit: str) -> Usage:
        """See the port; jobs do nothing here but wait."""
        return self._pid1.usage(unit)

    def set_properties(
        self, unit: str, properties: Mapping[str, int], *, runtime: bool = True
    ) -> None:
        """See the port; weights have no effect here."""

    def arm_fence(self, deadline_s: float) -> None:
        """See the port."""
        self._pid1.arm_fence(deadline_s)

    def disarm_fence(self) -> None:
        """See the port."""
        self._pid1.disarm_fence()

    def fence_deadline_s(self) -> float | None:
        """See the port."""
        return self._pid1.fence_deadline_s

    def ref(self, unit: str) -> None:
        """See the port."""
        self.refs.add(unit)

    def unref(self, unit: str) -> None:
        """See the port."""
        if unit in self.refs:
            self.refs.discard(unit)
            self._pid1.unheld(unit)

    def watch(
        self,
        prefix: str,
        callback: Callable[[str], None],
        reloaded: Callable[[], None] = lambda: None,
    ) -> int:
        """See the port."""
        self._prefix, self._callback, self._reloaded = prefix, callback, reloaded
        return self._descriptor

    def dispatch(self) -> None:
        """See the port."""
        if self._has_reloaded:
            self._has_reloaded = False
            self._reloaded()
        while self._hints:
            self._callback(self._hints.pop(0))

    def close(self) -> None:
        """See the port."""
        self._pid1.forget_refs(self)

    def hint_reload(self) -> None:
        """All units were read anew."""
        if self._prefix is not None:
            self._has_reloaded = True
            self._pid1.loop.make_readable(self._descriptor)

    def hint(self, unit: str) -> None:
        """A unit may have changed."""
        if self._prefix is None or not unit.startswith(self._prefix):
            return
        if self.loses and self._pid1.rnd.random() < self.loses:
            return
        self._hints.append(unit)
        self._pid1.loop.make_readable(self._descriptor)
