"""What was claimed and what came of it: reading the ledger and the cursors, and pruning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from hostagent import model
from hostagent.model import Outcome, Run, parse_run_id
from hostagent.store.port import Cursor, RunFilter, Tally
from hostagent.store.sql import rows
from hostagent.store.sql.database import Transaction
from hostagent.store.sql.rows import SELECT_RUN, instant, micros, run_of

Read = Callable[..., list[Any]]
"""All rows of one SELECT: its text, then its values."""

_ACTIVE = "r.job=c.job AND r.scope=c.scope AND r.token=c.active_token AND r.attempt>0 "
_ACTIVE += "AND r.outcome IS NULL"
HELD = "outcome IS NULL AND attempt>0"
"""A claim is active as long as its run is open: one transaction begins both, and one ends both."""

_WAITING = "r.job=c.job AND r.scope=c.scope AND r.token=c.retry_token AND r.attempt>0"
_REASONS = "lower(coalesce(end_reason, '') || '\n' || reason)"
_AT_ONCE = 400
"""How many names one statement asks for."""


def cursors(read: Read, names: Collection[tuple[str, str]] | None) -> list[Cursor]:
    """Every cursor, or those of these (job, scope)."""
    if names is None:
        return _cursors(read, "", [])
    found = []
    for marks, values in named(names):
        found += _cursors(read, f" AND (c.job, c.scope) IN ({marks})", values)
    return found


def named(names: Collection[tuple[str, str]]) -> Iterator[tuple[str, list[str]]]:
    """What stands in ``(job, scope) IN (...)``, and its values, a few names at a time."""
    asked = sorted(set(names))
    for begin in range(0, len(asked), _AT_ONCE):
        some = asked[begin : begin + _AT_ONCE]
        marks = ", ".join(["(?, ?)"] * len(some))
        yield f"VALUES {marks}", [word for name in some for word in name]


def _cursors(read: Read, chosen: str, values: list[str]) -> list[Cursor]:
    found = read(
        "SELECT c.job AS c_job, c.scope AS c_scope, c.spec_hash AS c_hash, c.high_water, "
        f"c.token AS c_token, c.active_token, c.retry_at, r.* FROM cursor c LEFT JOIN run r "
        f"ON {_ACTIVE} WHERE (c.retired=0 OR c.active_token IS NOT NULL){chosen}",
        *values,
    )
    waiting = read(
        # CROSS JOIN: SQLite begins with the few cursors that wait, not with the whole ledger.
        "SELECT r.* FROM cursor c CROSS JOIN run r "
        f"WHERE {_WAITING} AND c.retry_token IS NOT NULL{chosen}",
        *values,
    )
    retries = {(row["job"], row["scope"]): run_of(row) for row in waiting}
    return [
        Cursor(
            row["c_job"],
            row["c_scope"],
            row["c_hash"],
            rows.at(row["high_water"]),
            row["c_token"],
            run_of(row) if row["active_token"] is not None else None,
            instant(row["retry_at"]),
            retries.get((row["c_job"], row["c_scope"])),
        )
        for row in sorted(found, key=lambda row: (row["c_job"], row["c_scope"]))
    ]


def held(read: Read, session_id: str) -> list[Run]:
    """The runs whose active claims hang on a session."""
    found = read(f"{SELECT_RUN} WHERE session=? AND {HELD}", session_id)
    return sorted(map(run_of, found), key=lambda run: (run.job, run.scope))


def runs(read: Read, where: RunFilter) -> list[Run]:
    """The rows that a filter names, newest first."""
    # Not host=?, nor job IN: SQLite would take it for rare, read all, and sort it.
    terms: list[tuple[str, Any]] = [
        ("job=?", where.job),
        ("scope=?", where.scope),
        ("kind=?", where.kind and str(where.kind)),
        ("coalesce(host, '')=?", where.host),
        ("scheduled_for>=?", micros(where.since)),
        ("scheduled_for<=?", micros(where.until)),
        ("token>?", where.token_above),
        ("scheduled_for>=?", micros(where.covering)),
        ("coalesce(covers_from, scheduled_for)<=?", micros(where.covering)),
        ("(ended_at IS NULL OR ended_at>=?)", micros(where.ended_since)),
        (f"{_REASONS} LIKE lower(?) ESCAPE '!'", _holding(where.reason)),
    ]
    chosen = [(term, value) for term, value in terms if value is not None]
    sql, values = [term for term, _ in chosen], [value for _, value in chosen]
    if where.outcomes:
        sql.append(f"outcome IN ({', '.join('?' * len(where.outcomes))})")
        values += [str(outcome) for outcome in where.outcomes]
    if where.jobs:
        sql.append(f"coalesce(job, '') IN ({', '.join('?' * len(where.jobs))})")
        values += sorted(where.jobs)
    if where.attempts_only:
        sql.append("attempt>0")
    if where.open_only:
        sql.append("outcome IS NULL")
    condition = f" WHERE {' AND '.join(sql)}" if sql else ""
    way = "ASC" if where.oldest_first else "DESC"
    order = f" ORDER BY scheduled_for {way}, token {way}"
    if where.limit is not None:
        order += " LIMIT ?"
        values.append(where.limit)
    return [run_of(row) for row in read(SELECT_RUN + condition + order, *values)]


def _holding(text: str | None) -> str | None:
    """What LIKE matches where this text stands; None: anything does."""
    if not text:
        return None
    return f"%{text.translate({ord(sign): f'!{sign}' for sign in '%_!'})}%"


def run(read: Read, run_id: str) -> list[Run]:
    """All attempts of one run, under the name that its job has now."""
    name = parse_run_id(run_id)
    if name is None:
        return []
    job, scope, kind, at = name
    found = read(
        f"{SELECT_RUN} WHERE job=? AND scope=? AND kind=? AND scheduled_for=? ORDER BY attempt",
        job,
        scope,
        str(kind),
        micros(at),
    )
    if found:
        return [run_of(row) for row in found]
    (heir,) = read("SELECT max(successor) AS job FROM cursor WHERE job=? AND scope=?", job, scope)
    return run(read, model.run_id(heir["job"], scope, kind, at)) if heir["job"] else []


def tally(read: Read, host: str, since: datetime) -> list[Tally]:
    """What came of a host's runs, in numbers."""
    found = read(
        "SELECT job, scope, outcome, count(*) AS counted, count(started_at) AS started, "
        "coalesce(sum(ended_at-started_at), 0) AS took FROM run "
        # Most rows are counted: to SQLite, the + and this order make no index look useful.
        "WHERE +scheduled_for>=? AND host=? AND outcome IS NOT NULL GROUP BY outcome, job, scope",
        micros(since),
        host,
    )
    told = [
        Tally(
            row["job"],
            row["scope"],
            Outcome(row["outcome"]),
            row["counted"],
            row["started"],
            timedelta(microseconds=int(row["took"])),
        )
        for row in found
    ]
    return sorted(told, key=lambda one: (one.job, one.scope, one.outcome))


