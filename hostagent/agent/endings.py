"""How runs end: unit state and InvocationID are the truth, signals only say when to look.

A run is final once its token-checked record is in the ledger. A start that PID 1 gave up before
it executed anything (it timed out, the agent died while asked) was no run: it is started again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from hostagent.agent import handover
from hostagent.agent.aftermath import Aftermath, ended_run
from hostagent.agent.batch import Batch
from hostagent.agent.book import Entry
from hostagent.agent.messages import fields_of, outcome_fields
from hostagent.agent.tell.news import News
from hostagent.agent.world import World
from hostagent.errors import SystemdError
from hostagent.model import End, Outcome, Run
from hostagent.policy.outcome import GATE_STOPPED, Ended, end_of
from hostagent.store.port import Accepted, Finish, Stale
from hostagent.systemd.port import ServiceState

LOST = {"host-lost", "host-stopped", "lease-lost"}
TOLD = {"success", *LOST}
"""Results that say all of it, however the lease stands by now."""

MAX_STARTS = 3
"""How often a prepared claim is started, without the agent being asked, before it has failed."""

PAUSE_S = 5.0
"""How long what was turned away waits: whoever said no (the store, mostly) does so again."""

SHUTDOWN = {"TERM", "KILL"}
"""How PID 1 ends what runs when the host goes down."""


class Endings:
    """Looks at active runs and writes down how they ended. Callers hold the entry's lock."""

    def __init__(self, world: World, aftermath: Aftermath, news: News) -> None:
        self._world = world
        self._aftermath = aftermath
        self._news = news
        self._starts: dict[tuple[str, str, int], int] = {}
        self._asked_s: dict[tuple[str, str, int], float] = {}
        self._finishes = {
            is_leased: Batch(partial(self._finish_all, is_leased)) for is_leased in (False, True)
        }
        self._waiters: dict[str, list[asyncio.Future[str]]] = {}

    async def look(self, entry: Entry) -> Ended | None:
        """The end of the active run, or None while it goes on (or was only now started again)."""
        run = entry.active
        if run is None:
            return None
        systemd = self._world.systemd
        state = await systemd.call(systemd.it.service, entry.unit.service)
        if state.is_running or state.job_pending:
            return None
        is_told = state.load_state == "loaded" and state.invocation_id == run.invocation_id
        if run.invocation_id and not is_told:  # forgotten, removed or masked meanwhile
            return await self.recall(entry, run)
        if run.invocation_id and state.started_at is not None:
            return _ended(state)
        if _could_not_start(state, run):
            return _ended(state)
        return await self.start(entry, run)

    async def recall(self, entry: Entry, run: Run) -> Ended | None:
        """What the journal knows of an invocation that PID 1 has forgotten."""
        assert run.invocation_id
        ended = await asyncio.to_thread(self._world.journal_end, run.invocation_id)
        lost = _is_of_earlier_boot(run, self._world)
        if lost and ended is not None and ended.signal in SHUTDOWN:
            ended = replace(ended, result="host-stopped")
        if ended is None:
            return Ended("host-lost" if lost else "unknown", started_at=run.started_at)
        if ended.result == "exec-condition":
            return await self.start(entry, run)
        return replace(ended, started_at=run.started_at)

    async def start(self, entry: Entry, run: Run) -> Ended | None:
        """Have PID 1 start the unit for a prepared claim; an ``Ended`` when that cannot be.

        Without a lease, or just after it was turned away, nothing is done: look again later. What
        a person stopped before it executed anything is not started any more.
        """
        if entry.stopped is not None:
            return Ended("not-started", ended_at=self._world.clock.now())
        key, cluster = (run.job, run.scope, run.token), self._world.cluster
        now_s = self._world.clock.boottime_s()
        if cluster.leases(entry) and not cluster.may_act(now_s):
            return None
        if not self.is_of_this_session(entry, run):  # others would take it over beside us
            return Ended("host-lost" if _is_of_earlier_boot(run, self._world) else "lease-lost")
        if now_s < self._asked_s.get(key, -PAUSE_S) + PAUSE_S:
            return None
        self._starts[key] = self._starts.get(key, 0) + 1
        if self._starts[key] > MAX_STARTS:
            return Ended("start-refused", ended_at=self._world.clock.now())
        entry.gave_way = None  # it had executed nothing
        store, systemd = self._world.store_of(entry), self._world.systemd
        if run.invocation_id:
            at = self._world.clock.now()
            await store.call(store.it.attach, run.job, run.scope, run.token, "", at)
            entry.active = replace(run, invocation_id=None)
        try:
            # Else PID 1 forgets how it ended, at once, when no timer holds the unit.
            await systemd.call(systemd.it.ref, entry.unit.service)
            await systemd.call(systemd.it.start, [entry.unit.service])
        except SystemdError as error:
            state = await systemd.call(systemd.it.service, entry.unit.service)
            if state.load_state == "loaded":
                self._starts[key] -= 1  # PID 1 itself cannot now (a shutdown, a lost bus): later
                raise
            return Ended(f"start-failed: {error.message}", ended_at=self._world.clock.now())
        return None

    def was_asked(self, run: Run) -> None:
        """PID 1 got as far as to ask: whatever the answer is, it can set the unit up."""
        key = (run.job, run.scope, run.token)
        self._starts.pop(key, None)
        self._asked_s[key] = self._world.clock.boottime_s()

    async def finish(self, entry: Entry, run: Run, ended: Ended) -> End:
        """Write the final record of a run that was active here, tell the journal, and clean up."""
        world = self._world
        service = entry.unit.service
        report, problem = await asyncio.to_thread(handover.read_report, world.paths, service)
        if ended.result not in TOLD and (lost := self._lost(entry, run)):
            ended = replace(ended, result=lost)
        elif entry.gave_way and ended.result not in LOST:  # to some jobs a TERM is a success
            ended = replace(ended, result=GATE_STOPPED, detail=entry.gave_way)
        end = replace(
            end_of(ended, entry.stopped),
            ended_at=ended.ended_at or world.clock.now(),
            report=report,
            report_problem=problem,
        )
        end, retry_at = await self._aftermath.after(entry, run, end)
        finish = Finish(run.job, run.scope, run.token, end, retry_at)
        answer = await self._finishes[entry.is_leased].ask(finish)
        if isinstance(answer, Accepted):
            self._news.ended(entry, run, end, retry_at)
        else:
            end = replace(end, outcome=Outcome.FAILED, reason="its token was stale: not recorded")
            retry_at = None
        fields = fields_of(run, service) | outcome_fields(end.outcome)
        world.record(f"{run.run_id} {end.outcome}: {end.reason}", fields)
        await asyncio.to_thread(handover.clear, world.paths, service)
        if entry.stopped is not None:  # the unit has failed by PID 1's rules, not by ours
            with contextlib.suppress(SystemdError):
                await world.systemd.call(world.systemd.it.reset_failed, [service])
        await world.systemd.call(world.systemd.it.unref, service)
        self._starts.pop((run.job, run.scope, run.token), None)
        self._asked_s.pop((run.job, run.scope, run.token), None)
        entry.active, entry.stopped, entry.catching_up, entry.lost = None, None, False, None
        entry.gave_way = None
        if retry_at is not None:
            entry.retry, entry.retry_at = ended_run(run, end), retry_at
        entry.freed_from, entry.freed_at = run.started_at or run.claimed_at, end.ended_at
        self.tell(run.run_id, end.outcome)
        return end

    def _lost(self, entry: Entry, run: Run) -> str | None:
        """The result of a run that PID 1 stopped. It keeps the deadline without us: we may see
        that first.
        """
        cluster = self._world.cluster
        has_lapsed = not cluster.may_act(self._world.clock.boottime_s())
        is_over = has_lapsed or not self.is_of_this_session(entry, run)
        return entry.lost or ("fenced" if cluster.leases(entry) and is_over else None)

    def is_of_this_session(self, entry: Entry, run: Run) -> bool:
        """Whether our beats keep its claim; where claims are not leased, they need none."""
        cluster = self._world.cluster
        own = cluster.session and cluster.session.id
        return not cluster.leases(entry) or run.session == own

    async def _finish_all(
        self, is_leased: bool, finishes: Sequence[Finish]
    ) -> list[Accepted | Stale]:
        store = self._world.ledger(is_leased=is_leased)
        return await store.call(store.it.finish, finishes)

    def tell(self, run_id: str, outcome: Outcome) -> None:
        """Let go who waits for this run."""
        for waiter in self._waiters.pop(run_id, []):
            if not waiter.done():
                waiter.set_result(str(outcome))

    async def wait(self, run_id: str) -> str:
        """The outcome of an active run, once it is final."""
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(run_id, []).append(waiter)
        return await waiter


def _is_of_earlier_boot(run: Run, world: World) -> bool:
    """A container that boots anew can keep the kernel's boot id: then its PID 1 is another."""
    since = run.started_at or run.claimed_at
    return run.boot_id != world.boot_id or (since is not None and since < world.booted_at)


def _could_not_start(state: ServiceState, run: Run) -> bool:
    """PID 1 itself failed to start it: again would be the same.

    Any other result without a main process is the admission client's (killed, out of memory, too
    slow); and a failure from before the claim is that of an earlier run.
    """
    failed = state.active_state == "failed" and state.result == "resources"
    since = run.claimed_at
    return failed and (since is None or state.ended_at is None or state.ended_at >= since)


def _ended(state: ServiceState) -> Ended:
    return Ended(
        result=state.result,
        exit_code=state.exit_code,
        signal=state.signal,
        started_at=state.started_at,
        ended_at=_after(state.started_at, state.ended_at),
        usage=state.usage,
    )


def _after(started: datetime | None, ended: datetime | None) -> datetime | None:
    """An end before the start is left over from an earlier run."""
    return ended if started is None or (ended is not None and ended >= started) else None
