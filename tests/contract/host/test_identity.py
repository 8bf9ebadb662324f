"""Who this machine is, on a real boot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostagent.host.identity import machine_id
from tests.machine.machine import Machine

ASK = """
import json, sys
sys.path.insert(0, "/opt/hostagent/src")
from hostagent.host.identity import *
print(json.dumps([boot_id(), host_name(), machine_id()]))
"""


@pytest.mark.machine
def test_the_machine_is_named_as_systemd_names_it(any_machine: Machine) -> None:
    """Boot id, host name and machine id agree with the journal's and with /etc."""
    boot_id, host_name, machine_id = json.loads(any_machine.succeed("python3 -", stdin=ASK))
    fields = "journalctl --sync; journalctl -q -n1 -o json _PID=1"
    record = json.loads(any_machine.succeed(fields))
    assert boot_id == record["_BOOT_ID"]
    assert machine_id == record["_MACHINE_ID"] == any_machine.read("/etc/machine-id").strip()
    assert host_name == any_machine.read("/etc/hostname").strip()


def test_a_machine_without_an_id_has_none(tmp_path: Path) -> None:
    """Missing, or not yet written by the first boot."""

    place = tmp_path
    (place / "fresh").write_text("uninitialized\n")
    assert machine_id(place / "missing") is None
    assert machine_id(place / "fresh") is None
