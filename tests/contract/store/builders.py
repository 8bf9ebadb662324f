"""What the suite says to a store, in few words. Times are whole seconds after ``T0``, long past."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hostagent.model import Alarm, End, Kind, Only, Outcome, Run
from hostagent.store.port import (
    Backfill,
    Claimed,
    Cursor,
    Finish,
    Quarantine,
    Registration,
    RunFilter,
    Session,
    Settlement,
    SpecRecord,
    Store,
    Want,
)

T0 = datetime(2025, 3, 1, tzinfo=UTC)
FUTURE = datetime(2199, 1, 1, tzinfo=UTC)
HASH = "aaaaaaaaaaaaaaaa"
OTHER = "bbbbbbbbbbbbbbbb"


def t(seconds: float) -> datetime:
    """The instant ``seconds`` after ``T0``."""
    return T0 + timedelta(seconds=seconds)


def job(
    name: str = "a",
    spec: str = HASH,
    scopes: tuple[str, ...] = ("",),
    renamed: str | None = None,
    host: str = "",
) -> Registration:
    """A registration; its schedule's text follows from its hash ``spec``."""
    return Registration(name, spec, f'{{"text":"{spec}"}}', scopes, renamed, host)


def each(host: str, name: str = "a", spec: str = HASH, renamed: str | None = None) -> Registration:
    """The registration of a job that runs on each host, by one of them."""
    return job(name, spec, (host,), renamed, host)


def want(
    at: float | datetime = 1,
    name: str = "a",
    scope: str = "",
    *,
    kind: Kind = Kind.SCHEDULED,
    attempt: int = 1,
    spec: str = HASH,
    invocation: str | None = None,
) -> Want:
    """A claim of the occurrence at ``at``."""
    when = at if isinstance(at, datetime) else t(at)
    return Want(
        name, scope, spec, kind, when, "due", t(0.5), attempt=attempt, invocation_id=invocation
    )


def settlement(
    first: float,
    last: float | None = None,
    name: str = "a",
    scope: str = "",
    *,
    count: int = 1,
    spec: str = HASH,
    outcome: Outcome = Outcome.SKIPPED,
) -> Settlement:
    """Occurrences that get no attempt."""
    last = first if last is None else last
    return Settlement(
        name, scope, spec, t(first), t(last), count, outcome, "paused", "one", t(last + 0.5)
    )


def end(outcome: Outcome = Outcome.SUCCEEDED, reason: str = "exit 0") -> End:
    """How an attempt ended."""
    return End(outcome, reason, "success", 0, ended_at=t(100))


def finish(run: Run, outcome: Outcome = Outcome.SUCCEEDED, retry: float | None = None) -> Finish:
    """The final write of ``run``."""
    retry_at = None if retry is None else t(retry)
    return Finish(run.job, run.scope, run.token, end(outcome), retry_at)


def claimed(store: Store, session: Session, wanted: Want) -> Run:
    """The run of a claim that must be given."""
    (answer,) = store.claim(session, [wanted])
    assert isinstance(answer, Claimed), answer
    return answer.run


def ran(store: Store, session: Session, wanted: Want) -> Run:
    """The run of a claim, given and finished."""
    run = claimed(store, session, wanted)
    store.finish([finish(run)])
    return run


def cursor(store: Store, name: str = "a", scope: str = "") -> Cursor:
    """Where (name, scope) stands."""
    (one,) = (c for c in store.cursors() if (c.job, c.scope) == (name, scope))
    return one


def out(name: str = "a", scope: str = "", reason: str = "crashed twice") -> Quarantine:
    """A (job, scope) that kept crashing."""
    return Quarantine(name, scope, t(5), "one", reason, ("SIGSEGV", "OOM"), "its last line", "{}")


def backfill(name: str = "a", scope: str = "", only: Only = Only.ANY) -> Backfill:
    """A range that a person wants to be run."""
    return Backfill(name, scope, t(1), t(3), only, "uid 0", t(5))


def alarm(name: str = "a", scope: str = "", tries: int = 1) -> Alarm:
    """One that stands, and of which one is told and another not."""
    what = 'its last run failed: "exit 1"'
    return Alarm(name, scope, "failed", t(3), what, None, ("ops",), ("pager", "é"), tries, t(9))


def kept_spec(
    name: str = "a", host: str = "one", spec: str = HASH, *, seq: int = 1, until: float = 0
) -> SpecRecord:
    """A schedule of a host's own: up to ``until``, or since then where that is 0."""
    since, to = (t(0), t(until)) if until else (t(1), None)
    return SpecRecord(name, seq, spec, f'{{"text":"{spec}"}}', (host,), since, to, host)


def kept_run(
    name: str = "a",
    host: str = "one",
    at: float | datetime = 1,
    token: int = 1,
    kind: Kind = Kind.SCHEDULED,
    *,
    reason: str = "exit 0",
) -> Run:
    """A row of a host's own ledger."""
    when = at if isinstance(at, datetime) else t(at)
    return Run(
        name,
        host,
        kind,
        when,
        1,
        token,
        host,
        "due",
        HASH,
        "its own",
        "boot-1",
        when,
        when,
        when,
        Outcome.SUCCEEDED,
        reason,
        "success",
        0,
    )


def in_force(store: Store) -> dict[str, SpecRecord]:
    """The schedules in force, by job."""
    return {spec.job: spec for spec in store.specs() if spec.valid_to is None}


def stable_id(value: object) -> str:
    """The id of a parameter that all workers agree on: a set of strings has an order in each."""
    if isinstance(value, RunFilter) and value.jobs:
        return f"{replace(value, jobs=frozenset())} {sorted(value.jobs)}"
    return str(value)
