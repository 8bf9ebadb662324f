"""The judgement of a simulation: the history against the ledger, the calendar and the clock."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hostagent.codec import from_json
from hostagent.model import Kind, Outcome, Run, Schedule
from hostagent.report.audit import audit
from hostagent.report.runs import run_json
from hostagent.schedule.occurrences import between, last_until, next_after
from hostagent.store.port import RunFilter
from tests.machine.checker import check
from tests.machine.verdict import Breach, Due, Report, Violation
from tests.simulation.clocks import instant
from tests.simulation.history import GRACE_S, LEASE_S

if TYPE_CHECKING:
    from tests.simulation.simulation import Simulation

LOST = {"lease-lost", "host-lost", "host-stopped", "fenced"}
BOUND_S = 5.0
"""A takeover takes the TTL and this, at most."""


def judge(one: Simulation) -> Report:
    """All that can be judged at the end."""
    store, history = one.store, one.history
    runs = store.runs(RunFilter())
    report = check(
        history.lines,
        [run_json(run) for run in runs],
        due(one),
        history.frozen,
        lease_s=LEASE_S,
        grace_s=GRACE_S,
    )
    # Early is judged by the store's clock, while it goes on (history.py).
    report.violations = [v for v in report.violations if v.breach is not Breach.EARLY]
    report.violations += [Violation(Breach.EARLY, "settled", what) for what in store.early]
    report.violations += _open(one)
    report.violations += _late(one, report, runs)
    report.violations += _wrong_ends(one, runs)
    report.violations += _too_soon(one, runs)
    until = min(one.until, instant(one.loop.true_now))
    found = audit(store.specs(), runs, store.cursors(), instant(0), until)
    report.violations += [
        Violation(Breach.UNEXPLAINED, f"{d.job} of {d.scheduled_for}", f"audit: {d.problem}")
        for d in found.differences
    ]
    return report


def due(one: Simulation) -> Iterator[Due]:
    """What the calendars named, each schedule for as long as it held."""
    for spec in one.store.specs():
        until = min(spec.valid_to or one.until, one.until)
        schedule = from_json(Schedule, json.loads(spec.schedule))
        for at in between(schedule, spec.valid_from, until):
            yield Due(spec.job, "", at)


def _open(one: Simulation) -> Iterator[Violation]:
    """When everything is healed and nothing is due any more, nothing is held and all are here."""
    for cursor in one.store.cursors():
        if cursor.active is not None:
            about = cursor.active.run_id
            yield Violation(Breach.LOST, about, f"is still held by {cursor.active.host}")
        if cursor.high_water > one.until:
            yield Violation(Breach.EARLY, cursor.job, f"its mark is {cursor.high_water}")
        if cursor.retry is not None:
            yield Violation(Breach.LOST, cursor.retry.run_id, "still waits for its retry")
    for line in one.history.live():
        yield Violation(Breach.UNEXPLAINED, line.run_id, f"still runs on {line.host}")
    here = {presence.session.host for presence in one.store.sessions() if presence.is_live}
    for host in one.hosts:
        if host.name not in here or host.agent is None or host.agent.service is None:
            yield Violation(Breach.UNEXPLAINED, host.name, "did not come back")


def _late(one: Simulation, report: Report, runs: list[Run]) -> Iterator[Violation]:
    """A lost run is taken over within TTL + 5 s, where nothing but its host was disturbed then."""
    rows = {(run.run_id, run.attempt): run for run in runs}
    lasts = {(x.run_id, x.attempt): x for x in one.history.lines}
    firsts = {(x.run_id, x.attempt): x.at for x in reversed(one.history.lines)}
    bound_s = one.plan.ttl.total_seconds() + BOUND_S
    judged = []
    for takeover in report.takeovers:
        before = rows.get((takeover.run_id, takeover.attempt - 1))
        since = firsts[takeover.run_id, takeover.attempt] - takeover.rest_s
        is_lost = before is not None and before.result in LOST
        last = lasts.get((takeover.run_id, takeover.attempt - 1))
        has_ended = last is not None and last.what == "end"  # and only its host heard of it late
        if before is None or not is_lost or has_ended:
            continue
        if _is_disturbed(one, before.host, since, bound_s):
            continue
        judged.append(takeover)
        if takeover.rest_s > bound_s:
            yield _slow(takeover.run_id, takeover.attempt, takeover.rest_s, bound_s)
    report.takeovers = judged
    for (run_id, attempt), run in rows.items():
        last = lasts.get((run_id, attempt))
        if run.result not in {"lease-lost", "host-lost"} or last is None or last.what == "end":
            continue
        since, ended = last.at, run.ended_at
        rest_s = ended.timestamp() - since if ended else bound_s + 1
        if rest_s > bound_s and not _is_disturbed(one, run.host, since, bound_s):
            yield _slow(run_id, attempt, rest_s, bound_s)


def _slow(run_id: str, attempt: int, rest_s: float, bound_s: float) -> Violation:
    what = f"attempt {attempt} was taken over after {rest_s:.1f} s; promised: {bound_s:g} s"
    return Violation(Breach.LOST, run_id, what)


def _is_disturbed(one: Simulation, lost: str, since: float, bound_s: float) -> bool:
    """Whether anything but the lost host was, from a minute before on; or its beats came late."""
    return any(
        (d.host != lost or d.kind in {"slow", "mute"})
        and d.since <= since + bound_s
        and d.until >= since - 60
        for d in one.nemesis.disturbances
    ) or any(
        name == lost and since - 700 <= at <= since + bound_s for name, at in one.nemesis.parked
    )


def _wrong_ends(one: Simulation, runs: list[Run]) -> Iterator[Violation]:
    """A run that the fence or a stop ended has not crashed; one that crashed is told as that."""
    lasts = {(x.run_id, x.attempt): x.at for x in one.history.lines}
    for run in runs:
        key = run.run_id, run.attempt
        is_told = run.result == "signal" and run.outcome is Outcome.FAILED
        if is_told and key not in one.history.crashed:
            # What the agent knew of the fence is gone with it: a new one sees the signal alone.
            since = lasts.get(key, 0.0)
            if any(
                h == run.host and since - 60 <= at <= since + 700 for h, at in one.nemesis.restarted
            ):
                continue
            what = f"is told as killed by {run.signal}, but the job did not crash"
            yield Violation(Breach.UNEXPLAINED, f"{run.run_id} attempt {run.attempt}", what)
        if run.result == "unknown":
            what = f"ended unknown: {run.end_reason}"
            yield Violation(Breach.UNEXPLAINED, f"{run.run_id} attempt {run.attempt}", what)


def _too_soon(one: Simulation, runs: list[Run]) -> Iterator[Violation]:
    """What comes after another job began when that had ended well, by true time.

    Where nobody changed that one's schedule.
    """
    firsts = {x.run_id: x.at for x in reversed(one.history.lines) if x.attempt == 1}
    ends = {(x.run_id, x.attempt): x.at for x in one.history.lines if x.what == "end"}
    changed = {spec.job for spec in one.store.specs() if spec.seq > 1}
    jobs = {job.name: job for job in one.jobs}
    for run in runs:
        if run.kind is not Kind.SCHEDULED or run.attempt != 1 or run.run_id not in firsts:
            continue
        for other in (jobs[name] for name in jobs[run.job].after if name not in changed):
            opens = last_until(other.schedule, run.scheduled_for)
            closes = next_after(other.schedule, run.scheduled_for) or one.until
            done = [
                ends[row.run_id, row.attempt]
                for row in runs
                if row.job == other.name and row.outcome is Outcome.SUCCEEDED
                if opens and opens <= row.scheduled_for
                if (row.covers_from or row.scheduled_for) < closes
            ]
            if min(done, default=math.inf) > firsts[run.run_id]:
                what = f"began before {other.name} of {opens} had succeeded"
                yield Violation(Breach.EARLY, run.run_id, what)
