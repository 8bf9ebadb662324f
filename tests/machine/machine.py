"""A machine: a container with a real PID 1 of its own, booted in a third of a second.

``Machine`` lays a fresh, empty file system over a cached root (``images.py``) and boots it with
systemd-nspawn in a network and a host cgroup of its own. What it cannot do is a kernel of its
own: cgroup controllers and pressure are the host's, and so is the clock (vm-tests/README.md).

Nothing is left behind, however the test process ends: all mounts live in the mount namespace of
one *keeper* process, which waits for the end of its standard input, kills what is in the
machine's cgroups, and goes.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.machine.guest import Guest, MachineError, writing_script

__all__ = ["CGROUPS", "Machine", "MachineError"]

CGROUPS = Path("/sys/fs/cgroup")
BOOT_TIMEOUT_S = 60.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}

# $1: an empty directory; $2: the lower directories; then the machine's cgroups.
# The upper layer lives in memory: it may not lie on another overlay, and a power cut keeps it.
KEEPER = """
set -eu
base=$1 lower=$2; shift 2
mount -t tmpfs -o mode=755,size=50% machine "$base"
mkdir "$base/upper" "$base/work" "$base/root"
mount -t overlay -o "lowerdir=$lower,upperdir=$base/upper,workdir=$base/work" machine "$base/root"
mkdir -p /run/systemd/nspawn
mount -t tmpfs nspawn /run/systemd/nspawn
mkdir "$@"
echo ready
cat >/dev/null || true
for _ in 1 2 3 4 5 6 7 8 9 10; do
    find "$@" -name cgroup.procs -exec cat {} + | sort -u | xargs -r kill -9 || true
    find "$@" -depth -type d -exec rmdir {} + && break
    sleep 0.1
