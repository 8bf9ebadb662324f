"""The model of one host: what runs shares CPUs, one disk and memory, and gets on by that.

CPUs are shared by weight and in two levels, as cgroups share them: services, and the slice of all
jobs, in which each job has its own weight. The disk is shared evenly and may lose by seeking.
Memory beyond what there is goes to swap, which nearly stops everything, or to the OOM killer, which
takes the largest. Times are seconds since the boot; memory is a share of RAM.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import Protocol

THRASH = 60.0
"""How much a page that is not there costs: 60 as measured with swap on a disk."""

PSI_WINDOW_S = 5.0
LOAD_WINDOW_S = 60.0
FAILS_AFTER_S = 2.0


class Kind(Enum):
    """What a task is to the host."""

    BOOT = auto()
    FRESH = auto()
    CATCH_UP = auto()


@dataclass(slots=True, eq=False)
class Task:
    """A run. It takes ``work_s`` alone, in which it uses ``cpu`` of each of ``width`` CPUs and
    ``disk``; its memory grows from ``first`` of its ``peak`` to all, in the share ``grows`` of it.
    """

    name: str
    work_s: float
    cpu: float
    disk: float = 0.0
    width: int = 1
    peak: float = 0.005
    first: float = 0.3
    grows: float = 0.3
    deadline_s: float = math.inf
    arrives_s: float = 0.0
    kind: Kind = Kind.CATCH_UP
    interruptible: bool = True
    done_s: float = 0.0
    started_s: float | None = None
    ended_s: float | None = None
    is_killed: bool = False
    has_failed: bool = False
    tries: int = 0
    speed: float = 1.0
    merged_into: Task | None = None

    @property
    def memory(self) -> float:
        """What it holds now."""
        grown = min(1.0, self.done_s / self.work_s / self.grows) if self.grows else 1.0
        return self.peak * (self.first + (1 - self.first) * grown)

    def restart(self) -> None:
        """It was stopped: all is to be done again."""
        self.done_s, self.started_s, self.ended_s = 0.0, None, None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A host, and what comes to it. ``busy_cpus``: what its services want at a time.

    ``fails_until_s``: a downstream is broken so long, and catch-up that begins before fails.
    """

    name: str
    cores: int
    tasks: Callable[[Random], list[Task]]
    swap: float = 0.0
    disk: float = 4.0
    seek: float = 0.0
    base_memory: float = 0.2
    busy_cpus: Callable[[float], float] = lambda _: 0.1
    fails_until_s: float = 0.0


class Policy(Protocol):
    """What starts the backlog."""

    weight: int
    """Of a catch-up run among the jobs, and of the slice of all jobs while nothing else runs."""

    def tick(self, host: Host) -> None:
        """A second has passed, or a run of the backlog has ended."""

    def ended(self, host: Host, task: Task) -> None:
        """A run of the backlog has ended, however."""


@dataclass(slots=True)
class Report:
    """What came of it; memory in shares of RAM, load for each core."""

    drain_s: float = 0.0
    best_s: float = 1.0
    fresh_p99_s: float = 0.0
    lost: int = 0
    late: int = 0
    oom_kills: int = 0
    stopped: int = 0
    hung_s: float = 0.0
    services_lost_s: float = 0.0
    peak_load: float = 0.0
    peak_memory: float = 0.0


@dataclass(slots=True)
class _Shares:
    """What everybody gets at a moment."""

    load: float
    cpu_pressure: float
    memory_pressure: float
    latency: float
    efficiency: float
    services: float


