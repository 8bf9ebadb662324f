"""What can be done to a cluster: each fault, and how it is undone.

Whatever is done is written down in ``deeds``, with its time. What a container cannot have is a
clock of its own (docs/decisions/0201): hosts' clock steps are tested in VMs.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tests.machine import agent
from tests.machine.guest import MachineError
from tests.machine.machine import Machine
from tests.machine.network import Network
from tests.machine.postgres import Postgres, Stop

Store = Literal["postgres", "dir"]

DISK, FULL = "disk", "full"
UP = "basic.target"
"""What is waited for at a boot. What comes after may wait for the store, or never be finished."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done to ``whom`` (a machine's name), and when: CLOCK_REALTIME, in s."""

    at: float
    what: str
    whom: str


class Span(NamedTuple):
    """A time in which a machine was in some trouble."""

    whom: str
    since: float
    until: float


class Faults:
    """The verbs of ``Cluster``, which fills in what they need.

    ``stores`` are the machines that run PostgreSQL, the primary first.
    """

    store: Store | None
    has_store_clock: bool
    hosts: list[str]
    stores: list[str]
    machines: dict[str, Machine]
    servers: dict[str, Postgres]
    network: Network

    def __init__(self) -> None:
        """Nothing was done yet."""
        self.deeds: list[Deed] = []

    # The store
    @property
    def primary(self) -> Postgres:
        """The PostgreSQL server that takes writes (or took them, when it is down)."""
        return self.servers[self.stores[0]]

    def stop_store(self, how: Stop = "fast") -> None:
        """Stop PostgreSQL on its machine: ``fast`` in order, ``immediate`` as if it crashed."""
        self._note(f"stop_store {how}", self.stores[0])
        self.primary.stop(how)

    def start_store(self) -> None:
        """Start PostgreSQL and wait until it takes connections."""
        self.primary.start()
        self._note("start_store", self.stores[0])

    def restart_store(self, how: Stop = "immediate") -> None:
        """Stop PostgreSQL and start it again, recovering from its log if need be."""
        self.stop_store(how)
        self.start_store()

    def fail_over(self) -> None:
        """Cut the power of the primary and promote its replica; they change roles by that.

        The old primary stays off until ``rejoin``.
        """
        old, new = self.stores
        self._note("fail_over", old)
        self._cut_power(old)
        self.stores = [new, old]
        self.primary.promote()
        self._note("promoted", new)

    def rejoin(self) -> None:
        """Boot the machine that ``fail_over`` cut off and make it the replica of the other."""
        new, old = self.stores
        if not self.machines[old].is_up:
            self._power_on(old)
        self.servers[old].follow(new)
        self.primary.require_replica(required=True)
        self._note("rejoin", old)

    def fill_disk(self) -> None:
        """Leave no byte free where the store's data lies, until ``free_disk``."""
        self._note("fill_disk", DISK)
        self.network.run(f"dd if=/dev/zero of={self._data}/{FULL} bs=64k 2>/dev/null || true")

    def free_disk(self) -> None:
        """Give back what ``fill_disk`` took, and start PostgreSQL if it gave up. Idempotent."""
        self._empty_disk()
        if self.stores and self.machines[self.stores[0]].is_up:
            self.primary.start()

    # Power and time
    def kill(self, name: str) -> None:
        """Cut a machine's power; those it talked to hear nothing of that."""
        self._note("kill", name)
        self._cut_power(name)

    def boot(self, name: str) -> None:
        """Power a machine on; the server of a store's machine is started, too."""
        self._power_on(name)
        if name in self.servers:
            self.servers[name].start()
        self._note("boot", name)

    def reboot(self, name: str) -> None:
        """Shut a machine down in order and boot it again."""
        self._note("reboot", name)
        self.machines[name].shut_down()
        self.machines[name].boot(UP)
        if name in self.servers:
            self.servers[name].start()
        self._note("boot", name)

    def pause(self, name: str) -> None:
        """Freeze a machine whole, as a VM that is not scheduled any more. Clocks go on.

        Its kernel is the host's and still acknowledges what is sent to it; add ``partition``
        where that must not be.
        """
        self.machines[name].pause()
        self._note("pause", name)

    def resume(self, name: str) -> None:
        """Let a frozen machine go on."""
        self._note("resume", name)
        self.machines[name].resume()

    def step_clock(self, name: str, seconds: float) -> None:
        """Set PostgreSQL's clock to so many seconds ahead of the true time; 0: back to it.

        A host's is never stepped: containers share one clock, and PID 1 and the agent would have
        to see the same other one (docs/decisions/0201). Those steps are tested in VMs.
        """
        if name not in self.servers:
            raise NotImplementedError(f"{name} has no clock of its own to step by {seconds} s")
        self._note(f"step_clock {seconds:+g}" if seconds else "true_clock", name)
        self.servers[name].set_clock(seconds)

    # The agent
    def kill_agent(self, name: str) -> None:
        """SIGKILL to a host's agent; systemd starts it again."""
        self._note("kill_agent", name)
        agent.kill_agent(self.machines[name])

    def restart_agent(self, name: str) -> None:
        """Begin an orderly restart of a host's agent; it may take until the store is there."""
        self._note("restart_agent", name)
        self.machines[name].succeed("systemctl restart --no-block hostagent.service")

    def stop_agent(self, name: str) -> None:
        """SIGSTOP to a host's agent and nothing else: it hangs, its jobs and PID 1 go on."""
        self.machines[name].succeed(
            "systemctl kill --signal=STOP --kill-whom=main hostagent.service"
        )
        self._note("stop_agent", name)

    def cont_agent(self, name: str) -> None:
        """SIGCONT to a host's agent. Harmless to one that was not stopped."""
        self._note("cont_agent", name)
        self.machines[name].run("systemctl kill --signal=CONT --kill-whom=main hostagent.service")

    # The network
    def partition(self, name: str) -> None:
        """Cut a machine off from everything: what it sends, and what is sent to it, vanishes."""
        self.network.cut(name)
        self._note("partition", name)

    def cut_store(self, name: str) -> None:
        """Cut a host off from the store, and from nothing else."""
        for store in self.stores:
            self.network.cut_between(name, store)
        self._note("cut_store", name)

    def slow_net(
        self, name: str, delay_ms: float, jitter_ms: float = 0, loss_percent: float = 0
    ) -> None:
        """Make a machine's wire slow: each way ``delay_ms`` +- ``jitter_ms``, some of it lost."""
        self.network.slow_down(name, delay_ms, jitter_ms, loss_percent)
        self._note("slow_net", name)

    def heal(self, name: str) -> None:
        """Undo whatever was done to a machine's network. Idempotent."""
        self._note("heal", name)
        self.network.mend(name)

    def heal_all(self) -> None:
        """Undo every fault: all machines on, going and connected, the store up, agents going."""
        self._empty_disk()
        for name, machine in self.machines.items():
            self.heal(name)
            if machine.is_paused:
                self.resume(name)
        if self.stores:
            self._heal_stores()
        for name in self.hosts:
            if not self.machines[name].is_up:
                self.boot(name)
            self.cont_agent(name)

    def _heal_stores(self) -> None:
        primary, *others = self.stores
        if self.has_store_clock:
            for name in self.stores:
                self.step_clock(name, 0)
        if not self.machines[primary].is_up:
            self.boot(primary)
        self.start_store()
        for name in others:
            if not self.machines[name].is_up:
                self.rejoin()

    # What was done
    def spans(self, begin: Collection[str], end: Collection[str]) -> list[Span]:
        """From each deed named in ``begin`` to the next one in ``end`` on the same machine.

        What lasts still ends now. A detail after the deed's name does not count.
        """
        since: dict[str, float] = {}
        spans = []
        for deed in self.deeds:
            what = deed.what.split()[0]
            if what in begin:
                since.setdefault(deed.whom, deed.at)
            elif what in end and deed.whom in since:
                spans.append(Span(deed.whom, since.pop(deed.whom), deed.at))
        return spans + [Span(name, at, time.time()) for name, at in since.items()]

    def _note(self, what: str, whom: str) -> None:
        self.deeds.append(Deed(time.time(), what, whom))

    def _cut_power(self, name: str) -> None:
        self.network.leave(name)  # first: a dying kernel's sockets would say goodbye
        self.machines[name].crash()

    def _power_on(self, name: str) -> None:
        self.network.renew(name)
        self.machines[name].boot(UP)

    def _empty_disk(self) -> None:
        self.network.run(f"rm -f */{FULL}")
        self._note("free_disk", DISK)

    @property
    def _data(self) -> str:
        """The file system of the store's data, as ``network.run`` sees it."""
        if not self.store:
            raise MachineError("this cluster has no shared store")
        return f"data-{self.stores[0]}" if self.stores else "shared"
