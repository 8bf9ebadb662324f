"""Makes trouble for a cluster: faults at random, from one seed, each undone after a while.

A host has one fault at a time, so has the store, and some hosts are always left alone. Given the
seed, which fault comes when, to whom and for how long is fixed; what the cluster makes of it is
not. What was done is printed as it is done, and is in ``cluster.deeds``.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.machine.cluster import Cluster
from tests.machine.guest import MachineError

Act = Callable[[Cluster, str], None]

SHORT_S, LONG_S = (1.0, 6.0), (12.0, 30.0)
"""A fault lasts a moment, or long enough that leases expire: as likely."""

STORE = "store"
DRAWS = 10
"""How often another fault is drawn when its victim has one already."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to do to a machine, and how it is undone; None: it undoes itself."""

    act: Act
    undo: Act | None = None


def _slow(cluster: Cluster, name: str) -> None:
    cluster.slow_net(name, delay_ms=200, jitter_ms=100, loss_percent=2)


def _step(seconds: float) -> Act:
    def step(cluster: Cluster, _: str) -> None:
        cluster.step_clock(cluster.primary.machine.name, seconds)

    return step


HOST_FAULTS = {
    "kill": Fault(Cluster.kill, Cluster.boot),
    "reboot": Fault(Cluster.reboot),
    "pause": Fault(Cluster.pause, Cluster.resume),
    "stop_agent": Fault(Cluster.stop_agent, Cluster.cont_agent),
    "kill_agent": Fault(Cluster.kill_agent),
    "restart_agent": Fault(Cluster.restart_agent),
}
NETWORK_FAULTS = {
    "partition": Fault(Cluster.partition, Cluster.heal),
    "cut_store": Fault(Cluster.cut_store, Cluster.heal),
    "slow_net": Fault(_slow, Cluster.heal),
}
DISK_FAULTS = {"fill_disk": Fault(lambda c, _: c.fill_disk(), lambda c, _: c.free_disk())}
STORE_FAULTS = DISK_FAULTS | {
    "restart_store": Fault(lambda c, _: c.restart_store()),
    "stop_store": Fault(lambda c, _: c.stop_store(), lambda c, _: c.start_store()),
    "kill_store": Fault(
        lambda c, _: c.kill(c.primary.machine.name), lambda c, _: c.boot(c.primary.machine.name)
    ),
    "partition_store": Fault(
        lambda c, _: c.partition(c.primary.machine.name),
        lambda c, _: c.heal(c.primary.machine.name),
    ),
}
REPLICA_FAULTS = {"fail_over": Fault(lambda c, _: c.fail_over(), lambda c, _: c.rejoin())}
CLOCK_FAULTS = {
    name: Fault(_step(seconds), _step(0))
    for name, seconds in {
        "store_ahead": 3600.0,
        "store_behind": -3600.0,
        "store_fast": 0.7,
        "store_slow": -0.7,
    }.items()
}
"""Far out of bounds, where nothing may start, and within them, where nothing may start early."""

OF_THE_STORE = {**STORE_FAULTS, **REPLICA_FAULTS, **CLOCK_FAULTS}


def faults_of(cluster: Cluster) -> dict[str, Fault]:
    """All faults that mean something for a cluster of this kind."""
    faults = dict(HOST_FAULTS)
    if cluster.store == "dir":
        faults |= DISK_FAULTS
    if cluster.store == "postgres":
        faults |= NETWORK_FAULTS | STORE_FAULTS
        if "store2" in cluster.machines:
            faults |= REPLICA_FAULTS
        if cluster.has_store_clock:
            faults |= CLOCK_FAULTS
    return faults


class Nemesis:
    """One schedule of faults. ``done`` says what was done: time, fault, victim, for how long."""

    def __init__(
        self,
        cluster: Cluster,
        seed: int,
        faults: Sequence[str] = (),
        every_s: float = 10,
        *,
        spare: int = 1,
    ) -> None:
        """A fault of ``faults`` (default: all there are) each ``every_s``; prints the seed.

        ``spare``: how many hosts are left alone at any instant.
        """
        known = faults_of(cluster)
        self.cluster = cluster
        self.done: list[tuple[float, str, str, float]] = []
        self._faults = {name: known[name] for name in faults or known}
        self._every_s = every_s
        self._most = len(cluster.hosts) - spare
        self._chance = random.Random(seed)
        self._to_undo: list[tuple[float, int, str, Fault]] = []
        self._count = itertools.count()
        print(f"SEED={seed}")

    def run(self, for_s: float) -> None:
        """Make trouble for so long, then undo all of it, whatever happens."""
        try:
            began = time.monotonic()
            for number in itertools.count(1):
                at = began + min(number * self._every_s, for_s)
                self._undo_until(at)
                time.sleep(max(0.0, at - time.monotonic()))
                if at >= began + for_s:
                    return
                self.strike()
        finally:
            self.cluster.heal_all()
            self._say("all is healed", "", 0)

    def strike(self) -> None:
        """Do one fault to a victim that has none; nothing, where none is found soon."""
        for _ in range(DRAWS):
            name = self._chance.choice(sorted(self._faults))
            host = self._chance.choice(self.cluster.hosts)
            for_s = self._chance.uniform(*self._chance.choice((SHORT_S, LONG_S)))
            victim = STORE if name in OF_THE_STORE else host
            if self._may_suffer(victim):
                self._do(name, victim, host, for_s)
                return

    def _may_suffer(self, victim: str) -> bool:
        afflicted = {whom for _, _, whom, _ in self._to_undo}
        is_host = victim != STORE
        return victim not in afflicted and not (is_host and len(afflicted - {STORE}) >= self._most)

    def _do(self, name: str, victim: str, host: str, for_s: float) -> None:
        fault = self._faults[name]
        self._say(name, victim, for_s if fault.undo else 0)
        self._try(fault.act, host, f"{name} of {victim}")
        if fault.undo:
            entry = (time.monotonic() + for_s, next(self._count), victim, fault)
            heapq.heappush(self._to_undo, entry)

    def _undo_until(self, at: float) -> None:
        while self._to_undo and self._to_undo[0][0] <= at:
            due, _, victim, fault = heapq.heappop(self._to_undo)
            time.sleep(max(0.0, due - time.monotonic()))
            if fault.undo:
                self._try(fault.undo, victim, f"the end of a fault of {victim}")

    def _try(self, act: Act, name: str, what: str) -> None:
        """An agent that is just being started cannot be stopped, say; in the end all is healed."""
        try:
            act(self.cluster, name)
        except MachineError as error:
            self._say(f"{what} was not possible: {str(error).splitlines()[0]}", name, 0)

    def _say(self, fault: str, victim: str, for_s: float) -> None:
        self.done.append((time.time(), fault, victim, for_s))
        lasting = f" for {for_s:.1f} s" if for_s else ""
        print(f"{time.strftime('%H:%M:%S', time.gmtime())} {fault} {victim}{lasting}", flush=True)
