"""A real PID 1 for the contract: the machines of tests/machine, their bus reached from outside."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hostagent.systemd.manager import Manager
from tests.contract.systemd.contract import Rig
from tests.machine.conftest import any_machine, boot, machine, roots
from tests.machine.machine import Machine

__all__ = ["any_machine", "boot", "machine", "roots"]

Service = Callable[..., str]

WAIT_S = 20.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that boot machines say so."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "any_machine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.machine)


@pytest.fixture
def manager(any_machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Our client, in this process, connected to the machine's system bus."""
    bus = f"/proc/{any_machine.leader}/root/run/dbus/system_bus_socket"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={bus}")
    client = Manager()
    yield client
    client.close()


@pytest.fixture
def service(any_machine: Machine, manager: Manager) -> Service:
    """``service(name, *lines, unit=())`` writes a oneshot service and reloads; returns its name."""

    def write(name: str, *lines: str, unit: tuple[str, ...] = ()) -> str:
        text = ["[Unit]", *unit, "[Service]", "Type=oneshot", *lines, ""]
        any_machine.write(f"/run/systemd/system/{name}.service", "\n".join(text))
        manager.reload()
        return f"{name}.service"

    return write


class RealRig:
    """``contract.Rig``: a machine's PID 1."""

    def __init__(self, machine: Machine, manager: Manager) -> None:
        self.systemd = manager
        self._machine = machine

    def service(self, name: str, *lines: str) -> str:
        text = "\n".join(["[Service]", "Type=oneshot", *lines, ""])
        self._machine.write(f"/run/systemd/system/{name}.service", text)
        self.systemd.reload()
        return f"{name}.service"

    def wait_for(self, fact: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not fact():
            assert time.monotonic() < end, "did not come true"
            select.select([], [], [], 0.02)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()

    def again(self) -> Manager:
        return Manager()


@pytest.fixture
def rig(any_machine: Machine, manager: Manager) -> Rig:
    """A real PID 1; ``test_fake.py`` has one of its own."""
    return RealRig(any_machine, manager)
