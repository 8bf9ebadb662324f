"""A cluster: container machines on one network, a store that they share, and faults for both.

``Cluster(roots, hosts=3, store="postgres")`` boots host1 … host3 and a machine ``store`` that runs
Debian's PostgreSQL; with ``store="dir"`` all hosts see one directory instead. Names resolve by
/etc/hosts. Jobs write their history outside (``history.py``). What can be done to all of it is in
``faults.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from tests.machine import agent, history
from tests.machine.faults import Faults, Store
from tests.machine.machine import Machine
from tests.machine.network import Network
from tests.machine.postgres import DATA, SIZE, Postgres

SHARED = "/mnt/shared"
SHARED_SIZE = "512m"
STORES = ("store", "store2")
FIRST_HOST, FIRST_STORE = 11, 2
GATE = f"{agent.SETTLE_NOT}cpu_pressure = 100\n"
"""All hosts here read the pressure of one kernel: what one does would hold back the others."""

DROP_IN = "[Service]\nEnvironment=PGPASSFILE=/etc/hostagent/pgpass\n"


class Cluster(Faults):
    """``machines`` by their names; ``hosts`` are those that run agents. A context manager."""

    def __init__(
        self,
        roots: Mapping[str, Sequence[Path]] | Any,
        hosts: int = 3,
        *,
        store: Store | None = "postgres",
        replica: bool = False,
        store_clock: bool = False,
        settings: str = "",
        release: str = "bookworm",
    ) -> None:
        """Boot all of it, with no agent: ``deploy`` starts those.

        With ``replica``, PostgreSQL has a second machine, ``store2``, that holds every commit
        before it is acknowledged. With ``store_clock``, its clock can be stepped. ``settings`` are
        further lines of each agent.toml.
        """
        super().__init__()
        self.hosts = [f"host{number}" for number in range(1, hosts + 1)]
        self.store = store
        self.settings = settings
        self.has_store_clock = store_clock
        self.machines: dict[str, Machine] = {}
        self.network = Network()
        self.stores = list(STORES[: 1 + replica]) if store == "postgres" else []
        self.servers: dict[str, Postgres] = {}
        try:
            self._attach()
            if self.stores:
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
        if len(self.stores) > 1:
            some = ",".join(self.stores)
            return f"postgresql://hostagent@{some}/hostagent?target_session_attrs=read-write"
        return "postgresql://hostagent@store/hostagent"

    def psql(self, sql: str) -> str:
        """Run SQL in the store's database as its superuser; rows as ``a|b`` lines."""
        return self.primary.psql(sql)

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

    def last_words(self, lines: int) -> Iterator[tuple[str, str]]:
        """For reports: each machine's name and the end of its journal, and the deeds."""
        yield "deeds", "\n".join(f"{d.at:.3f} {d.what} {d.whom}" for d in self.deeds[-lines:])
        for name, machine in self.machines.items():
            machine.resume()
            yield f"journal of {name}", machine.last_words(lines)

    # Making it
    def _attach(self) -> None:
        """Lay the wires, and the directories that outlive machines."""
        for number, name in enumerate(self.stores, FIRST_STORE):
            self.network.join(name, number)
        for number, name in enumerate(self.hosts, FIRST_HOST):
            self.network.join(name, number)
        self.network.directory("history", "256m")
        self.network.run("chmod 1777 history")
        if self.store == "dir":
            self.network.directory("shared", SHARED_SIZE)

    def _boot_stores(self, lower: Sequence[Path]) -> None:
        password = None
        for name in self.stores:
            data = self.network.directory(f"data-{name}", SIZE)
            if name == self.stores[0]:
                self.network.run(f"cp -a {lower[-1]}{DATA}/. {data}/")
            else:
                self.network.run(f"cp -a {lower[-1]}{DATA}/. {data}/; rm -rf {data}/*/main/*")
            machine = self._boot(name, lower, {DATA: data})
            address, own = self.network.addresses[name], self.has_store_clock
            server = Postgres(machine, address, password, has_own_clock=own)
            self.servers[name], password = server, server.password
        self.primary.start()
        self.primary.create()
        if len(self.stores) > 1:
            self.rejoin()

    def _boot_hosts(self, lower: Sequence[Path]) -> None:
        binds = {history.PLACE: f"{self.network.base}/history"}
        if self.store == "dir":
            binds[SHARED] = f"{self.network.base}/shared"
        for name in self.hosts:
            machine = self._boot(name, lower, binds)
            machine.write(history.WORK, history.PROGRAM, 0o755)
            store = f'store = "{self.url}"\n' if self.store else ""
            settings = store + self.settings + GATE
            machine.write("/etc/hostagent/agent.toml", settings)
            if self.stores:
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
