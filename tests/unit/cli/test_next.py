"""Which hours are crowded, as it is shown (cli.jobs)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from hostagent.cli import jobs as cli
from hostagent.errors import InputError
from hostagent.host.paths import Paths
from hostagent.model import Form, Job, Schedule
from tests import deployed
from tests.unit.cli.conftest import asked

HOUR = timedelta(hours=1)
T = datetime(2026, 11, 21, 12, tzinfo=UTC)
MIDNIGHT = Schedule(Form.CALENDAR, "daily", ("daily",), jitter=HOUR)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is an hour ahead: what is due at midnight UTC starts at 1."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_map_is_readable_in_80_columns(paths: Paths) -> None:
    """Both maps, a line for each day; plain as it is piped."""
    jobs = [Job(f"a{n}", ("/bin/true",), MIDNIGHT, HOUR) for n in range(120)]
    deployed.deploy(paths, "one", jobs, T)
    words = ("--days", "7", "--from", "2026-11-21T12:00:00Z")
    shown = asked(cli.next_, *words).output
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown
    assert shown.startswith("840 starts.")
    before, after = (line for line in shown.splitlines() if line.startswith("Sun 22"))
    assert before.split()[3] == "++"
    assert int(after.split()[3]) < 20
    told = json.loads(asked(cli.next_, *words, "--json").output)
    assert (told[0]["day"], told[0]["hour"], told[0]["scheduled"]) == ("2026-11-22", 1, 120)
    assert isinstance(asked(cli.next_, "--days", "2", "-n", "3").exception, InputError)
