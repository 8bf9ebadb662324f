"""What follows an attempt that ended: another one, a quarantine, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hostagent.agent.book import Entry
from hostagent.agent.messages import QUARANTINED
from hostagent.agent.world import World
from hostagent.errors import SystemdError
from hostagent.model import End, Run
from hostagent.policy import quarantine, retry
from hostagent.policy.outcome import error_class, is_crash
from hostagent.store.port import Quarantine, RunFilter

REINSTATE = "reinstate"
"""The action of the audit log's record."""

HOUR = timedelta(hours=1)
LOOKED_AT = 4
"""How many ledger rows are read for each crash that counts: skipped ones stand among them."""


class Aftermath:
    """Gathers the facts for policy's decisions, and writes a quarantine. Callers hold the lock."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def after(self, entry: Entry, run: Run, end: End) -> tuple[End, datetime | None]:
        """The end, with the sentence of what follows it, and when the next attempt may start."""
        if error_class(end.outcome, end.result) is None:
            return end, None
        if await self._is_quarantined(entry, run, end):
            return end, None
        verdict = retry.decide(await self._facts(entry, run, end))
        if isinstance(verdict, retry.Retry):
            return replace(end, reason=f"{end.reason}; {verdict.reason}"), verdict.at
        if entry.job.retries:
            end = replace(end, reason=f"{end.reason}; {verdict.reason}")
        return end, None

    async def _facts(self, entry: Entry, run: Run, end: End) -> retry.Facts:
        store, is_leased = self._world.store_of(entry), self._world.cluster.leases(entry)
        before: Sequence[Run] = ()
        if run.attempt > 1:
            attempts = await store.call(store.it.run, run.run_id)
            before = [one for one in attempts if one.attempt < run.attempt]
        return retry.Facts(
            job=entry.job,
            run_id=run.run_id,
            kind=run.kind,
            attempt=run.attempt,
            end=end,
            now=self._world.cluster.by_store(self._world.clock.now()),
            before=tuple(before),
            next_at=entry.next_due,
            pool=await self._pool_hour(entry),
            is_leased=is_leased,
        )

    async def _pool_hour(self, entry: Entry) -> retry.PoolHour | None:
        """What the job's pool did in the last hour; asked only where a retry may follow."""
        name = entry.job.pool
        if name is None or not entry.job.retries:
            return None
        store = self._world.store_of(entry)
        where = RunFilter(
            jobs=entry.pool_mates,
            since=self._world.clock.now() - HOUR,
            attempts_only=True,
            limit=retry.LOOKED_AT,
        )
        starts = await store.call(store.it.runs, where)
        return retry.PoolHour(name, len(starts), sum(run.attempt > 1 for run in starts))

    async def _is_quarantined(self, entry: Entry, run: Run, end: End) -> bool:
        """After a crash: whether the job is taken out now, with what is to be known of it."""
        if not is_crash(end.outcome, end.result):
            return False
        store, now = self._world.store_of(entry), self._world.clock.now()
        where = RunFilter(
            job=run.job, scope=run.scope, limit=LOOKED_AT * entry.job.quarantine_after
        )
        this = ended_run(run, replace(end, ended_at=end.ended_at or now))
        before = [row for row in await store.call(store.it.runs, where) if row.token != run.token]
        attempts = (this, *before)
        facts = quarantine.Facts(entry.job, attempts, await self._reinstated_at(entry, attempts))
        verdict = quarantine.decide(facts)
        if verdict is None:
            return False
        lines = await self._last_lines(entry, run)
        await store.call(
            store.it.quarantine,
            Quarantine(
                run.job,
                run.scope,
                now,
                run.host,
                verdict.reason,
                verdict.attempts,
                lines,
                end.report,
            ),
        )
        entry.quarantined = verdict.reason
        self._world.record(
            f"{run.job} is in quarantine: {verdict.reason}",
            {"HOSTAGENT_JOB": run.job, "MESSAGE_ID": QUARANTINED, "PRIORITY": "3"},
        )
        return True

    async def _last_lines(self, entry: Entry, run: Run) -> str:
        """The end of what it printed, if it ran here."""
        if run.host != self._world.host or not run.invocation_id:
            return ""
        try:
            lines = await asyncio.to_thread(
                self._world.journal_tail, run.invocation_id, entry.unit.service, run.started_at
            )
        except SystemdError as error:
            return error.message
        return "\n".join(lines)

    async def _reinstated_at(self, entry: Entry, attempts: Sequence[Run]) -> datetime | None:
        """When a person put it back after the first of these: crashes before are forgiven."""
        store = self._world.store_of(entry)
        name = reinstated(entry.job.name, entry.scope)
        since = min(run.claimed_at or run.scheduled_for for run in attempts)
        for event in reversed(await store.call(store.it.audit_log, since)):
            if (event.action, event.target) == (REINSTATE, name):
                return event.at
        return None


def reinstated(job: str, scope: str) -> str:
    """The target of the audit log's record of a reinstatement."""
    return f"job {job}@{scope}" if scope else f"job {job}"


def ended_run(run: Run, end: End) -> Run:
    """The run as its row stands after the final write."""
    return replace(
        run,
        outcome=end.outcome,
        end_reason=end.reason,
        result=end.result,
        exit_code=end.exit_code,
        signal=end.signal,
        ended_at=end.ended_at,
        usage=end.usage,
        report=end.report,
        report_problem=end.report_problem,
    )
