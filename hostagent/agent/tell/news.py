"""What others are told of each run: the pings of its ``ping_url``, and ``on_success``.

Each goes out by a program beside the agent, in the order in which things happened, one after the
other of a (job, scope). Nothing waits for it: it is a task of its own, what waits in it is bounded,
and what goes wrong is said in the journal. What still waits when the agent ends is not told.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostagent.agent.book import Entry
from hostagent.agent.messages import NOT_TOLD, fields_of
from hostagent.agent.tell import ping
from hostagent.agent.tell.telling import Telling
from hostagent.agent.world import World
from hostagent.model import Alarm, End, Manifest, Run
from hostagent.policy import alarms, pings

AT_ONCE = 8
"""How many lines of a kind are worked off at the same time; others wait for their turn."""

MOST = 4
"""How many may wait in one line: then the oldest is given up."""

Name = tuple[str, str, str]
"""A line: of which job and scope, and of what kind."""


Tell = Callable[[], Coroutine[Any, Any, str]]
"""Says why something was not told; nothing, if it was, or that was said already."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to be told of a run; ``what`` (with ``fields``) is said where it is not."""

    what: str
    fields: dict[str, str]
    tell: Tell


class News:
    """One agent's. ``manifest`` is what is deployed; ``spawn`` goes on beside everything else."""

    def __init__(
        self,
        world: World,
        manifest: Callable[[], Manifest | None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._world = world
        self._manifest = manifest
        self._spawn = spawn
        self._rooms = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(AT_ONCE))
        self._lines: dict[Name, deque[Errand]] = {}
        self._telling = Telling(world)

    def began(self, entry: Entry, run: Run) -> None:
        """PID 1 starts it here."""
        self._ping(entry, run, pings.at_start(run))

    def ended(self, entry: Entry, run: Run, end: End, retry_at: datetime | None) -> None:
        """It was recorded how it ended here."""
        self._ping(entry, run, pings.at_end(run, end, retry_at))
        if (success := alarms.success(run, end, entry.job.on_success)) is not None:
            what = f"those in on_success were not told that {alarms.sentence(success)}"
            self._put(entry, run, "success", what, lambda: self._tell(success))

    def _ping(self, entry: Entry, run: Run, one: pings.Ping | None) -> None:
        url = entry.job.ping_url
        if url is None or one is None:
            return
        what = f"ping_url of {entry.job.name} was not told: {one.text}"
        self._put(entry, run, "ping", what, lambda: self._send(url, one))

    async def _send(self, url: str, one: pings.Ping) -> str:
        done = await self._world.beside(
            (sys.executable, "-m", "hostagent.agent.tell.ping"),
            ping.packed(url, one),
            unit=f"hostagentd-ping-{uuid.uuid4().hex[:8]}.service",
            user=self._world.paths.user,
            does="telling of a run",
        )
        return (done.line or f"exit {done.status}") if done.status else ""

    async def _tell(self, success: Alarm) -> str:
        await self._telling.tell(success, self._manifest(), self._world.clock.now())
        return ""

    def _put(self, entry: Entry, run: Run, kind: str, what: str, tell: Tell) -> None:
        """To the end of its line, which somebody works off."""
        name = run.job, run.scope, kind
        errand = Errand(what, fields_of(run, entry.unit.service), tell)
        if (line := self._lines.get(name)) is None:
            self._lines[name] = deque([errand])
            self._spawn(self._work_off(name))
            return
        line.append(errand)
        if len(line) > MOST:
            self._give_up(line.popleft(), f"{MOST} more wait")

    async def _work_off(self, name: Name) -> None:
        line = self._lines[name]
        try:
            while line:
                async with self._rooms[name[-1]]:
                    errand = line.popleft()
                    if why := await errand.tell():
                        self._give_up(errand, why)
        finally:
            del self._lines[name]

    def _give_up(self, errand: Errand, why: str) -> None:
        self._world.record(
            f"{errand.what} ({why})", errand.fields | {"MESSAGE_ID": NOT_TOLD, "PRIORITY": "4"}
        )