@dataclass(slots=True)
class Host:
    """One host, one policy, one seed. ``policy`` None: there is no backlog."""

    scenario: Scenario
    policy: Policy | None
    seed: int
    now_s: float = 0.0
    running: list[Task] = field(default_factory=list)
    queue: list[Task] = field(default_factory=list)
    load: float = 0.0
    cpu_pressure: float = 0.0
    memory_pressure: float = 0.0
    latency: float = 1.0
    report: Report = field(default_factory=Report)
    backlog: list[Task] = field(default_factory=list)
    fresh: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        tasks = self.scenario.tasks(Random(self.seed))
        self.running = [task for task in tasks if task.kind is Kind.BOOT]
        self.fresh = sorted(
            (task for task in tasks if task.kind is Kind.FRESH), key=lambda task: task.arrives_s
        )
        if self.policy is not None:
            self.backlog = [task for task in tasks if task.kind is Kind.CATCH_UP]
        self.queue = list(self.backlog)
        Random(self.seed + 5).shuffle(self.queue)

    @property
    def catching_up(self) -> list[Task]:
        """The runs of the backlog that go."""
        return [task for task in self.running if task.kind is Kind.CATCH_UP]

    @property
    def memory(self) -> float:
        """What is in use."""
        return self.scenario.base_memory + sum(task.memory for task in self.running)

    def start(self, task: Task) -> None:
        """Begin a run of the backlog, or a fresh one."""
        if task in self.queue:
            self.queue.remove(task)
        task.started_s, task.done_s = self.now_s, 0.0
        task.tries += 1
        self.running.append(task)

    def stop(self, task: Task) -> None:
        """Stop a run, which waits again."""
        self.running.remove(task)
        task.restart()
        self.queue.append(task)
        self.report.stopped += 1

    def simulate(self, horizon_s: float, fresh_s: float) -> Report:
        """Go on until nothing is owed and no fresh run comes any more, or for ``horizon_s``."""
        next_tick_s, waiting = 0.0, list(self.fresh)
        while self.now_s < horizon_s:
            if self.now_s >= next_tick_s - 1e-9:
                next_tick_s = self.now_s + 1.0
                if self.policy is not None:
                    self.policy.tick(self)
            self._kill_what_does_not_fit()
            while waiting and waiting[0].arrives_s <= self.now_s + 1e-9:
                self._arrive(waiting.pop(0))
            shares = self._share()
            step_s = next_tick_s - self.now_s
            if waiting:
                step_s = min(step_s, waiting[0].arrives_s - self.now_s)
            for task in self.running:
                step_s = min(step_s, (self._work_of(task) - task.done_s) / task.speed)
            self._advance(max(step_s, 1e-6), shares)
            self._end_what_is_done()
            is_calm = not (self.queue or self.catching_up or waiting)
            if is_calm and self.now_s > fresh_s and not self._has(Kind.FRESH):
                break
        return self._sum_up(horizon_s)

    def _has(self, kind: Kind) -> bool:
        return any(task.kind is kind for task in self.running)

    def _arrive(self, task: Task) -> None:
        """A timer does not start what still runs."""
        same = (one for one in self.running if one.kind is Kind.FRESH and one.name == task.name)
        task.merged_into = next(same, None)
        if task.merged_into is None:
            self.start(task)

    def _work_of(self, task: Task) -> float:
        started_s = task.started_s or 0.0
        if task.kind is Kind.CATCH_UP and started_s < self.scenario.fails_until_s:
            return min(task.work_s, FAILS_AFTER_S)
        return task.work_s

    def _kill_what_does_not_fit(self) -> None:
        while self.running and self.memory > 1 + self.scenario.swap:
            victim = max(self.running, key=lambda task: task.memory)
            self.running.remove(victim)
            victim.is_killed, victim.ended_s = True, self.now_s
            self.report.oom_kills += 1
            if self.policy is not None and victim.kind is Kind.CATCH_UP:
                self.policy.ended(self, victim)

    def _share(self) -> _Shares:
        """Set every task's speed; what follows from it for the host."""
        scenario, running = self.scenario, self.running
        wanted = scenario.busy_cpus(self.now_s)
        served, cpus = self._share_cpus(wanted)
        readers = sum(task.disk for task in running)
        seeks = scenario.seek * max(0.0, readers - 1)
        disk = max(scenario.disk / (1 + seeks), scenario.disk / 4)
        disks = fair([(1.0, task.disk) for task in running], disk)
        efficiency = self._efficiency()
        runnable, waits, latency = wanted, 0.0, 1.0
        for task, cpu, bandwidth in zip(running, cpus, disks, strict=True):
            by_cpu = cpu / (task.width * task.cpu) if task.cpu else 1.0
            by_disk = bandwidth / task.disk if task.disk else 1.0
            share = min(by_cpu, by_disk)
            task.speed = max(1e-4, share * efficiency)
            runnable += task.width * (share * task.cpu + (by_cpu <= by_disk) * (1 - share))
            blocked = share * task.disk + (by_disk < by_cpu) * (1 - share) + 1 - efficiency
            waits += min(1.0, blocked) * task.width
            if task.disk and bandwidth:
                latency = max(latency, task.disk / bandwidth)
        cores = scenario.cores
        return _Shares(
            load=runnable + waits,
            cpu_pressure=min(1.0, max(0.0, (runnable - cores) / cores)),
            memory_pressure=min(1.0, 2 * (1 - efficiency)),
            latency=latency * (1 + seeks),
            efficiency=efficiency,
            services=served / wanted if wanted else 1.0,
        )

    def _share_cpus(self, wanted: float) -> tuple[float, list[float]]:
        """What the services get, and each task. Boot tasks are services, too."""
        weight = self.policy.weight if self.policy is not None else 100
        demands = [task.width * task.cpu for task in self.running]
        jobs = [n for n, task in enumerate(self.running) if task.kind is not Kind.BOOT]
        boots = [n for n, task in enumerate(self.running) if task.kind is Kind.BOOT]
        slice_weight = 100 if self._has(Kind.FRESH) else weight
        of_services = [(100.0 * max(1.0, wanted), wanted)] + [(100.0, demands[n]) for n in boots]
        groups = [
            (100.0, sum(demand for _, demand in of_services)),
            (float(slice_weight), sum(demands[n] for n in jobs)),
        ]
        for_services, for_jobs = fair(groups, self.scenario.cores)
        served, *booted = fair(of_services, for_services)
        weights = {Kind.FRESH: 100.0, Kind.CATCH_UP: float(weight)}
        given = fair([(weights[self.running[n].kind], demands[n]) for n in jobs], for_jobs)
        cpus = [0.0] * len(demands)
        for n, cpu in (*zip(boots, booted, strict=True), *zip(jobs, given, strict=True)):
            cpus[n] = cpu
        return served, cpus

    def _efficiency(self) -> float:
        """1 while memory fits; with swap the loss begins earlier, and is worse beyond."""
        full = 0.92 if self.scenario.swap else 0.98
        used = self.memory
        if used <= full:
            return 1.0
        if used <= 1:
            return 1 - 0.5 * (used - full) / (1 - full)
        return 0.5 / (1 + THRASH * (used - 1))

    def _advance(self, step_s: float, shares: _Shares) -> None:
        for task in self.running:
            task.done_s += task.speed * step_s
        self.now_s += step_s
        fades = 1 - math.exp(-step_s / (0.8 * PSI_WINDOW_S))
        self.cpu_pressure += (shares.cpu_pressure - self.cpu_pressure) * fades
        self.memory_pressure += (shares.memory_pressure - self.memory_pressure) * fades
        self.latency += (shares.latency - self.latency) * fades
        self.load += (shares.load - self.load) * (1 - math.exp(-step_s / LOAD_WINDOW_S))
        report = self.report
        report.hung_s += step_s * (shares.efficiency < 0.5)
        report.services_lost_s += step_s * (1 - shares.services * shares.efficiency)
        if any(task.tries for task in self.backlog):
            report.peak_load = max(report.peak_load, shares.load / self.scenario.cores)
            report.peak_memory = max(report.peak_memory, self.memory)

    def _end_what_is_done(self) -> None:
        for task in list(self.running):
            work_s = self._work_of(task)
            if task.done_s < work_s - 1e-9:
                continue
            self.running.remove(task)
            task.ended_s, task.has_failed = self.now_s, work_s < task.work_s
            if self.policy is not None and task.kind is Kind.CATCH_UP:
                self.policy.ended(self, task)

    def _sum_up(self, horizon_s: float) -> Report:
        report = self.report
        fresh = sorted(
            _end_of(task.merged_into or task, horizon_s) - task.arrives_s
            for task in self.fresh
            if task.arrives_s < self.now_s
        )
        report.fresh_p99_s = fresh[min(len(fresh) - 1, int(0.99 * len(fresh)))] if fresh else 0.0
        done = [task for task in self.backlog if _is_done(task)]
        report.lost = len(self.backlog) - len(done)
        on_time = [task for task in done if (task.ended_s or 0.0) <= task.deadline_s]
        report.late = len(self.backlog) - len(on_time)
        is_open = any(task.ended_s is None for task in self.backlog)
        ends = [task.ended_s for task in self.backlog if task.ended_s is not None]
        report.drain_s = horizon_s if is_open else max(ends, default=0.0)
        report.best_s = best_s(self.scenario, self.backlog, self.fresh)
        return report


