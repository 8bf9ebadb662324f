"""What a newer hostagent left on this host, or told the cluster, as an older one reads it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hostagent.agent.wiring import read_manifest
from hostagent.codec import content_json, to_json
from hostagent.errors import RefusedError, StoreError
from hostagent.host.paths import system
from hostagent.model import Form, Job, Manifest, Schedule
from hostagent.store.port import SpecRecord, schedule_of

T0 = datetime(2025, 3, 1, tzinfo=UTC)
DAILY = Schedule(Form.CALENDAR, "daily")


def test_a_manifest_that_says_more_is_refused(tmp_path: Path) -> None:
    """What is not known may be what forbids a start; the agent goes on by the one before."""
    paths = system(tmp_path)
    job = Job("a", ("/bin/true",), DAILY, timedelta(hours=1))
    data = to_json(Manifest(1, T0, 252, "one", (job,)))
    path = Path(paths.manifest)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(data))
    assert read_manifest(paths) is not None
    data["jobs"][0]["only_on_mondays"] = True
    path.write_text(json.dumps(data))
    with pytest.raises(RefusedError, match=r"only_on_mondays.*: systemctl restart hostagent"):
        read_manifest(paths)


def test_a_schedule_that_says_more_is_refused() -> None:
    """Of a job that a newer apply registered for all hosts: an error for people, no traceback."""
    record = SpecRecord("a", 1, DAILY.hash, content_json(DAILY), ("",), T0)
    assert schedule_of(record) == DAILY
    text = json.dumps({**json.loads(record.schedule), "moon": "full"})
    newer = SpecRecord("a", 1, "f" * 16, text, ("",), T0)
    with pytest.raises(StoreError, match=r"schedule of a was applied by a newer .*moon"):
        schedule_of(newer)
