"""What an agent answers: of one that has nothing to do, with what a test wants to be else."""

from __future__ import annotations

from typing import Any

from hostagent.agent.interface import Backlog, Status


def status(**changes: Any) -> Status:
    """Of itself."""
    idle = Status(
        version="1",
        host="one",
        generation=1,
        jobs=1,
        running=[],
        hung=[],
        hung_since=[],
        hung_because=[],
        held=[],
        held_because=[],
        settles="",
        pace="",
        next_job="",
        next_at="",
        barred="",
        paused=[],
        store_reached=True,
        lease_s=None,
        alarms=[],
    )
    changed: Status = _changed(idle, changes)
    return changed


def backlog(**changes: Any) -> Backlog:
    """Of its gate."""
    idle = Backlog(
        settles="",
        level=1,
        most=8,
        used=0,
        pace="",
        held=[],
        catching_up=[],
        backfills=[],
        storm=[],
    )
    changed: Backlog = _changed(idle, changes)
    return changed


def _changed(idle: Any, changes: dict[str, Any]) -> Any:
    assert changes.keys() <= idle.keys(), changes.keys() - idle.keys()
    return idle | changes
