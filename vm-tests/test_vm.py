"""The VM itself: what the other tests stand on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from vm import VM, NewVM

from tests.machine.guest import MachineError


def test_a_vm_has_what_a_container_lacks(vm: VM) -> None:
    """Its kernel has all cgroup controllers and pressure, and no unit has failed."""
    controllers = vm.succeed("cat /sys/fs/cgroup/cgroup.controllers").split()
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(controllers)
    assert vm.succeed("cat /proc/pressure/memory").startswith("some ")
    assert vm.succeed("systemctl is-system-running") == "running\n"
    assert vm.fail("exit 3") == ""


def test_a_power_cut_loses_what_was_not_flushed_and_nothing_else(vm: VM) -> None:
    """A synced file outlives a kill of qemu, one in the VM's page cache does not."""
    before = vm.succeed("cat /proc/sys/kernel/random/boot_id")
    vm.succeed("echo kept >/kept; sync; echo lost >/lost; echo out >/dev/ttyS1")
    vm.crash()
    assert not vm.is_up
    vm.boot(clock=datetime(2031, 5, 6, 7, 0, tzinfo=UTC))
    assert vm.read("/kept") == "kept\n"
    vm.fail("test -s /lost")
    assert vm.history.read_text().split() == ["out"]
    assert vm.succeed("cat /proc/sys/kernel/random/boot_id") != before
    assert vm.succeed("date --utc +%Y-%m-%dT%H") == "2031-05-06T07\n"


def test_a_vm_that_does_not_boot_fails_the_test(new_vm: NewVM) -> None:
    """A kernel that finds nothing to start is an error, with the console's last words."""
    machine = new_vm(arguments="rdinit=/none panic=-1")
    with pytest.raises(MachineError, match=r"did not boot(?s:.*)Kernel panic"):
        machine.boot()
    with pytest.raises(AssertionError, match="is off"):
        machine.prove()


def test_disks_and_memory_are_as_asked_for(new_vm: NewVM, tmp_path: Path) -> None:
    """A second disk can be the swap of a small VM."""
    swap = tmp_path / "swap"
    swap.touch()
    with swap.open("r+b") as file:
        file.truncate(64 << 20)
    machine = new_vm(memory_mb=512, cores=1, disks=[swap], arguments="some.word=1")
    machine.boot()
    machine.succeed("mkswap /dev/vdb && swapon /dev/vdb && grep -q some.word=1 /proc/cmdline")
    assert machine.succeed("nproc") == "1\n"
    memory, swapped = machine.succeed("free -m | awk 'NR > 1 {print $2}'").split()
    assert (int(memory) < 512, int(swapped)) == (True, 63)
