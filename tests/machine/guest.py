"""What a test may ask of a machine, whatever holds it: a container here, a VM in vm-tests."""

from __future__ import annotations

import shlex
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import PurePosixPath


class MachineError(AssertionError):
    """A machine did not do what the test asked for; the message holds what it printed."""


class Guest(ABC):
    """A machine with a PID 1 of its own. Commands run as root in it, through ``/bin/bash -c``."""

    name: str

    # Power
    @abstractmethod
    def boot(self) -> None:
        """Power on and wait until PID 1 has finished starting (degraded or not)."""

    @abstractmethod
    def crash(self) -> None:
        """A power cut: everything dies in one instant; the machine stays off."""

    @abstractmethod
    def shut_down(self, timeout: float = 60) -> None:
        """An orderly shutdown: PID 1 stops all units."""

    def reboot(self, timeout: float = 60) -> None:
        """An orderly shutdown and a new boot: another boot id, the same disk."""
        self.shut_down(timeout)
        self.boot()

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether the machine runs."""

    @abstractmethod
    def set_clock(self, to: str) -> None:
        """Step the machine's clock to ``to``, in the words of ``date --set``."""

    @abstractmethod
    def last_words(self, lines: int) -> str:
        """The end of the journal, or of the console of a machine that is off; for reports."""

    # Commands
    @abstractmethod
    def run(
        self, command: str, *, timeout: float = 60, stdin: str | bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and return its result, whatever it is.

        Raises:
            MachineError: it did not end in time, and was killed.
        """

    def succeed(self, command: str, *, timeout: float = 60, stdin: str | bytes = b"") -> str:
        """Run a command that must exit 0; returns its standard output."""
        done = self.run(command, timeout=timeout, stdin=stdin)
        if done.returncode:
            raise MachineError(f"{self.name}: exit status {done.returncode}, not 0: {_show(done)}")
        return done.stdout

    def fail(self, command: str, *, timeout: float = 60) -> str:
        """Run a command that must not exit 0; returns its output, standard error included."""
        done = self.run(command, timeout=timeout)
        if not done.returncode:
            raise MachineError(f"{self.name}: exit status 0, but failure expected: {_show(done)}")
        return done.stdout + done.stderr

    def wait_until(self, command: str, timeout: float = 10) -> str:
        """Run a command again and again until it exits 0; returns its standard output."""
        end, pause = time.monotonic() + timeout, 0.02
        while True:
            done = self.run(command)
            if not done.returncode:
                return done.stdout
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: not so within {timeout} s: {_show(done)}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def wait_for_unit(self, unit: str, state: str = "active", timeout: float = 10) -> None:
        """Wait until ``unit`` is in ``state``; fails at once when it has failed instead."""
        wanted = f'test "$(systemctl is-active {shlex.quote(unit)})" = {shlex.quote(state)}'
        stop = "" if state == "failed" else f" || systemctl -q is-failed {shlex.quote(unit)}"
        self.wait_until(wanted + stop, timeout)
        if self.run(wanted).returncode:
            raise MachineError(f"{unit} has failed:\n{self.run(f'systemctl status {unit}').stdout}")

    def journal(self, unit: str | None = None, *, lines: int | None = None) -> str:
        """The messages in the journal (of all boots), of one unit or of all."""
        of_unit = f" --unit={shlex.quote(unit)}" if unit else ""
        tail = f" --lines={lines}" if lines else ""
        form = "short-precise" if unit is None else "cat"
        return self.succeed(f"journalctl --sync; journalctl -q --no-pager -o {form}{of_unit}{tail}")

    # Files
    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file and its missing directories."""
        self.succeed(writing_script(path, mode), stdin=text)

    def read(self, path: str) -> str:
        """The text of a file."""
        return self.succeed(f"cat {shlex.quote(path)}")


def writing_script(path: str, mode: int) -> str:
    """A shell script that writes its standard input to ``path``."""
    where, parent = shlex.quote(path), shlex.quote(str(PurePosixPath(path).parent))
    return f"mkdir -p {parent} && cat >{where} && chmod {mode:o} {where}"


def _show(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.args}\n--- stdout\n{done.stdout}--- stderr\n{done.stderr}"
