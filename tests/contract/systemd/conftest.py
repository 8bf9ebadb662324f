"""A real PID 1 for the contract: the machines of tests/machine, their bus reached from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostagent.systemd.manager import Manager
from tests.machine.conftest import any_machine, boot, machine, roots
from tests.machine.machine import Machine

__all__ = ["any_machine", "boot", "machine", "roots"]

Service = Callable[..., str]


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