def fair(wants: Sequence[tuple[float, float]], capacity: float) -> list[float]:
    """Share ``capacity`` by (weight, demand): nobody gets more than it wants."""
    given = [0.0] * len(wants)
    hungry = [n for n, (_, demand) in enumerate(wants) if demand > 0]
    while hungry and capacity > 1e-12:
        unit = capacity / sum(wants[n][0] for n in hungry)
        sated = [n for n in hungry if wants[n][1] <= wants[n][0] * unit + 1e-12]
        if not sated:
            for n in hungry:
                given[n] = wants[n][0] * unit
            break
        for n in sated:
            given[n] = wants[n][1]
            capacity -= wants[n][1]
        hungry = [n for n in hungry if n not in sated]
    return given


def best_s(scenario: Scenario, backlog: Sequence[Task], fresh: Sequence[Task]) -> float:
    """No policy that loses nothing drains faster: by CPU, by disk, by the longest run, by memory.

    What a downstream needs that is broken cannot begin before that is mended.
    """
    if not backlog:
        return 1.0
    of_fresh = sum(task.work_s * task.cpu for task in fresh) / 3600
    busy = sum(map(scenario.busy_cpus, range(3600))) / 3600
    cpus = scenario.cores - busy - of_fresh
    mean = [task.peak * (task.first + (1 - task.first) * (1 - task.grows / 2)) for task in backlog]
    return scenario.fails_until_s + max(
        sum(task.work_s * task.cpu * task.width for task in backlog) / cpus,
        sum(task.work_s * task.disk for task in backlog) / scenario.disk,
        *(task.work_s for task in backlog),
        sum(task.work_s * held for task, held in zip(backlog, mean, strict=True))
        / (1 - scenario.base_memory),
    )


def _end_of(task: Task, horizon_s: float) -> float:
    return horizon_s if task.is_killed or task.ended_s is None else task.ended_s


def _is_done(task: Task) -> bool:
    return task.ended_s is not None and not task.is_killed and not task.has_failed
