"""The wires between the machines of a cluster: one bridge, a veth pair to each machine.

All of it lives in network namespaces of its own, none of which has a way out: the host's own
network is neither used nor changed. The namespaces, and a small file system in memory beside
them, belong to the mount namespace of one *keeper* process, which waits for the end of its
standard input: however the test process ends, nothing is left behind.

Each machine knows the others' link addresses beforehand, so a cut wire is silent: packets vanish
and nobody says "no route to host". That is what a far switch's failure looks like, and the harder
case for those who wait.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.machine.guest import MachineError

NET = "10.77.0"
_NOWHERE = "02:00:0a:4d:ff:ff"

# $1: an empty directory.
_KEEPER = """
set -eu
mount -t tmpfs -o mode=755 cluster "$1"
mount --make-shared "$1"
mkdir "$1/net"
ip link set lo up
ip link add name bridge type bridge
ip link set bridge up
echo ready
cat >/dev/null || true
umount -l "$1"
rmdir "$1"
"""

_JOIN = """
touch net/{name}
unshare --net=net/{name} true
ip link add {name} address 02:00:0a:4d:01:{number:02x} type veth \\
    peer name eth0 address {mac} netns {base}/net/{name}
ip link set {name} up
nsenter --net=net/{name} sh -euc 'ip link set lo up
    ip address add {address}/24 dev eth0; ip link set eth0 up'
"""

_SLOW = """
ip link add {name}-far type veth peer name {name}-near
ip link set {name} nomaster
ip link set {name}-near up
ip link set {name}-far up
"""


@dataclass(slots=True)
class _Wire:
    number: int
    is_cut: bool = False
    is_down: bool = False
    slow: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{NET}.{self.number}"

    @property
    def mac(self) -> str:
        return f"02:00:0a:4d:00:{self.number:02x}"


class Network:
    """A bridge, and the wires that machines are attached to it by."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="hostagent-network-"))
        self._wires: dict[str, _Wire] = {}
        self._lost: set[frozenset[str]] = set()
        spaces = ["unshare", "--mount", "--net", "--propagation=slave"]
        self._keeper = subprocess.Popen(
            [*spaces, "/bin/sh", "-c", _KEEPER, "keeper", str(self.base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        _await_ready(self._keeper.stdout, "the cluster's network", self.close)

    @property
    def keeper(self) -> int:
        """The process in whose mount namespace ``base`` is what this class says."""
        return self._keeper.pid

    @property
    def addresses(self) -> Mapping[str, str]:
        """The address of each machine by its name."""
        return {name: wire.address for name, wire in self._wires.items()}

    def place(self, path: str) -> Path:
        """A path below ``base``, as this process can open it."""
        return Path(f"/proc/{self.keeper}/root{self.base}/{path}")

    def directory(self, name: str, size: str | None = None) -> str:
        """Make a directory below ``base``, of its own ``size`` if given; returns its path."""
        mount = f"mount -t tmpfs -o mode=755,size={size} {name} {name}" if size else ""
        self.run(f"mkdir -p {name}\n{mount}")
        return f"{self.base}/{name}"

    def join(self, name: str, number: int) -> str:
        """Make the network of a machine, attached; returns the path of its namespace."""
        self._wires[name] = _Wire(number)
        self._lay(name)
        return f"{self.base}/net/{name}"

    def leave(self, name: str) -> None:
        """Take away the network of a machine that goes down: nothing of it says goodbye."""
        self._quicken(name)
        self._wires[name].is_down = True
        self.run(f"ip link set {name} nomaster")

    def renew(self, name: str) -> None:
        """Give a machine that is down a network without memory of what was before.

        What is cut stays cut.
        """
        self._wires[name].is_down = False
        self.run(f"ip link delete {name}\numount net/{name}")
        self._lay(name)

    def cut(self, name: str) -> None:
        """Cut a machine's wire: what it sends and what is sent to it vanishes."""
        self._wires[name].is_cut = True
        self.run(f"ip link set {self._port(name)} nomaster")

    def cut_between(self, one: str, other: str) -> None:
        """Make what two machines send to each other vanish, and nothing else."""
        self._lost.add(frozenset((one, other)))
        self._introduce(one, other)

    def slow_down(self, name: str, delay_ms: float, jitter_ms: float, loss_percent: float) -> None:
        """Make a machine's wire slow and lossy, in both directions, until ``mend``."""
        wire = self._wires[name]
        assert wire.slow is None, f"the wire of {name} is slow already"
        self.run(_SLOW.format(name=name))
        program = ["-I", str(Path(__file__).with_name("delay.py")), name, f"{name}-near"]
        figures = map(str, (delay_ms, jitter_ms, loss_percent, wire.number))
        wire.slow = subprocess.Popen(
            [*self._enter(), sys.executable, *program, *figures],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        _await_ready(wire.slow.stdout, f"the slow wire of {name}", wire.slow.kill)
        self._attach(name)

    def mend(self, name: str) -> None:
        """Undo ``cut``, ``cut_between`` and ``slow_down`` of this machine. Idempotent."""
        self._quicken(name)
        self._wires[name].is_cut = False
        self._attach(name)
        self._lost = {pair for pair in self._lost if name not in pair}
        self._introduce_all(name)

    def run(self, script: str) -> str:
        """Run a shell script in ``base``, in the bridge's network; returns what it printed."""
        command = [*self._enter(), "/bin/sh", "-euc", f"cd {self.base}\n{script}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MachineError(f"exit status {done.returncode}: {script}\n{done.stderr}")
        return done.stdout

    def close(self) -> None:
        """Remove every trace of the network. Idempotent. The machines must be closed before."""
        for name in self._wires:
            self._quicken(name)
        assert self._keeper.stdin
        self._keeper.stdin.close()
        self._keeper.wait()

    def _lay(self, name: str) -> None:
        wire = self._wires[name]
        figures = {"number": wire.number, "mac": wire.mac, "address": wire.address}
        self.run(_JOIN.format(name=name, base=self.base, **figures))
        self._attach(name)
        self._introduce_all(name)

    def _attach(self, name: str) -> None:
        wire = self._wires[name]
        if not wire.is_cut and not wire.is_down:
            self.run(f"ip link set {self._port(name)} master bridge")

    def _quicken(self, name: str) -> None:
        """Take the delay out of a wire. Idempotent."""
        wire = self._wires[name]
        if wire.slow:
            assert wire.slow.stdin
            wire.slow.stdin.close()
            wire.slow.wait()
            wire.slow = None
            self.run(f"ip link delete {name}-far")
            self._attach(name)

    def _port(self, name: str) -> str:
        return f"{name}-far" if self._wires[name].slow else name

    def _introduce_all(self, name: str) -> None:
        for other in self._wires:
            if other != name:
                self._introduce(name, other)

    def _introduce(self, one: str, other: str) -> None:
        """Tell two machines each other's link address, or one that leads nowhere."""
        is_lost = frozenset((one, other)) in self._lost
        for here, there in ((one, other), (other, one)):
            wire = self._wires[there]
            mac = _NOWHERE if is_lost else wire.mac
            entry = f"{wire.address} lladdr {mac} nud permanent dev eth0"
            self.run(f"nsenter --net=net/{here} ip neighbour replace {entry}")

    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self.keeper}", "--mount", "--net", "--"]


def _await_ready(told: IO[bytes] | None, what: str, give_up: Callable[[], object]) -> None:
    """Wait for the line with which a helper process says that it is ready."""
    assert told
    with told:
        if told.readline() == b"ready\n":
            return
    give_up()
    raise MachineError(f"{what} could not be set up (messages above)")
