"""What PID 1 is told of its timers before they start (hostagent.agent.stamps), in real files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hostagent.agent.stamps import answer_for_all
from hostagent.host import paths
from hostagent.host.paths import Paths
from hostagent.model import Manifest, Unit

T0 = datetime(2026, 3, 2, tzinfo=UTC)
UNITS = tuple(
    Unit(name, "", f"hostagent-{name}.service", timer)
    for name, timer in (("old", "hostagent-old.timer"), ("new", "hostagent-new.timer"), ("b", None))
)
MANIFEST = Manifest(1, T0, 252, "one", (), units=UNITS)


@pytest.fixture
def places(tmp_path: Path) -> Paths:
    """A host whose job ``old`` and another's timer have elapsed."""
    found = paths.system(tmp_path)
    found.stamps.mkdir(parents=True)
    for name in ("hostagent-old", "apt-daily"):
        (found.stamps / f"stamp-{name}.timer").touch()
    return found


def elapsed_at(stamp: Path) -> datetime:
    """When PID 1 takes the timer to have elapsed."""
    return datetime.fromtimestamp(stamp.stat().st_mtime, UTC)


def test_deployed_timers_count_from_then_and_no_other(places: Paths) -> None:
    """One that has no stamp gets it from PID 1; one that is not ours owes its own to PID 1."""
    until = T0 + timedelta(days=5)
    answer_for_all(places, MANIFEST, until)
    stamps = {path.name: elapsed_at(path) for path in places.stamps.iterdir()}
    assert stamps.keys() == {"stamp-hostagent-old.timer", "stamp-apt-daily.timer"}
    assert stamps["stamp-hostagent-old.timer"] == until
    assert stamps["stamp-apt-daily.timer"] != until


def test_a_place_that_cannot_be_written_is_said_and_no_reason_not_to_start(
    places: Paths, caplog: pytest.LogCaptureFixture
) -> None:
    """An agent's unit of before may not write there: PID 1 then asks for each."""
    not_there = replace(places, stamps=places.stamps / "stamp-apt-daily.timer")
    answer_for_all(not_there, MANIFEST, T0)
    assert "run: hostagent agent install" in caplog.text
