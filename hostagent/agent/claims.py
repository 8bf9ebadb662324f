"""Claims and settlements, asked of the ledger of each entry, many at once.

What stands there settles a doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from hostagent.agent.batch import Batch
from hostagent.agent.book import Entry
from hostagent.agent.turns import Turns
from hostagent.agent.world import World
from hostagent.store.port import Accepted, Claimed, Cursor, Refusal, Refused, Settlement, Want

REFUSALS = {
    Refusal.UNKNOWN: "the job is not registered; run: hostagent apply",
    Refusal.SPEC: "the store knows another schedule of this job; run: hostagent apply",
    Refusal.ACTIVE: "another run of this job is active",
    Refusal.PASSED: "this occurrence has its outcome already",
    Refusal.EARLY: "the store's clock says that it is not due yet",
    Refusal.SESSION: "this agent's session in the store is over; it opens another one",
    Refusal.SKEW: "this host's clock and the store's are over a second apart; see: timedatectl",
    Refusal.ATTEMPT: "another attempt was made, or a person gave this one up",
}

AGAIN = {
    Refusal.EARLY: timedelta(milliseconds=250),
    Refusal.ACTIVE: timedelta(milliseconds=250),
    Refusal.SKEW: timedelta(seconds=5),
    Refusal.SESSION: timedelta(seconds=5),
}
"""How soon to ask again after a refusal that does not last: a clock behind, a claim in between."""

RACED = timedelta(milliseconds=250)
"""How soon to decide again when another host was faster, but did not do all of it."""


class Claims:
    """Callers hold the entry's lock."""

    def __init__(self, world: World, turns: Turns) -> None:
        self._world = world
        self._turns = turns
        both = (False, True)  # is_leased: each ledger is asked by itself
        self._claims = {which: Batch(partial(self._claim_all, which)) for which in both}
        self._settles = {which: Batch(partial(self._settle_all, which)) for which in both}
        self._stands = {which: Batch(partial(self._stands_of, which)) for which in both}

    async def ask(self, entry: Entry, want: Want) -> Claimed | Refused:
        """Claim it: the run is the entry's from now on, or what stands there is known."""
        with self._turns.answering(entry):
            answer = await self._claims[entry.is_leased].ask(want)
        if isinstance(answer, Claimed):
            entry.active = answer.run
        else:
            await self.stand(entry)
        return answer

    async def ask_for(self, entry: Entry, want: Want) -> Claimed | Refused:
        """Claim it; where that fails, what the gate let go does not catch up after all."""
        try:
            claim = await self.ask(entry, want)
        except BaseException:
            entry.catching_up = False
            raise
        finally:
            entry.takes_place = False
        if isinstance(claim, Refused):
            entry.catching_up = entry.catching_up and entry.active is not None
        return claim

    async def settle(self, entry: Entry, settlement: Settlement) -> Accepted | Refused:
        """Settle what gets no attempt; where that is refused, what stands there is known.

        After days off each job has something to settle: one transaction for all, not one each.
        """
        answer = await self._settles[entry.is_leased].ask(settlement)
        if isinstance(answer, Refused):
            await self.stand(entry)
        return answer

    async def stand(self, entry: Entry) -> None:
        """Settle a doubt by reading where the entry stands in its ledger."""
        with self._turns.answering(entry):
            cursor = await self._stands[entry.is_leased].ask((entry.job.name, entry.scope))
        if cursor is not None:
            entry.stand(cursor, self._world.host)

    async def _claim_all(self, is_leased: bool, wants: Sequence[Want]) -> list[Claimed | Refused]:
        """The fence stands for as long as the store may give them, whoever still waits for it."""
        store = self._world.ledger(is_leased=is_leased)
        if not is_leased:
            session = self._world.session_in(is_leased=False)
            return await store.call(store.it.claim, session, wants)
        async with self._world.fence.kept_up():
            if self._turns.no_lease():
                return [Refused(Refusal.SESSION) for _ in wants]
            session, clock = self._world.session_in(is_leased=True), self._world.clock.now()
            return await store.call(store.it.claim, session, wants, clock)

    async def _settle_all(
        self, is_leased: bool, settlements: Sequence[Settlement]
    ) -> list[Accepted | Refused]:
        store = self._world.ledger(is_leased=is_leased)
        return await store.call(store.it.settle, settlements)

    async def _stands_of(
        self, is_leased: bool, names: Sequence[tuple[str, str]]
    ) -> list[Cursor | None]:
        store = self._world.ledger(is_leased=is_leased)
        found = await store.call(store.it.cursors, set(names))
        stands = {(cursor.job, cursor.scope): cursor for cursor in found}
        return [stands.get(name) for name in names]

    def again(self, entry: Entry, refusal: Refusal, until: datetime) -> timedelta | None:
        """How soon to decide again, after a refusal: others may have left some of it owed."""
        if refusal is Refusal.PASSED and entry.high_water and entry.high_water < until:
            return RACED
        return AGAIN.get(refusal)

    def told(self, answer: Refused) -> str:
        """The refusal as a sentence, with the run that is in the way."""
        holder = f": {answer.holder.run_id}" if answer.holder else ""
        return REFUSALS[answer.refusal] + holder