def prune(db: Transaction, limit: int) -> int:
    """Drop what is from before ``limit``; how many ledger rows went."""
    count = db.execute(
        "DELETE FROM run WHERE scheduled_for<? "
        "AND NOT EXISTS (SELECT 1 FROM run AS going WHERE going.job=run.job "
        "AND going.scope=run.scope AND going.kind=run.kind "
        "AND going.scheduled_for=run.scheduled_for AND going.outcome IS NULL) "
        "AND NOT EXISTS (SELECT 1 FROM cursor, run AS tried WHERE cursor.job=run.job "
        "AND cursor.scope=run.scope AND tried.job=run.job AND tried.scope=run.scope "
        "AND tried.token=cursor.retry_token AND tried.kind=run.kind "
        "AND tried.scheduled_for=run.scheduled_for)",
        (limit,),
    ).rowcount
    db.execute("DELETE FROM decision WHERE at<?", (limit,))
    db.execute("DELETE FROM job_spec WHERE valid_to<?", (limit,))
    kept = db.execute(f"SELECT v FROM meta WHERE k='retained_since'{db.for_update}").fetchone()
    if kept is None or int(kept["v"]) < limit:
        db.execute(
            "INSERT INTO meta (k, v) VALUES ('retained_since', ?) "
            "ON CONFLICT (k) DO UPDATE SET v=excluded.v",
            (str(limit),),
        )
    return count
