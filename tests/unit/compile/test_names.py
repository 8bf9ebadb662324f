"""Unit names: what systemd would make of them, and that no two jobs share one."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.compile import names
from hostagent.model import Lane, RunOn, Unit
from tests.unit.compile.builders import ON_BOOT, job

SCOPES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@pytest.mark.skipif(not shutil.which("systemd-escape"), reason="systemd-escape is not installed")
@settings(max_examples=60, deadline=None)
@given(st.lists(SCOPES, min_size=1, max_size=30))
def test_escape_is_what_systemd_escape_prints(scopes: list[str]) -> None:
    """An administrator who types ``systemd-escape SCOPE`` gets the instance's name."""
    command = ["systemd-escape", "--", *scopes]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert list(map(names.escape, scopes)) == printed.rstrip("\n").split(" ")


@given(SCOPES, SCOPES)
def test_different_scopes_have_different_instances(one: str, other: str) -> None:
    """Escaping is injective: two scopes of a job never share a unit."""
    assert (names.escape(one) == names.escape(other)) == (one == other)


def test_a_job_is_one_service_and_one_timer() -> None:
    """Without for_each the scope is no part of the name, not even the host of run_on = each."""
    everywhere = job(run_on=RunOn.EACH)
    assert names.units_of(job(), "web1") == (
        Unit("backup", "", "hostagent-backup.service", "hostagent-backup.timer"),
    )
    assert names.units_of(everywhere, "web1") == (
        Unit("backup", "web1", "hostagent-backup.service", "hostagent-backup.timer"),
    )


def test_each_scope_of_for_each_is_an_instance() -> None:
    """A fanned-out job has an instance of its template for each scope, escaped."""
    units = names.units_of(job(for_each=("eu", "us/east", "a-b")), "web1")
    assert [unit.service for unit in units] == [
        "hostagent-backup@eu.service",
        "hostagent-backup@us-east.service",
        "hostagent-backup@a\\x2db.service",
    ]
    assert units[0].timer == "hostagent-backup@eu.timer"


def test_a_job_on_boot_has_no_timer() -> None:
    """Nothing but the agent starts what is due at boot."""
    (unit,) = names.units_of(job(schedule=ON_BOOT, run_on=RunOn.EACH), "web1")
    assert unit.timer is None


def test_a_name_that_is_too_long_for_its_stamp_file_is_refused() -> None:
    """``stamp-NAME.timer`` has 255 bytes at most, or Persistent= could not keep its stamp."""
    room = names.STEM_MAX - len("hostagent-backup@")
    longest = names.timer_name("backup", "x" * room, fan_out=True)
    assert len(f"stamp-{longest}") == 255
    with pytest.raises(names.TooLongError, match="244 bytes"):
        names.timer_name("backup", "x" * (room + 1), fan_out=True)


def test_lanes_are_slices_below_one() -> None:
    """The dash makes each lane's slice a child of hostagent.slice."""
    assert [names.slice_name(lane) for lane in Lane] == [
        "hostagent-critical.slice",
        "hostagent-normal.slice",
        "hostagent-bulk.slice",
    ]
