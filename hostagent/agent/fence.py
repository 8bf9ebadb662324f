"""The fence that PID 1 keeps while this host holds claims of the cluster; when it is raised."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from hostagent.agent.offload import Offloaded
from hostagent.host.clock import Clock
from hostagent.systemd.port import Systemd


class Fence:
    """One host's. Raised before a claim is asked for, moved by each beat, dropped when idle.

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
        self._claiming = 0
        self._order = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """The fence stands in the block, and nobody drops it there.

        Raises:
            SystemdError: PID 1 would not have it: nothing may be claimed.
        """
        self._claiming += 1
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
            if is_needed or self._claiming:
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
