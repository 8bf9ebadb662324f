"""What the end of a lease means here: of ours, whose runs PID 1 stops; of another host's."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from hostagent.agent.aftermath import Aftermath
from hostagent.agent.book import Entry
from hostagent.agent.world import World
from hostagent.model import Run
from hostagent.policy.outcome import Ended, end_of
from hostagent.store.port import Finish

log = logging.getLogger(__name__)


class Leases:
    """Carries out what the beat found. Callers hold the entry's lock."""

    def __init__(self, world: World, aftermath: Aftermath) -> None:
        self._world = world
        self._aftermath = aftermath

    async def lose(self, entries: Sequence[Entry], reason: str) -> None:
        """This host's lease is over: PID 1 stops what runs on it, if it has not yet."""
        lost = [e for e in entries if e.active is not None and self._world.cluster.leases(e)]
        for entry in lost:
            entry.lost = "fenced"
        if not lost:
            return
        names = ", ".join(entry.active.run_id for entry in lost if entry.active is not None)
        log.warning("%s: stopping %s", reason, names)
        await self._world.fence.fall()

    async def settle(self, entry: Entry) -> None:
        """Settle a doubt by reading where the entry stands; a run that is not ours is stopped."""
        store, before = self._world.store_of(entry), entry.active
        for cursor in await store.call(store.it.cursors, [(entry.job.name, entry.scope)]):
            entry.stand(cursor, self._world.host)
        if before is not None and entry.active is None:
            log.warning("%s: its token is stale; stopping it", before.run_id)
            systemd = self._world.systemd
            await systemd.call(systemd.it.stop, [entry.unit.service], no_block=True)

    async def take_over(self, entry: Entry, run: Run, reason: str) -> None:
        """End a run whose host was lost; the next attempt may start at once, anywhere."""
        store = self._world.store_of(entry)
        end = end_of(Ended("lease-lost", detail=reason))
        end, retry_at = await self._aftermath.after(entry, run, end)
        finish = Finish(run.job, run.scope, run.token, end, retry_at)
        await store.call(store.it.finish, [finish])
        self._world.record(
            f"{run.run_id} was lost with {run.host}: {reason}",
            {"HOSTAGENT_JOB": run.job, "HOSTAGENT_RUN_ID": run.run_id, "PRIORITY": "4"},
        )
