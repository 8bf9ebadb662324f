"""One run: a cluster, its load, what befalls it, and the judgement."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from hostagent.deploy import ledger
from hostagent.deploy.actions import Facts
from hostagent.errors import HostagentError
from hostagent.model import Job
from hostagent.policy.lease import TTL
from tests.machine.verdict import Report
from tests.simulation import load
from tests.simulation.agent import US, Surroundings
from tests.simulation.clocks import instant, micros
from tests.simulation.faults import Nemesis, tried
from tests.simulation.history import Broken, Bugs, History
from tests.simulation.host import Host
from tests.simulation.judge import judge
from tests.simulation.load import Load
from tests.simulation.loop import MICROS, VirtualLoop, current
from tests.simulation.store import SharedStore, StoreClock

MEMORY = Path("/dev/shm")
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SETTLE = timedelta(minutes=25)
"""From the last occurrence to the judgement: a parked session lasts 10 min, a run 10 more."""

CALM_US = 4_500_000
"""After anything happened, so much time is played before idle time is skipped."""

LANDING_US = 200_000


Script = Callable[["Simulation"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated. ``faults`` per hour; ``kinds`` empty: all of them."""

    seed: int
    days: float = 1.0
    hosts: int = 4
    faults: float = 0.0
    kinds: tuple[str, ...] = ()
    is_busy: bool = False
    leaps: bool = True
    ttl: timedelta = TTL


@dataclass(slots=True)
class Result:
    """What came of it."""

    plan: Plan
    report: Report
    problems: list[str]
    wall_s: float
    cpu_s: float
    beats: int
    faults: Counter[str]
    trace: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Every promise was kept."""
        return not self.problems

    def __str__(self) -> str:
        days = self.plan.days
        rate = days / self.cpu_s * 60 if self.cpu_s else 0.0
        text = (
            f"SEED={self.plan.seed} {days:g} days of {self.plan.hosts} hosts in {self.wall_s:.1f} s"
            f" ({self.cpu_s:.1f} s of CPU: {rate:.1f} cluster-days a minute), {self.beats} beats\n"
            f"{self.report}"
        )
        if self.faults:
            text += "\nfaults: " + ", ".join(f"{n} x {k}" for k, n in sorted(self.faults.items()))
        return text + "".join(f"\nBROKEN: {problem}" for problem in self.problems)


class Simulation:
    """A cluster in one process."""

    def __init__(
        self, plan: Plan, place: Path, script: Script | None = None, one_load: Load | None = None
    ) -> None:
        self.plan = plan
        self._script = script
        self.rnd = Random(plan.seed)
        self.until = BEGIN + timedelta(days=plan.days)
        self.loop = VirtualLoop(micros(BEGIN))  # type: ignore[abstract]
        self.clock = StoreClock(self.loop)
        self.store = SharedStore(place / "state.db", self.clock, self.rnd)
        normal = load.busy(self.rnd, self.until) if plan.is_busy else load.normal(self.until)
        self.load = one_load or normal
        self.jobs: tuple[Job, ...] = self.load.jobs
        self.history = History(
            self.loop,
            self.rnd,
            self.clock,
            self.load.durations,
            self.say,
            stubborn=self.load.stubborn,
        )
        self.trace: list[str] = []
        around = Surroundings(self.store, plan.ttl, self.rnd, self._record)
        self.hosts = [
            Host(
                f"host{number}",
                self.loop,
                self.rnd,
                place,
                around,
                self.history,
                offset=round(self.rnd.gauss(0, 0.02) * MICROS),
            )
            for number in range(plan.hosts)
        ]
        self.nemesis = Nemesis(self)
        self._generation = 0
        self.loop.leap = self._leap if plan.leaps and script is None else lambda gap: 0

    def run(self) -> None:
        """From the first apply until everything has settled."""
        try:
            self.loop.run(self._main())
        finally:
            for host in self.hosts:
                host.end()

    async def _main(self) -> None:
        for host in self.hosts:
            host.boot()
            self.apply(host)
        if self._script is not None:
            await self._script(self)
        await self.nemesis.rage(micros(self.until) - 2 * MICROS)
        self.nemesis.heal()
        await self.loop.sleep_until(micros(self.until + SETTLE))

    def apply(self, host: Host) -> bool:
        """``hostagent apply`` on one host; False: the store was away, or its clock is wrong."""
        is_off = abs(self.clock.offset) > MICROS  # what it registers now would hold from then on
        if self._generation and (is_off or not host.link.is_fair):
            return False
        self._generation += 1
        new = load.manifest(self.jobs, host.name, self._generation, host.clock.now())
        facts = Facts(host.manifest, [], {}, set(), None)
        try:
            ledger.register(self.store, facts, new, self.store.now())
        except HostagentError as error:
            self.say(f"apply on {host.name}: {error.message}")
            return False
        host.deploy(new, load.unit_files(new))
        agent = host.agent
        if agent is not None and agent.service is not None:
            agent.process.spawn(tried(agent.service.reload(US)))
        return True

    def say(self, what: str) -> None:
        """For whoever reads the trace of a seed."""
        at = instant(self.loop.true_now)
        self.trace.append(f"{at:%d %H:%M:%S.%f} {current():16} {what}")

    def _record(self, message: str, fields: dict[str, str]) -> None:
        self.say(message)

    def _leap(self, gap: int) -> int:
        """By how much idle time may be skipped, when the next event is so far."""
        if (
            gap < CALM_US
            or self.loop.now - self.loop.last_event < CALM_US
            or self.nemesis.is_raging
        ):
            return 0
        if not all(h.agent is not None and h.agent.is_idle for h in self.hosts):
            return 0
        by = gap - LANDING_US
        self.store.leap(by)
        return by


def simulate(plan: Plan, script: Script | None = None, one_load: Load | None = None) -> Result:
    """Run and judge. ``script`` is played first, with ``one_load`` instead of the plan's."""
    began, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        one = Simulation(plan, Path(name), script, one_load)
        with _listening(one):
            problems: list[str] = []
            try:
                one.run()
            except Broken as error:
                problems.append(str(error))
        report = judge(one)
        one.store.close()
        for host in one.hosts:
            host.ledger.close()
    found = [*dict.fromkeys([*problems, *one.history.problems])]
    if not found:
        found += [f"{v.breach}: {v.about}: {v.what}" for v in report.violations]
    return Result(
        plan,
        report,
        found,
        time.monotonic() - began,
        time.process_time() - cpu,
        sum(host.beats for host in one.hosts),
        one.nemesis.counts,
        one.trace,
    )


@contextlib.contextmanager
def _listening(one: Simulation) -> Iterator[None]:
    """Hear what the agents log."""
    logger, handler = logging.getLogger("hostagent"), Bugs(one.history)
    logger.addHandler(handler)
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
