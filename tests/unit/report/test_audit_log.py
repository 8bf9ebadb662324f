"""Who changed what, as commands show it (report.audit_log, cli.acting)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hostagent.cli import acting
from hostagent.cli.app import app
from hostagent.cli.commands import register
from hostagent.report.audit_log import is_about
from hostagent.report.ledgers import Ledgers
from hostagent.store.port import AuditEvent
from hostagent.store.sqlite.engine import SqliteStore

NOW = datetime.now(UTC).replace(microsecond=0)


def event(age_h: float, action: str, target: str, uid: int = 0) -> AuditEvent:
    """Something that a person did so many hours ago."""
    return AuditEvent(NOW - timedelta(hours=age_h), uid, "db1", action, target, f"why {age_h}")


OWN = [
    event(5, "pause", "job backup"),
    event(3, "stop", "run backup@eu.20261121T020000Z", 4_000_000_000),
    event(1, "pause", "cluster"),
]
SHARED = [event(4, "run", "job report"), event(2, "reinstate", "job backup@eu")]


@pytest.fixture(autouse=True)
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A host's own and the one that it shares, behind the commands."""
    with (
        closing(SqliteStore(tmp_path / "own")) as own,
        closing(SqliteStore(tmp_path / "shared")) as shared,
    ):
        for store, events in ((own, OWN), (shared, SHARED)):
            for one in events:
                store.log(one)
        monkeypatch.setattr(acting, "open_ledger", lambda _: Ledgers(own, "db1", shared))
        yield


def shown(*words: str) -> Result:
    """Call the command."""
    register(app)
    return CliRunner().invoke(app, ["audit-log", *words])


def actions(*words: str) -> list[str]:
    """What was done, as a script reads it."""
    return [one["action"] for one in json.loads(shown(*words, "--json").output)]


def test_both_ledgers_are_shown_newest_first() -> None:
    """With the uid, the time, the target and the reason."""
    assert actions() == ["pause", "reinstate", "stop", "run", "pause"]
    line = shown("-n", "1").output.splitlines()[1]
    assert [word in line for word in ("root (0)", "db1", "cluster", "why 1", "1h")] == [True] * 5


def test_a_uid_that_this_host_does_not_know_is_a_number() -> None:
    """The number is what counts."""
    assert "4000000000" in shown("backup").output


def test_it_is_filtered_by_job_and_time() -> None:
    """A span is one ago."""
    assert actions("backup") == ["reinstate", "stop", "pause"]
    assert actions("backup", "--since", "4h") == ["reinstate", "stop"]
    assert actions("-n", "2") == ["pause", "reinstate"]
    assert shown("nobody").output == 'Nobody has changed "nobody".\n'


@pytest.mark.parametrize(
    ("target", "is_so"),
    [
        ("job backup", True),
        ("job backup@eu", True),
        ("run backup.20261121T020000Z.manual", True),
        ("backlog backup", True),
        ("job backup2", False),
        ("run backup2.20261121T020000Z", False),
        ("host backup", False),
        ("cluster", False),
        ("", False),
    ],
)
def test_what_is_about_a_job(target: str, is_so: bool) -> None:
    """The job itself, in any scope, and its runs."""
    assert is_about(event(1, "x", target), "backup") is is_so
