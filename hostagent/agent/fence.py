"""The fence that PID 1 keeps while this host holds claims of the cluster; when it is raised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from hostagent.agent.offload import Offloaded
from hostagent.host.clock import Clock
from hostagent.policy import lease
from hostagent.systemd.port import Systemd

IDLE_MOVES = lease.BEATS
"""How many beats a fence stays up that nothing needs: claims come one after the other, and each
would wait for PID 1 to set it up (5 ms, and 29 ms for one in ten)."""


class Fence:
    """One host's. Raised before a claim is asked for, moved by each beat, dropped when long idle.

    Times are CLOCK_BOOTTIME, as leases are counted; PID 1 counts CLOCK_MONOTONIC, which stands
    still while a host sleeps: whoever wakes up looks at the lease first. With ``is_kept`` False
    (a store of one host, a user's manager) there is none.
    """

    def __init__(self, systemd: Offloaded[Systemd], clock: Clock, *, is_kept: bool) -> None:
        self._systemd = systemd
        self._clock = clock
        self._is_kept = is_kept
        self._deadline_s: float | None = None
        self._stands = False
        self._idle_moves = 0
        self._claiming = 0
        self._order = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """The fence stands in the block, and nobody drops it there.

        Raises:
            SystemdError: PID 1 would not have it: nothing may be claimed.
        """
        self._claiming += 1
        self._idle_moves = 0
        try:
            async with self._order:
                if not self._stands and self._deadline_s is not None:
                    await self._arm(self._deadline_s)
            yield
        finally:
            self._claiming -= 1

    @property
    def is_claiming(self) -> bool:
        """Whether a claim is asked for just now."""
        return self._claiming > 0

    async def move(self, deadline_s: float, *, is_needed: bool) -> None:
        """The lease lasts until then; the fence follows where it stands, or is dropped."""
        async with self._order:
            self._deadline_s = deadline_s
            self._idle_moves = 0 if is_needed or self.is_claiming else self._idle_moves + 1
            if self._idle_moves == 0 or (self._stands and self._idle_moves <= IDLE_MOVES):
                await self._arm(deadline_s)
            elif self._stands:
                await self._drop()

    async def fall(self) -> None:
        """The lease is over: PID 1 stops what runs on it now, and kills what is left 2 s later."""
        async with self._order:
            self._deadline_s = None
            await self._arm(self._clock.boottime_s())
            self._stands = False

    async def drop(self) -> None:
        """Nothing is held any more."""
        async with self._order:
            self._deadline_s = None
            await self._drop()

    async def _arm(self, deadline_s: float) -> None:
        if not self._is_kept:
            return
        monotonic_s = deadline_s - self._clock.boottime_s() + self._clock.monotonic_s()
        await self._systemd.call(self._systemd.it.arm_fence, max(0.0, monotonic_s))
        self._stands = True

    async def _drop(self) -> None:
        self._stands = False
        if self._is_kept:
            await self._systemd.call(self._systemd.it.disarm_fence)
