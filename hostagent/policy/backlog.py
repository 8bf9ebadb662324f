"""The facts of the catch-up gate: what waits, what goes, how loaded the host is, what was before.

All of it is frozen; times called ``_s`` are CLOCK_BOOTTIME.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hostagent.model import Lane
from hostagent.policy.breaker import Breaker
from hostagent.policy.pace import Pace
from hostagent.policy.peak import Peak


@dataclass(frozen=True, slots=True)
class Limits:
    """The constants of the rules, as ``[gate]`` in agent.toml may set them.

    ``cpu_pressure`` and ``memory_pressure`` are percent of the time, ``memory_reserve`` and
    ``memory_floor`` of RAM, ``disk_latency`` of what is normal. ``memory_full`` is percent of the
    time, too: over it, or when memory runs out, also fresh runs of the lanes ``hold_fresh`` wait.
    """

    settle: timedelta = timedelta(seconds=60)
    step: timedelta = timedelta(seconds=10)
    per_core: int = 4
    cpu_pressure: int = 25
    disk_latency: int = 150
    memory_reserve: int = 10
    memory_floor: int = 5
    memory_pressure: int = 30
    pass_for: timedelta = timedelta(minutes=10)
    memory_full: int = 20
    hold_fresh: tuple[Lane, ...] = ()


DEFAULTS = Limits()

QUICK_MS = 10.0
"""A disk that answers within that is not slow, however quick it was before."""

CAREFUL_FOR = timedelta(minutes=10)

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""The deadline of what is never lost: a backfill is the last in its lane."""

CLOCK_FOR = timedelta(minutes=5)
"""How long after a wake a clock is waited for: where there is no network, it is never set."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Of the host, in bytes."""

    total: int
    available: int


@dataclass(frozen=True, slots=True)
class Disk:
    """What a request took in the last seconds, and what one took before the backlog; in ms."""

    name: str
    latency: float
    normal: float


@dataclass(frozen=True, slots=True)
class Signals:
    """What the host says of itself; None: it does not say.

    ``cpu_pressure`` is the percentage of the last seconds in which something waited for a CPU,
    ``memory_pressure`` that of 5 whole seconds for memory, ``load`` the load average of the last
    minute. ``disk`` is the one that is slowest by its own measure. ``is_clock_set``: the clock was
    synchronised since the boot. ``memory_full`` is the percentage of the last 10 s in which all
    that could run waited for memory, as the kernel averages it.
    """

    cpu_pressure: float | None = None
    load: float | None = None
    memory: Memory | None = None
    memory_pressure: float | None = None
    disk: Disk | None = None
    is_clock_set: bool | None = None
    memory_full: float | None = None


@dataclass(frozen=True, slots=True)
class Wake:
    """What the host has to settle after: a boot, a resume, an absence. ``at_s``: when it was."""

    at_s: float
    why: str = "the agent came up"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A missed run that asks. ``deadline``: its occurrence is lost then. ``since_s``: held since.

    ``peak`` None: the host does not tell its memory. It was due at ``due`` and stands for
    ``covers`` occurrences. ``hold`` is a person's order that it waits; ``is_released`` one that it
    goes, ``is_paced`` that it does so at ``Facts.pace``. ``attempt`` counts from 1. ``is_fresh``:
    it was not missed, and waits for a place of its pool, or for memory where its lane is told to.
    """

    name: str
    lane: Lane
    pool: str | None
    weight: float
    deadline: datetime
    since_s: float
    peak: Peak | None = None
    due: datetime | None = None
    covers: int = 1
    attempt: int = 1
    hold: str | None = None
    is_released: bool = False
    is_paced: bool = False
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class Going:
    """A run of a job that goes on here. ``growth``: the memory that it may still take.

    ``memory`` is what it holds; None: nobody counts it. ``may_stop``: the gate may stop it.
    ``is_ending``: it was asked to end.
    """

    name: str
    lane: Lane
    pool: str | None
    weight: float
    is_catch_up: bool
    growth: int = 0
    age: timedelta = timedelta(0)
    memory: int | None = None
    may_stop: bool = False
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """What the gate remembers from one question to the next; never changed, but replaced.

    ``grown_at_s``: when the level was first used, or grew. ``seen_s``: when there was a backlog.
    ``lost_s``: when it was seen that the host had gone down while something caught up.
    ``head``: who is first in order, and since when (``head_s``). ``stopped_s``: when a run was
    stopped last, ``paced_s`` when one went last that a person releases at a pace.
    """

    level: float = 1.0
    grown_at_s: float | None = None
    seen_s: float = 0.0
    head: str = ""
    head_s: float = 0.0
    stopped_s: float = float("-inf")
    lost_s: float = float("-inf")
    paced_s: float = float("-inf")
    breakers: Mapping[tuple[str | None, Lane], Breaker] = field(default_factory=dict)


START = State()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the gate looks at. ``wake``: the last one. ``pools``: how many places each has.

    ``pace``: how fast a person lets go what is paced.
    """

    limits: Limits
    now_s: float
    wake: Wake
    cores: int
    signals: Signals
    waiting: tuple[Waiting, ...] = ()
    going: tuple[Going, ...] = ()
    state: State = START
    pools: Mapping[str, int] = field(default_factory=dict)
    pace: Pace | None = None

    @property
    def missed(self) -> tuple[Waiting, ...]:
        """Who waits and was missed."""
        return tuple(job for job in self.waiting if not job.is_fresh)

    @property
    def caught_up(self) -> tuple[Going, ...]:
        """The catch-up runs among those that go."""
        return tuple(run for run in self.going if run.is_catch_up)

    @property
    def level(self) -> float:
        """The weight that may catch up at once."""
        signals = self.signals
        is_blind = signals.cpu_pressure is None and signals.load is None
        if is_blind or signals.memory is None:
            return max(1, self.cores // 2)
        return 1 if self.is_careful else min(self.state.level, self.most)

    @property
    def is_careful(self) -> bool:
        """One at a time: what caught up when the host went down may be what brought it down."""
        return self.now_s < self.state.lost_s + CAREFUL_FOR.total_seconds()

    @property
    def most(self) -> int:
        """What the level never exceeds."""
        return self.limits.per_core * self.cores

    @property
    def used(self) -> float:
        """The weight that catches up now."""
        return sum(run.weight for run in self.caught_up)

    @property
    def reserve(self) -> int:
        """The memory that stays free of what is caught up; 0 where nobody tells."""
        memory = self.signals.memory
        return memory.total * self.limits.memory_reserve // 100 if memory else 0

    @property
    def room(self) -> int:
        """The memory that a run may take now; 0 where nobody tells."""
        memory = self.signals.memory
        grows = sum(run.growth for run in self.going)
        return memory.available - self.reserve - grows if memory else 0

    @property
    def slow_ms(self) -> float | None:
        """Above what the disk's requests are slow; None: no disk is known."""
        disk = self.signals.disk
        return max(QUICK_MS, disk.normal * self.limits.disk_latency / 100) if disk else None
