"""The fixtures of VM tests: ``new_vm`` makes any VM, ``vm`` is one with the agent, up."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import disk as vm_disk  # noqa: E402 -- the modules beside this file, found by the lines above
from kernel import kernel  # noqa: E402
from vm import VM, NewVM, Parts  # noqa: E402

from tests.machine import agent, images, layer  # noqa: E402
from tests.machine.fixtures import (  # noqa: E402
    failed,
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
)

__all__ = ["pytest_collection_modifyitems", "pytest_runtest_makereport"]

PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mkfs.ext4", "mmdebstrap", "setpriv")
LAST_LINES = 80


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Parts:
    """The kernel and the disk of all VMs; skips (fails in CI) where no VM can be booted."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    reason = f"not found: {', '.join(missing)}" if missing else ""
    if os.geteuid() != 0:
        reason = "VMs need root, to make their disk"
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():  # a build takes a minute and says so
        root, linux = images.root("bookworm"), kernel()
    place = tmp_path_factory.mktemp("disk")
    code = layer.lay(root, tmp_path_factory.mktemp("layers") / "code")
    return linux, vm_disk.make(place, [code, root])


@pytest.fixture(scope="session")
def frozen(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A VM with the agent up and no job, booted once for all tests. Jobs' history is ttyS1."""
    with VM("vm", tmp_path_factory.mktemp("frozen"), *parts) as machine:
        machine.boot()
        try:
            agent.with_agent(machine)
        except AssertionError:
            print(machine.last_words(LAST_LINES))
            raise
        machine.succeed(f"ln -s /dev/ttyS1 {agent.HISTORY}; sync")
        yield machine.freeze()


@pytest.fixture
def new_vm(parts: Parts, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NewVM]:
    """``new_vm(**options)``: another VM, off; options as ``VM`` has them. Closed after the test.

    ``boots``: another kernel and disk than those of all VMs.

    A test passes only if each VM that is up can print a mark on its console at the end. When
    the test fails, the end of journal and console of each VM is attached to its report.
    """
    machines: list[VM] = []
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[5:30].strip("-")

    def one(boots: Parts = parts, **options: object) -> VM:
        place = tmp_path / f"vm-{len(machines)}"
        place.mkdir()
        machines.append(VM(f"{stem}-{len(machines)}", place, *boots, **options))  # type: ignore[arg-type]
        return machines[-1]

    try:
        yield one
        for machine in machines:
            if machine.is_up and not request.node.stash.get(failed, False):
                machine.prove()
    finally:
        for machine in machines:
            if request.node.stash.get(failed, False):
                title = f"journal and console of {machine.name}"
                last_words = machine.last_words(LAST_LINES)
                request.node.add_report_section("teardown", title, last_words)
            machine.close()


@pytest.fixture
def vm(new_vm: NewVM, frozen: Path) -> VM:
    """A VM of two cores and 1 GiB with the agent up and no job; its state is nobody else's."""
    machine = new_vm(frozen=frozen)
    machine.thaw()
    return machine
