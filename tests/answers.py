"""What an agent answers: of one that has nothing to do, with what a test wants to be else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from hostagent.agent import server
from hostagent.agent.interface import Activity, Backlog, Held, Service, Slots, Status, Using
from hostagent.host.paths import Paths


@contextmanager
def served(paths: Paths, by: object) -> Iterator[None]:
    """``by`` answers where the commands look for an agent; it needs what is asked of it alone."""
    loop, up, ending = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        listener = server.listening_socket(paths.socket, None)
        serving = server.Server(listener, cast("Service", by))
        serving.start()
        up.set()
        await ending.wait()
        serving.close()
        listener.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    up.wait()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


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
        waits=[],
        waits_because=[],
        settles="",
        pace="",
        next_job="",
        next_at="",
        barred="",
        paused=[],
        store_reached=True,
        lease_s=None,
        alarms=[],
        untold=[],
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


def going(**changes: Any) -> Activity:
    """Of what runs."""
    changed: Activity = _changed(
        Activity(read_at="2026-11-21T02:00:00Z", runs=[], lanes=[], pools=[]), changes
    )
    return changed


def using(**changes: Any) -> Using:
    """Of a run."""
    one = Using(
        run_id="a.20261121T020000Z",
        unit="hostagent-a.service",
        started="2026-11-21T02:00:00Z",
        cpu_s=0.0,
        memory=0,
        lane="normal",
        pool="",
        catches_up=False,
    )
    changed: Using = _changed(one, changes)
    return changed


def slots(name: str, running: int, **changes: Any) -> Slots:
    """Of a lane, or a pool."""
    one = Slots(name=name, running=running, used=running, most=None, held=0)
    changed: Slots = _changed(one, changes)
    return changed


def held(name: str, **changes: Any) -> Held:
    """Of what waits."""
    at = "2026-11-21T02:00:00Z"
    one = Held(
        name=name, due=at, covers=1, since=at, lost=at, expected="", bound="", reason="held: level"
    )
    changed: Held = _changed(one, changes)
    return changed


def _changed(idle: Any, changes: dict[str, Any]) -> Any:
    assert changes.keys() <= idle.keys(), changes.keys() - idle.keys()
    return idle | changes
