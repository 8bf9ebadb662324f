"""How runs start: what is decided about what a job owes, carried out. One path for all starts.

Whoever wants a start (PID 1's timer, the second clock, the end of another run, a person) comes
here; ``policy.due`` decides, the store's claim makes it so, and PID 1 runs it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hostagent.agent import handover, wants
from hostagent.agent.backfills import Backfills
from hostagent.agent.backlog import Backlog
from hostagent.agent.book import Book, Entry, order_of
from hostagent.agent.claims import AGAIN, REFUSALS, Claims
from hostagent.agent.endings import Endings
from hostagent.agent.messages import SECOND_CLOCK, TURNED_AWAY, fields_of, outcome_fields
from hostagent.agent.owed import next_due, owed
from hostagent.agent.tell.news import News
from hostagent.agent.turns import SOON, NotNow, Turns
from hostagent.agent.upstreams import Upstreams
from hostagent.agent.wakes import Wakes
from hostagent.agent.weights import Weights
from hostagent.agent.world import World
from hostagent.errors import RefusedError
from hostagent.model import Kind, Outcome, Overlap, Run, run_id
from hostagent.policy import gate
from hostagent.policy.due import (
    Again,
    Await,
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
    Backfill,
    Decision,
    Refusal,
    Refused,
    Settlement,
    Want,
)

STILL = timedelta(minutes=1)
"""How often a run is looked at that PID 1 has said nothing about: its word is only a hint."""


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


def _leaves_room(verdict: Verdict | None) -> bool:
    """Nothing starts by it, now or soon: what was owed is settled, or there was nothing."""
    return verdict is None or not (verdict.admitted or verdict.is_held or verdict.again)


class Starts:
    """Decides and starts. Callers hold the entry's lock."""

    def __init__(
        self,
        world: World,
        book: Book,
        wakes: Wakes,
        endings: Endings,
        backlog: Backlog,
        backfills: Backfills,
        weights: Weights,
        news: News,
    ) -> None:
        self._world = world
        self._book = book
        self._wakes = wakes
        self._endings = endings
        self._backlog = backlog
        self._backfills = backfills
        self._weights = weights
        self._news = news
        self._turns = Turns(world, book)
        self._claims = Claims(world, self._turns)
        self.upstreams = Upstreams(world, book)

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
        now, entry.awaits = self._world.clock.now(), None
        if entry.is_leased and (not_now := await self._not_now(entry, now)):
            self._wakes.set(entry, not_now.until)
            return Verdict(False, not_now.reason, is_held=self._backlog.holds(entry))
        if not entry.registered:
            self.rearm(entry)
            return Verdict(False, REFUSALS[Refusal.SPEC])
        verdict = await self._act(entry, now, invocation)
        if verdict is None and self._turns.is_retry_due(entry, now):
            verdict = await self._start_again(entry, now, invocation)
        order = self._book.backfill_of(entry)
        if order is not None and invocation is None and _leaves_room(verdict):
            verdict = await self._backfill(entry, order, now) or verdict
        self.rearm(entry)
        if verdict is not None and verdict.again is not None:
            again_at = now + verdict.again
            self._wakes.set(entry, min(again_at, entry.wake_at or again_at))
        return verdict or Verdict(False, self._nothing_due(entry))

    async def _act(self, entry: Entry, now: datetime, invocation: str | None) -> Verdict | None:
        """Carry out what policy says of all that is owed; None: there is nothing to say."""
        entry.waits_elsewhere, verdict = False, None
        for action in decide(await self._facts(entry, now, now)):
            match action:
                case Settle():
                    refusal = await self._settle(entry, action, now)
                    if refusal is not None:  # what follows rests on what is not so
                        return Verdict(
                            False, REFUSALS[refusal], self._claims.again(entry, refusal, now)
                        )
                    verdict = verdict or Verdict(False, action.reason)
                case Start():
                    verdict = await self._start(entry, action, now, invocation)
                    if not verdict.admitted:
                        return verdict  # a settlement of later ones would pass it by for good
                case Stop() if entry.elsewhere is None:
                    await self._stop(entry, action.reason)
                    verdict = Verdict(False, action.reason)
                case Again() if self._turns.is_retry_due(entry, now):
                    verdict = await self._start_again(entry, now, invocation)
                case Again():
                    verdict = Verdict(False, action.reason)
                case Stop() | Wait() | Await():
                    verdict = self._waits(entry, action) or verdict
        return verdict

    def _waits(self, entry: Entry, action: Stop | Wait | Await) -> Verdict | None:
        """None: while it waits for other jobs, a retry may go, or a backfill."""
        if isinstance(action, Await):
            entry.awaits, entry.waits_elsewhere = action, self.upstreams.are_elsewhere(entry)
            return None
        entry.waits_elsewhere = entry.elsewhere is not None
        return Verdict(False, action.reason)

    async def _not_now(self, entry: Entry, now: datetime) -> NotNow | None:
        """Why this host may not ask for it now.

        The store is read when its turn has come, and not before: timers elapse on every host.
        """
        not_now = self._turns.not_now(entry, now)
        if not_now is None:
            await self._claims.stand(entry)  # others may have been faster
            not_now = self._turns.not_now(entry, now) or self._turns.steps_aside(entry, now)
        return not_now

    async def settle_overlapped(self, entry: Entry, ended_at: datetime) -> None:
        """What fell due while the run went that ends now: overlap = "skip" skips it for good."""
        if entry.job.overlap is not Overlap.SKIP or not entry.registered:
            return
        until = ended_at - entry.job.schedule.jitter
        for action in decide(await self._facts(entry, ended_at, until)):
            if isinstance(action, Settle):
                await self._settle(entry, action, self._world.clock.now())

    async def manual(
        self, entry: Entry, reason: str, as_of: datetime | None, invocation: str | None = None
    ) -> Verdict | Run:
        """Claim a manual run and have it started (unless PID 1 is at it already)."""
        now = self._world.clock.now()
        want = wants.manual(entry, as_of, reason, now)
        return await self._by_hand(entry, replace(want, invocation_id=invocation), invocation)

    async def retry(self, entry: Entry, last: Run, reason: str) -> Verdict | Run:
        """Claim another attempt of a run that has ended, and have it started."""
        want = wants.next_attempt(entry, last, reason, self._world.clock.now())
        answer = await self._by_hand(entry, replace(want, by_hand=True), None)
        if isinstance(answer, Run) and entry.retry and entry.retry.run_id == answer.run_id:
            entry.retry = entry.retry_at = None  # that would have been this one
        return answer

    async def _by_hand(self, entry: Entry, want: Want, invocation: str | None) -> Verdict | Run:
        """What a person asks for waits for nobody."""
        answer = await self._claims.ask(entry, want)
        if isinstance(answer, Refused):
            return Verdict(False, self._claims.told(answer))
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
        if again is None and self._book.backfill_of(entry):
            again = self._turns.pause_end(entry)
        still = None
        if entry.active is not None:
            is_quiet = entry.active.invocation_id and not entry.is_ending
            still = self._world.clock.now() + (STILL if is_quiet else SOON)
        given_up = entry.awaits.until if entry.awaits else None
        wakes = [at for at in (due, again, still, given_up) if at is not None]
        self._wakes.set(entry, min(wakes, default=None))

    async def abandon(self, entry: Entry, before: datetime | None, reason: str) -> tuple[int, bool]:
        """Give up what was missed of it up to ``before``, and a retry that waits.

        Returns how many occurrences, and whether there was a retry.

        Raises:
            RefusedError: they have their outcome by now, or the store's clock differs.
        """
        now, count = self._world.clock.now(), 0
        for action in abandon(await self._facts(entry, now, now), before, reason):
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
            await self._claims.stand(entry)  # somebody was faster
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
        self.rearm(entry)

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

    async def _facts(self, entry: Entry, now: datetime, until: datetime) -> Facts:
        expired, due = owed(entry, until, self._world.booted_at)
        pause = self._book.pause_of(entry, self._world.host, now)
        paused = None
        if pause is not None:
            paused = Paused(order_of(pause), pause.until)
        return Facts(
            job=entry.job,
            now=now,
            owed=await self.upstreams.judged(entry, due, now),
            expired=expired,
            active=entry.active or entry.elsewhere,
            freed_at=entry.freed_at,
            freed_from=entry.freed_from,
            paused=paused,
            quarantined=entry.quarantined,
            kept_from=self._backlog.kept_from(entry),
            retry=entry.retry,
            retry_at=entry.retry_at,
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
        answer = await self._claims.settle(entry, settlement)
        if isinstance(answer, Refused):
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
        want = wants.scheduled(entry, action, f"{action.reason}{let_go}", now)
        claim = await self._claims.ask_for(entry, replace(want, invocation_id=invocation))
        if isinstance(claim, Refused):
            again = self._claims.again(entry, claim.refusal, action.at)
            return Verdict(False, self._claims.told(claim), again)
        entry.high_water, entry.catching_up = action.at, action.missed
        return await self._begin(entry, claim.run, invocation)

    async def _start_again(self, entry: Entry, now: datetime, invocation: str | None) -> Verdict:
        """The next attempt of the run that is to be tried again."""
        last = entry.retry
        assert last is not None
        number, is_missed = last.attempt + 1, is_catch_up(entry.job, last)
        let_go = await self._let_go(
            entry,
            last.scheduled_for,
            last.covers,
            number,
            is_fresh=not is_missed,
            is_backfill=last.kind is Kind.BACKFILL,
        )
        if isinstance(let_go, Verdict):
            return let_go
        reason = f"attempt {number}, after: {last.end_reason}{let_go}"
        want = wants.next_attempt(entry, last, reason, now)
        claim = await self._claims.ask_for(entry, replace(want, invocation_id=invocation))
        if isinstance(claim, Refused):
            return Verdict(False, self._claims.told(claim), AGAIN.get(claim.refusal))
        entry.retry, entry.retry_at, entry.catching_up = None, None, is_missed
        return await self._begin(entry, claim.run, invocation)

    async def _backfill(self, entry: Entry, order: Backfill, now: datetime) -> Verdict | None:
        """The oldest that is left of what a person wants to be run; None: not now."""
        is_free = entry.active is None and entry.elsewhere is None and entry.retry is None
        is_out = self._book.pause_of(entry, self._world.host, now) or entry.quarantined
        if not is_free or is_out:
            return None
        left = await self._backfills.left(entry, order)
        if not left:
            await self._backfills.end(self._book, entry)
            done = f"the backfill of {entry.job.name} is done: {when(order.first)} to "
            self._world.record(done + when(order.last), {"HOSTAGENT_JOB": entry.job.name})
            return None
        let_go = await self._let_go(entry, left[0], 1, is_fresh=False, is_backfill=True)
        if isinstance(let_go, Verdict):
            return let_go
        want = wants.of_backfill(entry, order, len(left), left[0], let_go, now)
        claim = await self._claims.ask_for(entry, want)
        if isinstance(claim, Refused):
            return Verdict(False, self._claims.told(claim), AGAIN.get(claim.refusal, SOON))
        self._backfills.began(entry, left[0])
        entry.catching_up = True
        return await self._begin(entry, claim.run, None)

    async def _let_go(
        self,
        entry: Entry,
        at: datetime,
        covers: int,
        attempt: int = 1,
        *,
        is_fresh: bool,
        is_backfill: bool = False,
    ) -> str | Verdict:
        """That the gate holds it, or what it adds to the reason; most fresh ones ask nobody."""
        if is_fresh and not self._backlog.asks_fresh(entry, self._book):
            return ""
        answer = await self._backlog.ask(
            entry, at, self._book, covers, attempt, is_fresh=is_fresh, is_backfill=is_backfill
        )
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

    async def _hand_over(self, entry: Entry, run: Run) -> None:
        """Write what the run's processes find in their environment, and tell that it starts."""
        service = entry.unit.service
        await asyncio.to_thread(handover.write_env, self._world.paths, service, entry.job, run)
        self._news.began(entry, run)

    async def _stop(self, entry: Entry, reason: str) -> None:
        entry.stopped = reason
        systemd = self._world.systemd
        await systemd.call(systemd.it.stop, [entry.unit.service], no_block=True)

    def _nothing_due(self, entry: Entry) -> str:
        if entry.awaits is not None:
            return entry.awaits.reason
        since = f" since {when(entry.high_water)}" if entry.high_water else ""
        then = f"; the next is due {when(entry.next_due)}" if entry.next_due else ""
        return f"no occurrence fell due{since}{then}"
