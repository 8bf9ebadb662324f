"""Whether this host's units are still what the last apply wrote, seen beside the agent.

``deploy.drifted`` looks, as a program of PID 1's: it reads every unit, and the agent need not hold
what that takes. It is run when PID 1 has read its units anew or an apply is done, and every hour
for what nobody reloads: edits that PID 1 has not seen yet, a timer that was stopped. Where an alarm
stands that an agent before this one began, it is run soon after the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import uuid
from collections.abc import Callable

from hostagent.agent.world import World

FIRST_S, EVERY_S = 300.0, 3600.0
"""Until the first look after a start (nothing of ours runs beside a boot), and each further one."""

BURST_S = 2.0
"""Reloads come in bursts, as at an upgrade of packages: one look serves them all."""

log = logging.getLogger(__name__)


class Drift:
    """One agent's. ``changed`` is called after each look.

    ``found`` is what differs, in words; empty: nothing, None: nobody has looked yet.
    """

    def __init__(self, world: World, changed: Callable[[], None]) -> None:
        self.found: str | None = None
        self._world = world
        self._changed = changed
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """The units may be others now."""
        self._hint.set()

    @property
    def is_hinted(self) -> bool:
        """Whether a look is to come soon."""
        return self._hint.is_set()

    async def run(self) -> None:
        """Look whenever there is reason to, until cancelled."""
        self._hint.clear()  # that was the agent's own start
        pause_s = FIRST_S
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hint.wait(), pause_s)
                await asyncio.sleep(BURST_S)
            self._hint.clear()
            await self._look()
            pause_s = EVERY_S

    async def _look(self) -> None:
        user = self._world.paths.user
        done = await self._world.beside(
            (sys.executable, "-m", "hostagent.deploy.drifted", *(["--user"] if user else [])),
            b"",
            unit=f"hostagentd-drift-{uuid.uuid4().hex[:8]}.service",
            user=user,
            does="looking whether the units are as applied",
        )
        if done.status:
            why = done.line or f"exit {done.status}"
            log.warning("whether the units are as applied is not known (%s): hostagent drift", why)
            return
        self.found = done.line
        self._changed()
