"""Who starts the backlog: the gate, and what else there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from bench.storm.host import Host, Policy, Task
from hostagent.model import Backoff, Lane
from hostagent.policy import gate, peak, retry
from hostagent.policy.backlog import (
    DEFAULTS,
    START,
    Disk,
    Facts,
    Going,
    Limits,
    Memory,
    Signals,
    State,
    Waiting,
    Wake,
)

BOOT = datetime(2026, 11, 21, tzinfo=UTC)
RAM = 1 << 40
RETRIES = 2
NORMAL_MS = 8.0
"""What a request takes alone."""

UNKNOWN = 0.0
"""Of a job's peak: what was observed, where nothing was."""


@dataclass(slots=True)
class Gate:
    """The gate as agent/backlog.py asks it. ``known`` is what was observed of each job's peak, as
    a share of it; ``UNKNOWN``: nothing was. ``blind``: the host has no PSI.
    """

    limits: Limits = DEFAULTS
    known: float = 1.0
    weight: int = 20
    is_blind: bool = False
    state: State = START
    too_low: set[Task] = field(default_factory=set)
    tried: dict[Task, float] = field(default_factory=dict)

    def tick(self, host: Host) -> None:
        """Once a second: the level, who gives way, who goes."""
        self._queue_again(host)
        if not host.queue and len(host.catching_up) < 2:
            return
        self.state = gate.advance(self._facts(host))
        if (found := gate.stop(self._facts(host))) is not None:
            self.state = gate.stopped(self.state, host.now_s)
            task = next(one for one in host.catching_up if one.name == found.name)
            self.too_low.add(task)
            host.stop(task)
        self._release(host)

    def ended(self, host: Host, task: Task) -> None:
        """Failed runs are tried again, as ``retries`` and ``backoff`` say."""
        has_failed = task.has_failed or task.is_killed
        self.state = gate.ended(
            self.state, self._going(host, task), host.now_s, has_failed=has_failed
        )
        self.too_low.discard(task)
        if task.has_failed and task.tries <= RETRIES:
            pause = retry.wait(Backoff(), task.tries, task.name)
            task.restart()
            task.has_failed = False
            self.tried[task] = host.now_s + pause.total_seconds()
        self._release(host)

    def _queue_again(self, host: Host) -> None:
        due = [task for task, at_s in self.tried.items() if at_s <= host.now_s]
        for task in due:
            del self.tried[task]
            host.queue.append(task)

    def _release(self, host: Host) -> None:
        while (found := gate.first(self._facts(host))) is not None:
            host.start(next(task for task in host.queue if task.name == found.name))

    def _facts(self, host: Host) -> Facts:
        memory = Memory(RAM, max(0, round((1 - host.memory) * RAM)))
        signals = Signals(
            cpu_pressure=None if self.is_blind else 100 * host.cpu_pressure,
            load=host.load,
            memory=memory,
            memory_pressure=None if self.is_blind else 100 * host.memory_pressure,
            disk=Disk("sda", NORMAL_MS * host.latency, NORMAL_MS),
        )
        return Facts(
            limits=self.limits,
            now_s=host.now_s,
            wake=Wake(0.0),
            cores=host.scenario.cores,
            signals=signals,
            waiting=tuple(self._waiting(host, task) for task in host.queue),
            going=tuple(self._going(host, task) for task in host.catching_up),
            state=gate.resumed(self.state, host.now_s),
        )

    def _waiting(self, host: Host, task: Task) -> Waiting:
        deadline = BOOT + timedelta(seconds=min(task.deadline_s, 1e8))
        return Waiting(
            task.name,
            Lane.NORMAL,
            _pool(host),
            1.0,
            deadline,
            host.now_s,
            self._peak(task),
            attempt=task.tries + 1,
        )

    def _going(self, host: Host, task: Task) -> Going:
        current = round(task.memory * RAM)
        age = timedelta(seconds=host.now_s - (task.started_s or host.now_s))
        return Going(
            task.name,
            Lane.NORMAL,
            _pool(host),
            1.0,
            is_catch_up=True,
            growth=peak.growth(self._peak(task), current, age),
            age=age,
            memory=current,
            may_stop=task.interruptible and task not in self.too_low,
        )

    def _peak(self, task: Task) -> peak.Peak:
        seen = round(task.peak * self.known * RAM) if self.known else None
        return peak.expected(None, seen, RAM, was_too_low=task in self.too_low)


@dataclass(slots=True)
class Timers:
    """``Persistent=true``: all at once."""

    weight: int = 100

    def tick(self, host: Host) -> None:
        """Whatever waits."""
        for task in list(host.queue):
            host.start(task)

    def ended(self, host: Host, task: Task) -> None:
        """Nothing follows."""


@dataclass(slots=True)
class Randomized(Timers):
    """``RandomizedDelaySec=``."""

    most_s: float = 600.0

    def tick(self, host: Host) -> None:
        """Each when its time has come."""
        for task in list(host.queue):
            if _drawn(task.name, host.seed) * self.most_s <= host.now_s:
                host.start(task)


@dataclass(slots=True)
class Fixed(Timers):
    """So many at once, whatever the host says."""

    most: int = 2

    def tick(self, host: Host) -> None:
        """The next, while there is a place."""
        while host.queue and len(host.catching_up) < self.most:
            host.start(host.queue[0])


@dataclass(slots=True)
class ByLoad(Timers):
    """As fcron's ``lavg``: a look every half minute, and all go if the load average is low."""

    next_s: float = 20.0

    def tick(self, host: Host) -> None:
        """Not before it is time."""
        if host.now_s < self.next_s:
            return
        self.next_s = host.now_s + 30
        if host.load < host.scenario.cores or host.now_s > 3600:
            for task in list(host.queue):
                host.start(task)


POLICIES: Mapping[str, Callable[[], Policy]] = {
    "Persistent=true": Timers,
    "RandomizedDelaySec=600": Randomized,
    "two at a time": Fixed,
    "four at a time": lambda: Fixed(most=4),
    "by load average": ByLoad,
    "hostagent": Gate,
    "hostagent, no peak known": lambda: Gate(known=UNKNOWN),
    "hostagent, peaks half as large": lambda: Gate(known=0.5),
    "hostagent, no PSI": lambda: Gate(is_blind=True),
}

ABLATED: Mapping[str, Callable[[], Policy]] = {
    "no settling": lambda: Gate(replace(DEFAULTS, settle=timedelta(0))),
    "weight 100": lambda: Gate(weight=100),
    "weight 2": lambda: Gate(weight=2),
    "CPU pressure is no matter": lambda: Gate(replace(DEFAULTS, cpu_pressure=100)),
    "disks are no matter": lambda: Gate(replace(DEFAULTS, disk_latency=10_000)),
    "one for each core": lambda: Gate(replace(DEFAULTS, per_core=1)),
}


def _drawn(name: str, seed: int) -> float:
    """The same for the same: 0 to 1."""
    return int.from_bytes(sha256(f"{seed} {name}".encode()).digest()[:8]) / 2**64


def _pool(host: Host) -> str | None:
    """Who asks the same downstream says so."""
    return "downstream" if host.scenario.fails_until_s else None
