"""How runs start: what is decided about what a job owes, carried out. One path for all starts.

Whoever wants a start (PID 1's timer, the second clock, the end of another run, a person) comes
here; ``policy.due`` decides, the store's claim makes it so, and PID 1 runs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from hostagent.agent import handover
from hostagent.agent.backlog import Backlog
from hostagent.agent.batch import Batch
from hostagent.agent.book import Book, Entry
from hostagent.agent.endings import Endings
from hostagent.agent.messages import SECOND_CLOCK, TURNED_AWAY, fields_of, outcome_fields
from hostagent.agent.owed import next_due, owed
from hostagent.agent.turns import SOON, NotNow, Turns
from hostagent.agent.wakes import Wakes
from hostagent.agent.weights import Weights
from hostagent.agent.world import World
from hostagent.errors import RefusedError
from hostagent.model import Kind, Outcome, Overlap, Run, run_id
from hostagent.policy import gate
from hostagent.policy.due import (
    Facts,
    Paused,
    Settle,
    Start,
    Stop,
    Wait,
    abandon,
    decide,
    is_catch_up,
)
from hostagent.policy.words import when
from hostagent.store.port import (
    MAX_SKEW,
    Claimed,
    Cursor,
    Decision,
    Refusal,
    Refused,
    Settlement,
    Want,
)

REFUSALS = {
    Refusal.UNKNOWN: "the job is not registered; run: hostagent apply",
    Refusal.SPEC: "the store knows another schedule of this job; run: hostagent apply",
    Refusal.ACTIVE: "another run of this job is active",
    Refusal.PASSED: "this occurrence has its outcome already",
    Refusal.EARLY: "the store's clock says that it is not due yet",
    Refusal.SESSION: "this agent's session is over",
    Refusal.SKEW: "this host's clock and the store's differ by more than a second",
    Refusal.ATTEMPT: "this attempt does not follow the last one",
}

STILL = timedelta(minutes=1)
"""How often a run is looked at that PID 1 has said nothing about: its word is only a hint."""


AGAIN = {
    Refusal.EARLY: timedelta(milliseconds=250),
    Refusal.ACTIVE: timedelta(milliseconds=250),
    Refusal.SKEW: timedelta(seconds=5),
    Refusal.SESSION: timedelta(seconds=5),
}
"""How soon to ask again after a refusal that does not last: a clock behind, a claim in between."""

RACED = timedelta(milliseconds=250)
"""How soon to decide again when another host was faster, but did not do all of it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a start: whether it goes on, and the sentence that says why.

    ``again``: how soon to look at the entry again, for nobody will tell that it may start.
    ``is_held``: the gate holds it, and is asked again by itself.
    """

    admitted: bool
    reason: str
    again: timedelta | None = None
    is_held: bool = False


class Starts:
    """Decides and starts. Callers hold the entry's lock."""

    def __init__(
        self,
        world: World,
        book: Book,
        wakes: Wakes,
        endings: Endings,
        backlog: Backlog,
        weights: Weights,
    ) -> None:
        self._world = world
        self._book = book
        self._wakes = wakes
        self._endings = endings
        self._backlog = backlog
        self._weights = weights
        self._turns = Turns(world, book)
        both = (False, True)  # is_leased: each ledger is asked by itself
        self._claims = {which: Batch(partial(self._claim_all, which)) for which in both}
        self._stands = {which: Batch(partial(self._stands_of, which)) for which in both}

    async def evaluate(self, entry: Entry, invocation: str | None = None) -> Verdict:
        """Decide about all that ``entry`` owes now. ``invocation``: PID 1 is starting the unit."""
        verdict = None
        try:
            verdict = await self._evaluate(entry, invocation)
        finally:
            if verdict is None or not verdict.is_held:
                self._backlog.forget(entry)
        return verdict

    async def _evaluate(self, entry: Entry, invocation: str | None) -> Verdict:
        now = self._world.clock.now()
        if entry.is_leased and (not_now := await self._not_now(entry, now)):
            self._wakes.set(entry, not_now.until)
            return Verdict(False, not_now.reason, is_held=self._backlog.holds(entry))
        if not entry.registered:
            self.rearm(entry)
            return Verdict(False, REFUSALS[Refusal.SPEC])
        verdict = await self._act(entry, now, invocation)
        if verdict is None and self._turns.is_retry_due(entry, now):
            verdict = await self._start_again(entry, now, invocation)
        self.rearm(entry)
        if verdict is not None and verdict.again is not None:
            again_at = now + verdict.again
            self._wakes.set(entry, min(again_at, entry.wake_at or again_at))
        return verdict or Verdict(False, self._nothing_due(entry))

    async def _act(self, entry: Entry, now: datetime, invocation: str | None) -> Verdict | None:
        """Carry out what policy says of all that is owed; None: there is nothing to say."""
        entry.waits_elsewhere, verdict = False, None
        for action in decide(self._facts(entry, now, now)):
            match action:
                case Settle():
                    refusal = await self._settle(entry, action, now)
                    if refusal is not None:  # what follows rests on what is not so
                        return Verdict(False, REFUSALS[refusal], self._again(entry, refusal, now))
                    verdict = verdict or Verdict(False, action.reason)
                case Start():
                    verdict = await self._start(entry, action, now, invocation)
                    if not verdict.admitted:
                        return verdict  # a settlement of later ones would pass it by for good
                case Stop() if entry.elsewhere is None:
                    await self._stop(entry, action.reason)
                    verdict = Verdict(False, action.reason)
                case Stop() | Wait():
                    entry.waits_elsewhere = entry.elsewhere is not None
                    verdict = Verdict(False, action.reason)
        return verdict

    async def _not_now(self, entry: Entry, now: datetime) -> NotNow | None:
        """Why this host may not ask for it now.

        The store is read when its turn has come, and not before: timers elapse on every host.
        """
        not_now = self._turns.not_now(entry, now)
        if not_now is None:
            await self._stand(entry)  # others may have been faster
            not_now = self._turns.not_now(entry, now)
        return not_now

    async def settle_overlapped(self, entry: Entry, ended_at: datetime) -> None:
        """What fell due while the run went that ends now: overlap = "skip" skips it for good."""
        if entry.job.overlap is not Overlap.SKIP or not entry.registered:
            return
        until = ended_at - entry.job.schedule.jitter
        for action in decide(self._facts(entry, ended_at, until)):
            if isinstance(action, Settle):
                await self._settle(entry, action, self._world.clock.now())

    async def manual(
        self, entry: Entry, reason: str, as_of: datetime | None, invocation: str | None = None
    ) -> Verdict | Run:
        """Claim a manual run and have it started (unless PID 1 is at it already)."""
        now = self._world.clock.now()
        want = Want(
            entry.job.name,
            entry.scope,
            entry.schedule_hash,
            Kind.MANUAL,
            as_of or now.replace(microsecond=0),
            reason,
            now,
            invocation_id=invocation,
        )
        answer = await self._claim(entry, want)
        if isinstance(answer, Refused):
            return Verdict(False, self._refusal(answer))
        await self._weights.follow(self._book, entry)
        if invocation is None:
            if ended := await self._endings.start(entry, answer.run):
                await self._endings.finish(entry, answer.run, ended)
        else:
            systemd = self._world.systemd
            await systemd.call(systemd.it.ref, entry.unit.service)
            await self._hand_over(entry, answer.run)
        return answer.run

    async def attach(self, entry: Entry, run: Run, invocation: str) -> Verdict:
        """PID 1 starts the unit for a claim that was prepared."""
        if why := self._no_lease(entry, run):
            return Verdict(False, why)
        store, at = self._world.store_of(entry), self._world.clock.now()
        if not await store.call(store.it.attach, run.job, run.scope, run.token, invocation, at):
            entry.active = None
            return Verdict(False, REFUSALS[Refusal.PASSED])
        entry.active = replace(run, invocation_id=invocation, started_at=at)
        await self._hand_over(entry, entry.active)
        return Verdict(True, run.reason)

    def rearm(self, entry: Entry) -> None:
        """Tell the second clock when to look at the entry again."""
        patience = self._turns.patience(entry)
        entry.next_due = next_due(entry, self._world.clock.now(), patience)
        due = entry.next_due and entry.next_due + patience
        again = None if self._backlog.holds(entry) else self._turns.retry_wake(entry)
        still = None
        if entry.active is not None:
            still = self._world.clock.now() + (STILL if entry.active.invocation_id else SOON)
        wakes = [at for at in (due, again, still) if at is not None]
        self._wakes.set(entry, min(wakes, default=None))

    async def abandon(self, entry: Entry, before: datetime | None, reason: str) -> tuple[int, bool]:
        """Give up what was missed of it up to ``before``, and a retry that waits.

        Returns how many occurrences, and whether there was a retry.

        Raises:
            RefusedError: they have their outcome by now, or the store's clock differs.
        """
        now, count = self._world.clock.now(), 0
        for action in abandon(self._facts(entry, now, now), before, reason):
            if refusal := await self._settle(entry, action, now):
                raise RefusedError(REFUSALS[refusal])
            count += action.count if action.outcome is Outcome.ABANDONED else 0
        return count, await self._give_up(entry, before, reason)

    async def _give_up(self, entry: Entry, before: datetime | None, reason: str) -> bool:
        last = entry.retry
        if last is None or (before is not None and last.scheduled_for > before):
            return False
        store = self._world.store_of(entry)
        is_given_up = await store.call(
            store.it.give_up, last.job, last.scope, last.token, f"not tried again: {reason}"
        )
        if not is_given_up:
            await self._stand(entry)  # somebody was faster
            return False
        entry.retry, entry.retry_at = None, None
        self._world.record(
            f"{last.run_id} stays {Outcome.FAILED}, it is not tried again: {reason}",
            fields_of(last, entry.unit.service) | outcome_fields(Outcome.FAILED),
        )
        return True

    async def give_way(self, entry: Entry, reason: str) -> None:
        """Stop a run that catches up: it is tried again when the gate lets it go."""
        ended = await self._endings.look(entry)
        if ended is not None or entry.active is None or not entry.active.invocation_id:
            return  # it is over, or has executed nothing: that is seen to elsewhere
        entry.gave_way = reason
        self._world.record(
            f"{entry.active.run_id} is stopped by the gate: {reason}",
            fields_of(entry.active, entry.unit.service) | {"PRIORITY": "4"},
        )
        systemd = self._world.systemd
        await systemd.call(systemd.it.stop, [entry.unit.service], no_block=True)

    async def turned_away(self, entry: Entry, verdict: Verdict) -> None:
        """Keep the reason of a start that did not happen, for ``why`` and the journal.

        In a cluster every host but one turns an occurrence away: that is said to the journal of
        each alone, and the ledger says who ran it.
        """
        now, store = self._world.clock.now(), self._world.own
        is_leased = self._world.cluster.leases(entry)
        if not is_leased:
            decision = Decision(entry.job.name, entry.scope, now, "hold", verdict.reason)
            await store.call(store.it.note, [decision])
        fields = {
            "HOSTAGENT_JOB": entry.job.name,
            "HOSTAGENT_SCOPE": entry.scope,
            "MESSAGE_ID": TURNED_AWAY,
            "PRIORITY": "7" if is_leased else "6",
        }
        self._world.record(f"{entry.unit.service} not started: {verdict.reason}", fields)

    def barred(self) -> str | None:
        """Why this host may start nothing of the cluster's now, or None."""
        return self._turns.no_lease()

    def _facts(self, entry: Entry, now: datetime, until: datetime) -> Facts:
        expired, due = owed(entry, until, self._world.booted_at)
        pause = self._book.pause_of(entry, self._world.host, now)
        paused = None
        if pause is not None:
            what = f"{pause.target} {pause.name}".strip()
            limit = f" until {when(pause.until)}" if pause.until else ""
            paused = Paused(f"{what} by {pause.by}{limit}: {pause.reason}", pause.until)
        return Facts(
            job=entry.job,
            now=now,
            owed=due,
            expired=expired,
            active=entry.active or entry.elsewhere,
            freed_at=entry.freed_at,
            freed_from=entry.freed_from,
            paused=paused,
            quarantined=entry.quarantined,
            kept_from=self._backlog.kept_from(entry),
        )

    async def _settle(self, entry: Entry, action: Settle, now: datetime) -> Refusal | None:
        """Why nothing is settled, or None: another host was faster, or a clock was set.

        Beats see that some seconds later, and nobody could take back a settlement.
        """
        store, clock = self._world.store_of(entry), self._world.clock
        if self._world.cluster.leases(entry):
            by_store = await store.call(store.it.now)
            is_near = now - MAX_SKEW <= by_store <= clock.now() + MAX_SKEW
            if action.last > by_store or not is_near:
                return Refusal.SKEW
        settlement = Settlement(
            entry.job.name,
            entry.scope,
            entry.schedule_hash,
            action.first,
            action.last,
            action.count,
            action.outcome,
            action.reason,
            self._world.host,
            now,
        )
        (answer,) = await store.call(store.it.settle, [settlement])
        if isinstance(answer, Refused):
            await self._stand(entry)
            return answer.refusal
        entry.high_water = action.last
        name = run_id(entry.job.name, entry.scope, Kind.SCHEDULED, action.last)
        fields = outcome_fields(action.outcome) | {
            "HOSTAGENT_JOB": entry.job.name,
            "HOSTAGENT_RUN_ID": name,
            "OBJECT_SYSTEMD_UNIT": entry.unit.service,
        }
        many = f" ({action.count} occurrences)" if action.count > 1 else ""
        self._world.record(f"{name} {action.outcome}{many}: {action.reason}", fields)
        return None

    async def _start(
        self, entry: Entry, action: Start, now: datetime, invocation: str | None
    ) -> Verdict:
        is_fresh = not action.missed
        let_go = await self._let_go(entry, action.at, action.covers, is_fresh=is_fresh)
        if isinstance(let_go, Verdict):
            return let_go
        missed = action.covers > 1 or action.missed
        want = Want(
            entry.job.name,
            entry.scope,
            entry.schedule_hash,
            Kind.SCHEDULED,
            action.at,
            f"{action.reason}{let_go}",
            now,
            covers_from=action.covers_from if missed else None,
            covers=action.covers,
            invocation_id=invocation,
        )
        claim = await self._claim_for(entry, want)
        if isinstance(claim, Refused):
            again = self._again(entry, claim.refusal, action.at)
            return Verdict(False, self._refusal(claim), again)
        entry.high_water, entry.catching_up = action.at, action.missed
        return await self._begin(entry, claim.run, invocation)

    async def _start_again(self, entry: Entry, now: datetime, invocation: str | None) -> Verdict:
        """The next attempt of the run that is to be tried again."""
        last = entry.retry
        assert last is not None
        number, is_missed = last.attempt + 1, is_catch_up(entry.job, last)
        let_go = await self._let_go(
            entry, last.scheduled_for, last.covers, number, is_fresh=not is_missed
        )
        if isinstance(let_go, Verdict):
            return let_go
        want = Want(
            entry.job.name,
            entry.scope,
            entry.schedule_hash,
            last.kind,
            last.scheduled_for,
            f"attempt {number}, after: {last.end_reason}{let_go}",
            now,
            attempt=number,
            covers_from=last.covers_from,
            covers=last.covers,
            invocation_id=invocation,
        )
        claim = await self._claim_for(entry, want)
        if isinstance(claim, Refused):
            return Verdict(False, self._refusal(claim), AGAIN.get(claim.refusal))
        entry.retry, entry.retry_at, entry.catching_up = None, None, is_missed
        return await self._begin(entry, claim.run, invocation)

    async def _let_go(
        self, entry: Entry, at: datetime, covers: int, attempt: int = 1, *, is_fresh: bool
    ) -> str | Verdict:
        """That the gate holds it, or what it adds to the reason; most fresh ones ask nobody."""
        if is_fresh and not self._backlog.asks_fresh(entry, self._book):
            return ""
        answer = await self._backlog.ask(entry, at, self._book, covers, attempt, is_fresh=is_fresh)
        if isinstance(answer, gate.Hold):
            return Verdict(False, answer.reason, is_held=True)
        return f"; {answer.reason}"

    async def _begin(self, entry: Entry, run: Run, invocation: str | None) -> Verdict:
        """A claim was given: PID 1 is at the start already, or is asked for one."""
        if why := self._no_lease(entry, run):
            return Verdict(False, why)  # the store took its time; the claim stays prepared
        await self._weights.follow(self._book, entry)
        if invocation is not None:
            await self._hand_over(entry, run)
            return Verdict(True, run.reason)
        fields = fields_of(run, entry.unit.service)
        fields |= {"MESSAGE_ID": SECOND_CLOCK, "PRIORITY": "6"}
        self._world.record(f"{run.run_id} is started by the agent: {run.reason}", fields)
        if ended := await self._endings.start(entry, run):
            await self._endings.finish(entry, run, ended)
            return Verdict(False, "PID 1 refused to start it")
        return Verdict(True, run.reason)

    def _no_lease(self, entry: Entry, run: Run) -> str | None:
        """Why nothing may begin on this claim now, or None: no lease, or not the one it hangs on.

        Others watch the session of the claim, and take it over whatever a later session says.
        """
        if not self._world.cluster.leases(entry):
            return None
        if not self._endings.is_of_this_session(entry, run):
            return "the session of its claim is over"
        return self._turns.no_lease()

    async def _claim(self, entry: Entry, want: Want) -> Claimed | Refused:
        with self._turns.answering(entry):
            answer = await self._claims[entry.is_leased].ask(want)
        if isinstance(answer, Claimed):
            entry.active = answer.run
        else:
            await self._stand(entry)
        return answer

    async def _claim_for(self, entry: Entry, want: Want) -> Claimed | Refused:
        """Claim it; where that fails, what the gate let go does not catch up after all."""
        try:
            claim = await self._claim(entry, want)
        except BaseException:
            entry.catching_up = False
            raise
        finally:
            entry.takes_place = False
        if isinstance(claim, Refused):
            entry.catching_up = entry.catching_up and entry.active is not None
        return claim

    async def _stand(self, entry: Entry) -> None:
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

    async def _stands_of(
        self, is_leased: bool, names: Sequence[tuple[str, str]]
    ) -> list[Cursor | None]:
        store = self._world.ledger(is_leased=is_leased)
        found = await store.call(store.it.cursors, set(names))
        stands = {(cursor.job, cursor.scope): cursor for cursor in found}
        return [stands.get(name) for name in names]

    async def _hand_over(self, entry: Entry, run: Run) -> None:
        """Write what the run's processes find in their environment."""
        service = entry.unit.service
        await asyncio.to_thread(handover.write_env, self._world.paths, service, entry.job, run)

    async def _stop(self, entry: Entry, reason: str) -> None:
        entry.stopped = reason
        systemd = self._world.systemd
        await systemd.call(systemd.it.stop, [entry.unit.service], no_block=True)

    def _again(self, entry: Entry, refusal: Refusal, until: datetime) -> timedelta | None:
        """How soon to decide again, after a refusal: others may have left some of it owed."""
        if refusal is Refusal.PASSED and entry.high_water and entry.high_water < until:
            return RACED
        return AGAIN.get(refusal)

    def _refusal(self, answer: Refused) -> str:
        holder = f": {answer.holder.run_id}" if answer.holder else ""
        return REFUSALS[answer.refusal] + holder

    def _nothing_due(self, entry: Entry) -> str:
        since = f" since {when(entry.high_water)}" if entry.high_water else ""
        then = f"; the next is due {when(entry.next_due)}" if entry.next_due else ""
        return f"no occurrence fell due{since}{then}"