done 2>/dev/null
umount -l "$base/root" "$base"
rmdir "$base"
"""


class Machine(Guest):
    """One container machine. Commands run as root in it, through ``/bin/bash -c``.

    Use it as a context manager, or call ``close``.
    """

    def __init__(
        self,
        name: str,
        lower: Sequence[Path],
        *,
        within: int | None = None,
        network: str | None = None,
        binds: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a machine over ``lower`` (topmost first) and boot it.

        ``network`` is the path of the network namespace to boot in instead of one of its own;
        ``binds`` maps places in the machine to the directories that are seen there. Both are
        paths as the process ``within`` sees them (default: this one).
        """
        self.name = name
        self._network = network
        self._binds = dict(binds or {})
        self._base = Path(tempfile.mkdtemp(prefix=f"hostagent-{name}-"))
        self._cgroups = [place / self._base.name for place in _hierarchies()]
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._commands = CGROUPS
        self.is_paused = False
        enter = [] if within is None else ["nsenter", f"--target={within}", "--mount", "--"]
        keep = [
            *enter,
            "unshare",
            "--mount",
            "--propagation=slave",
            "/bin/sh",
            "-c",
            KEEPER,
            "keeper",
        ]
        self._keeper = subprocess.Popen(
            [*keep, str(self._base), ":".join(map(str, lower)), *map(str, self._cgroups)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._keeper.stdout
        with self._keeper.stdout as told:
            is_ready = told.readline() == b"ready\n"
        if not is_ready:
            self.close()
            raise MachineError(f"{name}: the file system could not be mounted (messages above)")
        self.write("/etc/machine-id", uuid.uuid4().hex + "\n")
        self.write("/etc/hostname", name + "\n")
        try:
            self.boot()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Power
    def boot(self, target: str | None = None) -> None:
        """Power on and wait until PID 1 has finished starting (degraded or not).

        With jobs that run all the time it never has: its queue is not empty while a oneshot unit
        starts. Then say which ``target`` to wait for.
        """
        assert not self.is_up, f"{self.name} is up"
        with _notify_socket() as (path, heard):
            self._nspawn = self._start_nspawn(path)
            self._leader = self._await_boot(heard, "READY=1" if target is None else "")
        # Commands belong to the machine's tree too: logind asks for its callers' cgroups.
        (_, _, init) = Path(f"/proc/{self._leader}/cgroup").read_text().rpartition("0::/")
        payload = init.strip().removesuffix("/init.scope")  # where PID 1 is, early and later
        self._commands = _hierarchies()[0] / payload / "commands"
        self._commands.mkdir()
        if target is not None:
            self.wait_until(f"systemctl is-active {target}", BOOT_TIMEOUT_S)

    def crash(self) -> None:
        """A power cut: everything dies by SIGKILL in one instant; what was written stays."""
        os.kill(self.leader, signal.SIGKILL)  # the end of PID 1 is the end of its namespace
        self.resume()  # no process of the machine wakes from this, only nspawn does
        self.wait_until_off()

    def shut_down(self, timeout: float = 60) -> None:
        """An orderly shutdown: PID 1 stops all units."""
        self.run("systemctl poweroff")
        self.wait_until_off(timeout)

    def pause(self) -> None:
        """Freeze every process of the machine, PID 1 included; its clocks and timers go on."""
        self._freeze("1")

    def resume(self) -> None:
        """Let a paused machine go on where it was. Idempotent."""
        if self.is_paused:
            self._freeze("0")

    @property
    def is_up(self) -> bool:
        """Whether the machine runs (it may be paused)."""
        return self._nspawn is not None

    @property
    def leader(self) -> int:
        """PID 1 of the machine as a pid of the host; for nsenter."""
        assert self.is_up, f"{self.name} is off"
        return self._leader

    def close(self) -> None:
        """Remove every trace of the machine. Idempotent."""
        if self.is_up:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader or 2**22 + 1, signal.SIGKILL)
        self.resume()
        assert self._keeper.stdin
        self._keeper.stdin.close()
        self._keeper.wait()
        if self._nspawn:
            self._nspawn.wait()
            self._nspawn = None
        with contextlib.suppress(OSError):
            self._base.rmdir()  # there still when its mount failed

    # Commands
    def run(
        self, command: str, *, timeout: float = 60, stdin: str | bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """See ``Guest``."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = subprocess.run(
                [*self._enter(), "/bin/bash", "-c", command],
                input=data,
                capture_output=True,
                timeout=timeout,
                check=False,
                env=ENVIRONMENT,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self.name}: not done within {timeout} s: {command}") from None
        out, err = (text.decode(errors="backslashreplace") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(command, done.returncode, out, err)

    def last_words(self, lines: int) -> str:
        """The end of the journal, or of the console of a machine that is off; for reports."""
        if self.is_up:
            return self.run(f"journalctl --sync; journalctl -q --no-pager --lines={lines}").stdout
        return self._console(lines)

    # Files
    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        """Write a file and its missing directories; works on a machine that is off, too."""
        if self.is_up:
            super().write(path, text, mode)
        else:
            data = text.encode() if isinstance(text, str) else text
            self._offline(writing_script(path, mode), data)

    def read(self, path: str) -> str:
        """The text of a file; works on a machine that is off, too."""
        if self.is_up:
            return super().read(path)
        return self._offline(f"cat {shlex.quote(path)}").decode()

    def shell(self) -> None:
        """An interactive shell in the machine, for debugging (pytest -s)."""
        self.attach("exec /bin/bash --login")

    def attach(self, command: str) -> int:
        """Run a command with this process's own terminal; returns its exit status."""
        environment = ENVIRONMENT | {"TERM": os.environ.get("TERM", "dumb")}
        return subprocess.run(
            [*self._enter(), "/bin/bash", "-c", command], env=environment, check=False
        ).returncode

    def set_clock(self, to: str) -> None:
        """Never done here: a container has the host's clock; clock steps are tested in VMs."""
        raise NotImplementedError(f"no clock of its own to set to {to}: see vm-tests/README.md")

    def _freeze(self, to: str) -> None:
        """Write the cgroup's freezer, and wait until all of it is so: cgroup-v2(7), freezer."""
        assert self.is_up, f"{self.name} is off"
        (self._cgroups[0] / "cgroup.freeze").write_text(to)
        self.is_paused = to == "1"
        end = time.monotonic() + 10
        while f"frozen {to}" not in (self._cgroups[0] / "cgroup.events").read_text():
            if time.monotonic() > end:
                raise MachineError(f"{self.name}: its cgroup did not become frozen={to}")
            time.sleep(0.002)

    def _enter(self) -> list[str]:
        assert not self.is_paused, f"{self.name} is paused"
        join = f'echo $$ >{shlex.quote(str(self._commands))}/cgroup.procs && exec nsenter "$@"'
        return ["/bin/sh", "-c", join, "enter", f"--target={self.leader}", "--all", "--"]

    def _offline(self, script: str, data: bytes = b"") -> bytes:
        command = [*self._keep(), "chroot", str(self._base / "root"), "/bin/sh", "-c", script]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout

    def _start_nspawn(self, notify: str) -> subprocess.Popen[bytes]:
        join = "".join(f"echo $$ >{shlex.quote(str(c))}/cgroup.procs; " for c in self._cgroups)
        options = [f"--directory={self._base}/root", f"--machine={self.name}", "--boot", "--quiet"]
        options += ["--register=no", "--keep-unit", "--console=pipe"]
        path = self._network
        options += [f"--network-namespace-path={path}" if path else "--private-network"]
        options += [f"--bind={source}:{place}" for place, source in self._binds.items()]
        options += ["--notify-ready=yes", "--timezone=off", "--kill-signal=SIGRTMIN+3"]
        options += ["--resolv-conf=off", "--link-journal=no"]
        script = f'{join}exec systemd-nspawn "$@" >{self._base}/console 2>&1'
        return subprocess.Popen(
            [*self._keep(), "/bin/sh", "-c", script, "boot", *options],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={
                "PATH": PATH,
                "NOTIFY_SOCKET": notify,
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            },
        )

    def _await_boot(self, heard: socket.socket, wanted: str) -> int:
        """Wait for PID 1, and for what it says when it is ready; returns its pid on the host."""
        assert self._nspawn
        end, leader = time.monotonic() + BOOT_TIMEOUT_S, 0
        while self._nspawn.poll() is None and time.monotonic() < end:
            with contextlib.suppress(TimeoutError):
                for line in heard.recv(65536).decode().splitlines():
                    key, _, value = line.partition("=")
                    if key == "X_NSPAWN_LEADER_PID":
                        leader = int(value)
                    if leader and (line == wanted or not wanted):
                        return leader
        raise MachineError(f"{self.name} did not boot:\n{self._console(40)}")

    def _console(self, lines: int) -> str:
        command = ["tail", f"--lines={lines}", f"{self._base}/console"]
        return subprocess.run(
            [*self._keep(), *command], capture_output=True, text=True, check=False
        ).stdout

    def _keep(self) -> list[str]:
        return ["nsenter", f"--target={self._keeper.pid}", "--mount", "--"]

    def wait_until_off(self, timeout: float = 60) -> None:
        """Wait until the machine, which was told to, has powered off."""
        assert self._nspawn
        try:
            self._nspawn.wait(timeout)
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self.name} was not off within {timeout} s") from None
        self._nspawn, self._leader = None, 0
        for cgroup in self._cgroups:  # the next boot finds none, as after a real one
            for place, _, _ in os.walk(cgroup, topdown=False):
                if Path(place) != cgroup:
                    Path(place).rmdir()


def _hierarchies() -> list[Path]:
    """Where a machine needs a cgroup of its own: the unified tree, on old hosts also systemd's."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [place for place in (CGROUPS / "unified", CGROUPS / "systemd") if place.is_dir()]


@contextlib.contextmanager
def _notify_socket() -> Iterator[tuple[str, socket.socket]]:
    """A socket that nspawn notifies, as PID 1 of a host would listen on."""
    with (
        tempfile.TemporaryDirectory(prefix="hostagent-") as place,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard,
    ):
        heard.bind(f"{place}/notify")
        heard.settimeout(0.2)
        yield f"{place}/notify", heard
