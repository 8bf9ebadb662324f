"""A cluster: container machines on one network, a store that they share, and faults for both.

``Cluster(roots, hosts=3, store="postgres")`` boots host1 … host3 and a machine ``store`` that runs
Debian's PostgreSQL; with ``store="dir"`` all hosts see one directory instead. Names resolve by
/etc/hosts. Jobs write their history outside (``history.py``); each fault is written down, too, in
``deeds``. What a container cannot have is a clock of its own (docs/decisions/0201): clock
steps are tested in VMs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from tests.machine import agent, history
from tests.machine.guest import MachineError
from tests.machine.machine import Machine
from tests.machine.network import Network
from tests.machine.postgres import DATA, SIZE, Postgres, Stop

Store = Literal["postgres", "dir"]

SHARED = "/mnt/shared"
SHARED_SIZE = "64m"
STORES = ("store", "store2")
FIRST_HOST, FIRST_STORE = 11, 2
DROP_IN = "[Service]\nEnvironment=PGPASSFILE=/etc/hostagent/pgpass\n"
FULL = "full"
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


class Cluster:
    """``machines`` by their names; ``hosts`` are those that run agents. A context manager."""

    def __init__(
        self,
        roots: Mapping[str, Sequence[Path]] | Any,
        hosts: int = 3,
        *,
        store: Store | None = "postgres",
        replica: bool = False,
        settings: str = "",
        release: str = "bookworm",
    ) -> None:
        """Boot all of it, with no agent: ``deploy`` starts those.

        With ``replica``, PostgreSQL has a second machine, ``store2``, that holds every commit
        before it is acknowledged. ``settings`` are further lines of each agent.toml.
        """
        self.hosts = [f"host{number}" for number in range(1, hosts + 1)]
        self.store = store
        self.settings = settings
        self.machines: dict[str, Machine] = {}
        self.deeds: list[Deed] = []
        self.network = Network()
        self._stores = list(STORES[: 1 + replica]) if store == "postgres" else []
        self._servers: dict[str, Postgres] = {}
        try:
            self._attach()
            if self._stores:
                self._boot_stores(roots["bookworm+postgres"])
            self._boot_hosts(roots[release])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Machine:
        """The machine of that name."""
        return self.machines[name]

    def close(self) -> None:
        """Remove every trace of the cluster. Idempotent."""
        for machine in self.machines.values():
            machine.close()
        self.network.close()

    # The store
    @property
    def url(self) -> str:
        """The store's URL, as agent.toml has it."""
        if self.store == "dir":
            return f"dir://{SHARED}/hostagent"
        if len(self._stores) > 1:
            some = ",".join(self._stores)
            return f"postgresql://hostagent@{some}/hostagent?target_session_attrs=read-write"
        return "postgresql://hostagent@store/hostagent"

    @property
    def primary(self) -> Postgres:
        """The PostgreSQL server that takes writes (or took them, when it is down)."""
        return self._servers[self._stores[0]]

    def psql(self, sql: str) -> str:
        """Run SQL in the store's database as its superuser; rows as ``a|b`` lines."""
        return self.primary.psql(sql)

    def stop_store(self, how: Stop = "fast") -> None:
        """Stop PostgreSQL on its machine: ``fast`` in order, ``immediate`` as if it crashed."""
        self._note(f"stop_store {how}", self._stores[0])
        self.primary.stop(how)

    def start_store(self) -> None:
        """Start PostgreSQL and wait until it takes connections."""
        self.primary.start()
        self._note("start_store", self._stores[0])

    def restart_store(self, how: Stop = "immediate") -> None:
        """Stop PostgreSQL and start it again, recovering from its log if need be."""
        self.stop_store(how)
        self.start_store()

    def fail_over(self) -> None:
        """Cut the power of the primary and promote its replica; they change roles by that.

        The old primary stays off until ``rejoin``.
        """
        old, new = self._stores
        self._note("fail_over", old)
        self._cut_power(old)
        self._stores = [new, old]
        self.primary.promote()
        self._note("promoted", new)

    def rejoin(self) -> None:
        """Boot the machine that ``fail_over`` cut off and make it the replica of the other."""
        new, old = self._stores
        if not self[old].is_up:
            self._power_on(old)
        self._servers[old].follow(new)
        self.primary.require_replica(required=True)
        self._note("rejoin", old)

    def fill_disk(self) -> None:
        """Leave no byte free where the store's data lies, until ``free_disk``."""
        self._note("fill_disk", self._data)
        self.network.run(f"dd if=/dev/zero of={self._data}/{FULL} bs=64k 2>/dev/null || true")

    def free_disk(self) -> None:
        """Give back what ``fill_disk`` took, and start PostgreSQL if it gave up. Idempotent."""
        self.network.run(f"rm -f {self._data}/{FULL}")
        self._note("free_disk", self._data)
        if self._stores and self[self._stores[0]].is_up:
            self.primary.start()

    # Power and time
    def kill(self, name: str) -> None:
        """Cut a machine's power; those it talked to hear nothing of that."""
        self._note("kill", name)
        self._cut_power(name)

    def boot(self, name: str) -> None:
        """Power a machine on; the server of a store's machine is started, too."""
        self._power_on(name)
        if name in self._servers:
            self._servers[name].start()
        self._note("boot", name)

    def reboot(self, name: str) -> None:
        """Shut a machine down in order and boot it again."""
        self._note("reboot", name)
        self[name].shut_down()
        self[name].boot(UP)
        if name in self._servers:
            self._servers[name].start()
        self._note("boot", name)

    def pause(self, name: str) -> None:
        """Freeze a machine whole, as a VM that is not scheduled any more. Clocks go on.

        Its kernel is the host's and still acknowledges what is sent to it; add ``partition``
        where that must not be.
        """
        self[name].pause()
        self._note("pause", name)

    def resume(self, name: str) -> None:
        """Let a frozen machine go on."""
        self._note("resume", name)
        self[name].resume()

    def step_clock(self, name: str, seconds: float) -> None:
        """Never done here: containers share the host's clock; clock steps are tested in VMs."""
        raise NotImplementedError(f"{name} has no clock of its own to step by {seconds} s")

    # The agent
    def kill_agent(self, name: str) -> None:
        """SIGKILL to a host's agent; systemd starts it again."""
        self._note("kill_agent", name)
        agent.kill_agent(self[name])

    def restart_agent(self, name: str) -> None:
        """Begin an orderly restart of a host's agent; it may take until the store is there."""
        self._note("restart_agent", name)
        self[name].succeed("systemctl restart --no-block hostagent.service")

    def stop_agent(self, name: str) -> None:
        """SIGSTOP to a host's agent and nothing else: it hangs, its jobs and PID 1 go on."""
        self[name].succeed("systemctl kill --signal=STOP --kill-whom=main hostagent.service")
        self._note("stop_agent", name)

    def cont_agent(self, name: str) -> None:
        """SIGCONT to a host's agent. Harmless to one that was not stopped."""
        self._note("cont_agent", name)
        self[name].run("systemctl kill --signal=CONT --kill-whom=main hostagent.service")

    # The network
    def partition(self, name: str) -> None:
        """Cut a machine off from everything: what it sends, and what is sent to it, vanishes."""
        self.network.cut(name)
        self._note("partition", name)

    def cut_store(self, name: str) -> None:
        """Cut a host off from the store, and from nothing else."""
        for store in self._stores:
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
        if self.store:
            self.network.run(f"rm -f {self._data}/{FULL}")
            self._note("free_disk", self._data)
        for name, machine in self.machines.items():
            self.heal(name)
            if machine.is_paused:
                self.resume(name)
        for name in [*self._stores[:1], *self.hosts]:
            if not self[name].is_up:
                self.boot(name)
        if self._stores:
            self.start_store()
            for name in self._stores[1:]:
                if not self[name].is_up:
                    self.rejoin()
        for name in self.hosts:
            self.cont_agent(name)

    # The agents and their jobs
    def deploy(self, jobs: str) -> None:
        """Install an agent on every host and deploy ``jobs`` (the text of a jobs.toml)."""
        first, *others = self.hosts
        self[first].succeed("mkdir -p /mnt/shared/hostagent" if self.store == "dir" else "true")
        self._install(first, jobs)
        self.everywhere(lambda name: self._install(name, jobs), others)

    def apply(self, jobs: str) -> None:
        """Deploy another jobs.toml on every host, one host after the other."""
        for name in self.hosts:
            agent.apply(self[name], jobs)

    def everywhere(self, act: Callable[[str], object], hosts: Sequence[str] | None = None) -> None:
        """Call ``act`` with the name of each host, at once."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(act, self.hosts if hosts is None else hosts))

    def history(self) -> list[history.Line]:
        """What the jobs of all hosts wrote down, in order."""
        return history.read(self.network.place("history"))

    def runs(self) -> list[dict[str, Any]]:
        """The rows of the shared ledger, oldest first, as the first host shows them."""
        return agent.runs(self[self.hosts[0]])

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

    def last_words(self, lines: int) -> Iterator[tuple[str, str]]:
        """For reports: each machine's name and the end of its journal, and the deeds."""
        yield "deeds", "\n".join(f"{d.at:.3f} {d.what} {d.whom}" for d in self.deeds[-lines:])
        for name, machine in self.machines.items():
            machine.resume()
            yield f"journal of {name}", machine.last_words(lines)

    def _cut_power(self, name: str) -> None:
        self.network.leave(name)  # first: a dying kernel's sockets would say goodbye
        self[name].crash()

    def _power_on(self, name: str) -> None:
        self.network.renew(name)
        self[name].boot(UP)

    # Making it
    def _attach(self) -> None:
        """Lay the wires, and the directories that outlive machines."""
        for number, name in enumerate(self._stores, FIRST_STORE):
            self.network.join(name, number)
        for number, name in enumerate(self.hosts, FIRST_HOST):
            self.network.join(name, number)
        self.network.directory("history", "256m")
        self.network.run("chmod 1777 history")
        if self.store == "dir":
            self.network.directory("shared", SHARED_SIZE)

    def _boot_stores(self, lower: Sequence[Path]) -> None:
        password = None
        for name in self._stores:
            data = self.network.directory(f"data-{name}", SIZE)
            if name == self._stores[0]:
                self.network.run(f"cp -a {lower[-1]}{DATA}/. {data}/")
            else:
                self.network.run(f"cp -a {lower[-1]}{DATA}/. {data}/; rm -rf {data}/*/main/*")
            machine = self._boot(name, lower, {DATA: data})
            server = Postgres(machine, self.network.addresses[name], password)
            self._servers[name], password = server, server.password
        self.primary.start()
        self.primary.create()
        if len(self._stores) > 1:
            self.rejoin()

    def _boot_hosts(self, lower: Sequence[Path]) -> None:
        binds = {history.PLACE: f"{self.network.base}/history"}
        if self.store == "dir":
            binds[SHARED] = f"{self.network.base}/shared"
        for name in self.hosts:
            machine = self._boot(name, lower, binds)
            machine.write(history.WORK, history.PROGRAM, 0o755)
            store = f'store = "{self.url}"\n' if self.store else ""
            machine.write("/etc/hostagent/agent.toml", store + self.settings)
            if self._stores:
                machine.write("/etc/systemd/system/hostagent.service.d/password.conf", DROP_IN)
                line = f"*:5432:*:hostagent:{self.primary.password}\n"
                machine.write("/etc/hostagent/pgpass", line, 0o600)
                machine.succeed("ln -s /etc/hostagent/pgpass /root/.pgpass")

    def _boot(self, name: str, lower: Sequence[Path], binds: Mapping[str, str]) -> Machine:
        path = f"{self.network.base}/net/{name}"
        keeper = self.network.keeper
        machine = Machine(name, lower, within=keeper, network=path, binds=binds)
        self.machines[name] = machine
        known = {"localhost": "127.0.0.1", **self.network.addresses}
        machine.write("/etc/hosts", "".join(f"{at} {who}\n" for who, at in known.items()))
        return machine

    def _install(self, name: str, jobs: str) -> None:
        self[name].succeed("hostagent agent install")
        agent.apply(self[name], jobs)

    @property
    def _data(self) -> str:
        """The file system of the store's data, as ``network.run`` sees it."""
        if not self.store:
            raise MachineError("this cluster has no shared store")
        return f"data-{self._stores[0]}" if self._stores else "shared"

    def _note(self, what: str, whom: str) -> None:
        self.deeds.append(Deed(time.time(), what, whom))
