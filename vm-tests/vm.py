"""A VM: a machine with a kernel of its own, hence with limits, pressure, a clock, a power cord.

``VM`` boots a copy-on-write layer over one disk (``disk.py``) with qemu. What a test asks of it is
what it asks of a container machine (``tests/machine/guest.py``). There is no network: commands
come in at a virtio port (``portal.py``). What the VM writes to /dev/ttyS1 is in ``history`` at
once, outside of it, whatever becomes of the VM.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from kernel import Kernel

from tests.machine.guest import Guest, MachineError

ACCEL = os.environ.get("HOSTAGENT_VM_ACCEL", "tcg,thread=multi")
"""qemu's accelerator. Emulation works everywhere; ``kvm`` is faster where it is no nested one."""

BOOT_TIMEOUT_S = 180.0
GRACE_S = 60.0
"""How much longer than its own timeout a command may take before the VM is called hung."""

ARGUMENTS = (
    "root=/dev/vda rootfstype=ext4 rw quiet console=ttyS0 psi=1 systemd.show_status=no"
    " random.trust_cpu=on mitigations=off no_timer_check fsck.mode=skip"
)


class VM(Guest):
    """One VM. Use it as a context manager, or call ``close``."""

    def __init__(
        self,
        name: str,
        place: Path,
        kernel: Kernel,
        disk: Path,
        *,
        memory_mb: int = 1024,
        cores: int = 2,
        arguments: str = "",
        iops: int = 0,
        disks: Sequence[Path] = (),
        frozen: Path | None = None,
    ) -> None:
        """Prepare a VM, off. ``place``: an empty directory for its files.

        ``arguments`` are appended to the kernel's; ``iops``: what its own disk does in a second at
        most (0: what it can); ``disks`` (raw images: swap, a store) are
        /dev/vdb and on, and written to. ``frozen``: what ``freeze`` of a VM with the same options
        returned; it is copied, and ``thaw`` goes on where that one stood.
        """
        self.name = name
        self.console, self.history = place / "console", place / "history"
        self._disk = place / "disk.qcow2"
        self._kernel, self._disks = kernel, disks
        self.memory_mb, self.cores, self.arguments = memory_mb, cores, arguments
        self.iops = iops
        self._machine_id = uuid.uuid4().hex
        self._qemu: subprocess.Popen[bytes] | None = None
        self._port: socket.socket | None = None
        self._monitor: socket.socket | None = None
        self._heard = b""
        self._number = 0
        if frozen is not None:
            shutil.copy(frozen, self._disk)
            return
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(disk)]
        subprocess.run([*command, str(self._disk)], check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Power
    def boot(self, target: str | None = None, *, clock: datetime | None = None) -> None:
        """Power on and wait until PID 1 has finished starting (degraded or not).

        ``target``: what to wait for instead. PID 1 finishes when its queue is empty, and a job
        that runs keeps it from being so.
        ``clock``: what the hardware's clock says then (aware); else it is the host's.
        """
        base = "utc" if clock is None else clock.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self._power_on("-rtc", f"base={base}")
        try:
            if target is None:
                self.run("systemctl is-system-running --wait", timeout=BOOT_TIMEOUT_S)
            else:
                self.wait_until(f"systemctl is-active {target}", BOOT_TIMEOUT_S)
        except MachineError as error:
            last = self._console_tail(40)
            self._off()
            raise MachineError(f"{self.name} did not boot: {error}\n{last}") from None

    def freeze(self) -> Path:
        """Save all of the running VM, memory too, into its disk; it is off then. Returns the disk.

        Raises:
            MachineError: qemu could not.
        """
        assert self._monitor, f"{self.name} is off"
        save = {"execute": "human-monitor-command", "arguments": {"command-line": "savevm frozen"}}
        orders = [{"execute": "qmp_capabilities"}, save | {"id": "save"}]
        self._monitor.sendall(b"".join(json.dumps(order).encode() for order in orders))
        with self._monitor.makefile("r") as told:
            answer = next((line for line in told if '"save"' in line), "nothing")
        if json.loads(answer).get("return") != "":
            raise MachineError(f"{self.name} could not be frozen: {answer}")
        self._off()
        return self._disk

    def thaw(self) -> None:
        """Power on where ``freeze`` left off, in a second; the clock goes on from there, too."""
        self._power_on("-loadvm", "frozen")
        self.succeed("true")

    def crash(self) -> None:
        """A power cut: qemu is killed. What the disk was not told to flush may be lost."""
        assert self._qemu, f"{self.name} is off"
        self._off()

    def shut_down(self, timeout: float = 60) -> None:
        """An orderly shutdown: PID 1 stops all units."""
        assert self._qemu, f"{self.name} is off"
        self.run("systemctl poweroff")
        try:
            self._qemu.wait(timeout)
        except subprocess.TimeoutExpired:
            raise MachineError(f"{self.name} was not off within {timeout} s") from None
        self._off()

    @property
    def is_up(self) -> bool:
        """Whether the VM runs."""
        return self._qemu is not None

    def close(self) -> None:
        """Power off and remove the disk; the console's record stays. Idempotent."""
        self._off()
        self._disk.unlink(missing_ok=True)

    # Commands
    def run(
        self, command: str, *, timeout: float = 60, stdin: str | bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """See ``Guest``. A VM that hangs or has gone is a MachineError, too."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        self._number += 1
        asked = {
            "number": self._number,
            "command": command,
            "stdin": base64.b64encode(data).decode(),
            "timeout": timeout,
        }
        told = self._ask(json.dumps(asked).encode() + b"\n", timeout + GRACE_S)
        if told["is_late"]:
            late = f"{self.name}: not done within {timeout} s: {command}"
            raise MachineError(f"{late}\n{told['stdout']}{told['stderr']}")
        return subprocess.CompletedProcess(command, told["status"], told["stdout"], told["stderr"])

    def set_clock(self, to: str) -> None:
        """Step the clock to ``to``, in the words of ``date --set`` (``+1 day``, an instant)."""
        self.succeed(f"date --utc --set='{to}'")

    def last_words(self, lines: int) -> str:
        """The end of the journal and of the console."""
        journal = ""
        if self.is_up:
            with contextlib.suppress(MachineError):
                show = f"journalctl --sync; journalctl -q --no-pager --lines={lines}"
                journal = self.run(show).stdout
        return f"{journal}--- console\n{self._console_tail(lines)}"

    def prove(self) -> None:
        """Have the VM itself print a mark that nobody else knows, on its console.

        Raises:
            MachineError: it did not; so it does not run, whatever was concluded before.
        """
        mark = f"alive-{uuid.uuid4().hex}"
        self.succeed(f"echo {mark[:10]}'{mark[10:]}' >/dev/console")
        end = time.monotonic() + 10
        while mark not in self.console.read_text(errors="replace"):
            if time.monotonic() > end:
                raise MachineError(f"{self.name} did not print its mark on the console")
            time.sleep(0.05)

    def _ask(self, line: bytes, timeout: float) -> dict[str, Any]:
        assert self._port, f"{self.name} is off"
        end = time.monotonic() + timeout
        try:
            self._port.settimeout(timeout)
            self._port.sendall(line)
            while True:
                while b"\n" not in self._heard:
                    self._port.settimeout(max(0.001, end - time.monotonic()))
                    heard = self._port.recv(1 << 20)
                    if not heard:
                        raise MachineError(f"{self.name} has gone")
                    self._heard += heard
                text, _, self._heard = self._heard.partition(b"\n")
                told: dict[str, Any] = json.loads(text)
                if told["number"] == self._number:
                    return told
        except TimeoutError:
            raise MachineError(f"{self.name} does not answer for {timeout:.0f} s") from None
        except (BrokenPipeError, ConnectionResetError):
            raise MachineError(f"{self.name} has gone") from None

    def _power_on(self, *options: str) -> None:
        assert not self.is_up, f"{self.name} is up"
        self._port, port = socket.socketpair()
        self._monitor, monitor = socket.socketpair()
        self._heard = b""
        with port, monitor, self.console.open("ab") as console:
            self._qemu = subprocess.Popen(
                [*self._command(port.fileno(), monitor.fileno()), *options],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[port.fileno(), monitor.fileno()],
                start_new_session=True,
            )

    def _command(self, port: int, monitor: int) -> list[str]:
        identity = f"systemd.hostname={self.name} systemd.machine_id={self._machine_id}"
        command = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-system-x86_64"]
        command += ["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
        command += ["-machine", "q35", "-accel", ACCEL, "-cpu", "max"]
        command += ["-smp", str(self.cores), "-m", str(self.memory_mb)]
        command += ["-kernel", str(self._kernel.image), "-initrd", str(self._kernel.initrd)]
        command += ["-append", f"{ARGUMENTS} {identity} {self.arguments}"]
        for name in ("console", "history"):
            command += ["-chardev", f"file,id={name},path={getattr(self, name)},append=on"]
            command += ["-serial", f"chardev:{name}"]
        command += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=port,fd={port}"]
        command += ["-device", "virtserialport,nr=1,chardev=port"]
        command += ["-chardev", f"socket,id=monitor,fd={monitor}"]
        command += ["-mon", "chardev=monitor,mode=control"]
        # writeback honours the guest's flushes, and loses what it did not flush (decision 0701).
        drive = "if=virtio,cache=writeback,discard=unmap"
        throttled = f",throttling.iops-total={self.iops}" if self.iops else ""
        command += ["-drive", f"file={self._disk},format=qcow2,{drive}{throttled}"]
        for disk in self._disks:
            command += ["-drive", f"file={disk},format=raw,{drive}"]
        return command

    def _off(self) -> None:
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
        for end in (self._port, self._monitor):
            if end:
                end.close()
        self._qemu = self._port = self._monitor = None

    def _console_tail(self, lines: int) -> str:
        if not self.console.exists():
            return ""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])


Parts = tuple[Kernel, Path]
"""What every VM boots: a kernel and a disk."""

NewVM = Callable[..., VM]
"""The fixture ``new_vm``."""
