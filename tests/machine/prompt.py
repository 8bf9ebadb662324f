"""A cluster at hand: each line names a host and what is typed there.

``./quickstart cluster`` reads such lines from a person, the tests those of the tutorial.
"""

from __future__ import annotations

import readline  # noqa: F401  (the lines before come back with the arrow keys)
import time
from pathlib import Path

from tests.machine.cluster import Cluster
from tests.machine.guest import MachineError

PROMPT = "cluster> "
HELP = """\
HOST COMMAND   run it on a host; HOST is host1, host2 or host3, or all
HOST           a shell there, until exit
copy FILE      this file becomes /etc/hostagent/jobs.toml on all hosts
kill HOST      cut its power
boot HOST      and give it back
quit           remove all of it"""


class Prompt:
    """Does what lines say. What hosts print goes to this process's own output."""

    def __init__(self, cluster: Cluster) -> None:
        """``cluster`` is up."""
        self._cluster = cluster

    def read(self) -> None:
        """Do what a person types, line by line, until that person has enough."""
        while True:
            try:
                if not self.do(input(PROMPT)):
                    return
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print()

    def do(self, line: str) -> bool:
        """Do what one line says; what is wrong with it is printed. False: it says quit."""
        word, _, rest = line.strip().partition(" ")
        try:
            match word, rest.strip():
                case "", _:
                    pass
                case (("quit" | "exit"), _):
                    return False
                case "kill", name if self._is_host(name):
                    self._up(name)
                    self._cluster.kill(name)
                    print(f"{name} has no power any more")
                case "boot", name if self._is_host(name):
                    began = time.monotonic()
                    self._cluster.boot(name)
                    print(f"{name} is up after {time.monotonic() - began:.1f} s")
                case "copy", path if path:
                    self._copy(Path(path))
                case "all", command if command:
                    self._everywhere(command)
                case name, command if self._is_host(name):
                    self._up(name)
                    self._cluster[name].attach(command or "exec /bin/bash --login")
                case _:
                    print(HELP)
        except (MachineError, OSError) as error:
            print(error)
        return True

    def _is_host(self, name: str) -> bool:
        return name in self._cluster.hosts

    def _up(self, name: str) -> None:
        if not self._cluster[name].is_up:
            raise MachineError(f"{name} is off; type: boot {name}")

    def _everywhere(self, command: str) -> None:
        for name in self._cluster.hosts:
            if self._cluster[name].is_up:
                print(f"{name}:", flush=True)
                self._cluster[name].attach(command)

    def _copy(self, path: Path) -> None:
        text = path.read_text()
        for name in self._cluster.hosts:
            self._cluster[name].write("/etc/hostagent/jobs.toml", text)
        print(f"{path} is jobs.toml on {', '.join(self._cluster.hosts)} now")
