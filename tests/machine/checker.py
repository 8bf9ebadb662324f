"""Judges what a cluster did: the jobs' own histories against the ledger and the calendar.

Pure: lines (``history.py``), the rows of ``hostagent runs --json``, what was due, and when which
host was frozen, go in; a ``Report`` comes out. It knows nothing of how the cluster works, only
what was promised (DESIGN, promises 1-3). Its own tests plant each violation:
tests/unit/kit/test_checker.py.

An attempt is *live* from its first line to its last. The one case that nobody can exclude is
excused and reported apart: a host that was frozen for at least ``lease_s`` and goes on with what
was taken over meanwhile, for ``grace_s`` at most, until PID 1 has stopped it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostagent.model import Kind, Outcome, parse_run_id
from tests.machine.history import Line
from tests.machine.verdict import Breach, Due, Frozen, Report, Takeover, Violation

LEASE_S = 10.0
GRACE_S = 3.0
CLOCK_S = 0.25

LOST = {"host-lost", "host-stopped", "lease-lost", "fenced"}
"""The results of attempts whose host went down or lost its lease."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One start and what followed it, from its lines."""

    lines: tuple[Line, ...]

    @property
    def head(self) -> Line:
        return self.lines[0]

    @property
    def token(self) -> int:
        return self.lines[0].token

    @property
    def first(self) -> float:
        return self.lines[0].at

    @property
    def last(self) -> float:
        return self.lines[-1].at

    def says(self, what: str) -> bool:
        return any(line.what == what for line in self.lines)

    def __str__(self) -> str:
        head = self.head
        return f"attempt {head.attempt} of {head.run_id} on {head.host} (token {head.token})"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A time in which an attempt was live without a pause; ``is_thawed``: after a long one."""

    attempt: _Attempt
    first: float
    last: float
    is_thawed: bool


def check(
    lines: Sequence[Line],
    rows: Sequence[dict[str, Any]],
    due: Iterable[Due] = (),
    frozen: Sequence[Frozen] = (),
    *,
    lease_s: float = LEASE_S,
    grace_s: float = GRACE_S,
) -> Report:
    """Judge a history. ``rows`` must be the whole ledger, and nothing may run any more."""
    due = list(due)
    report = Report(sum(line.what == "start" for line in lines), len(rows), len(due))
    report.outcomes.update(_ending(row) for row in rows)
    attempts = _attempts(lines)
    long = [span for span in frozen if span.until - span.since >= lease_s]
    report.violations += _clock(lines)
    for _, some in _by(attempts, lambda a: (a.head.job, a.head.scope)):
        for violation, is_excused in itertools.chain(
            _overlaps(some, long, grace_s), _tokens(some, long, grace_s)
        ):
            (report.excused if is_excused else report.violations).append(violation)
    report.violations += _early(attempts)
    report.violations += _stories(attempts, rows)
    report.violations += _writes(attempts, rows)
    report.violations += _calendar(due, rows)
    report.takeovers = _takeovers(attempts, rows)
    return report


def _ending(row: dict[str, Any]) -> str:
    is_failure = row["outcome"] == Outcome.FAILED
    return f"failed: {row['result']}" if is_failure else str(row["outcome"] or "open")


def _by(values: Iterable[Any], key: Any) -> Iterator[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for value in values:
        groups[key(value)].append(value)
    yield from groups.items()


def _attempts(lines: Sequence[Line]) -> list[_Attempt]:
    """In the order of their first lines. A second ``start`` begins another attempt."""
    found: list[_Attempt] = []
    ordered = sorted(lines, key=lambda line: line.at)
    for _, some in _by(ordered, lambda x: (x.run_id, x.attempt, x.token, x.host)):
        cuts = [i for i, line in enumerate(some) if line.what == "start" and i] + [len(some)]
        found += [_Attempt(tuple(some[a:b])) for a, b in itertools.pairwise([0, *cuts])]
    return sorted(found, key=lambda attempt: attempt.first)


def _pieces(attempt: _Attempt, long: Sequence[Frozen]) -> Iterator[_Piece]:
    """The attempt without the times in which its host was frozen for long."""
    first, is_thawed = attempt.first, False
    for span in sorted(long, key=lambda span: span.since):
        if span.host == attempt.head.host and first < span.until <= attempt.last:
            before = [line.at for line in attempt.lines if first <= line.at < span.until]
            if before:
                yield _Piece(attempt, first, before[-1], is_thawed)
            first, is_thawed = span.until, True
    yield _Piece(attempt, first, attempt.last, is_thawed)


def _overlaps(
    attempts: list[_Attempt], long: Sequence[Frozen], grace_s: float
) -> Iterator[tuple[Violation, bool]]:
    pieces = sorted(
        (piece for attempt in attempts for piece in _pieces(attempt, long)), key=lambda p: p.first
    )
    for index, one in enumerate(pieces):
        for other in pieces[index + 1 :]:
            if other.first >= one.last:
                break
            if one.attempt is not other.attempt:
                yield _overlap(one, other, grace_s)


def _overlap(one: _Piece, other: _Piece, grace_s: float) -> tuple[Violation, bool]:
    both_s = min(one.last, other.last) - other.first
    is_same = one.attempt.head.run_id == other.attempt.head.run_id
    what = f"live with {other.attempt} for {both_s:.3f} s from {other.first:.3f} on"
    breach = Breach.DOUBLE if is_same else Breach.OVERLAP
    older = min(one, other, key=lambda piece: piece.attempt.token)
    if older.is_thawed:
        is_over = older.last - older.first > grace_s
        breach = Breach.STALE_RUN if is_over else breach
        what += f"; its host had been frozen, and it went on for {older.last - older.first:.3f} s"
        return Violation(breach, str(one.attempt), what), not is_over
    return Violation(breach, str(one.attempt), what), False


def _tokens(
    attempts: list[_Attempt], long: Sequence[Frozen], grace_s: float
) -> Iterator[tuple[Violation, bool]]:
    newest: _Attempt | None = None
    for attempt in attempts:
        if not attempt.says("start"):
            continue
        if newest is not None and attempt.token <= newest.token:
            is_same = _identity(attempt) == _identity(newest)
            breach = Breach.DOUBLE if is_same else Breach.TOKEN
            what = f"started at {attempt.first:.3f}, after {newest}"
            is_excused = attempt.token < newest.token and any(
                span.host == attempt.head.host and 0 <= attempt.first - span.until <= grace_s
                for span in long
            )
            yield Violation(breach, str(attempt), what), is_excused
        else:
            newest = attempt


def _identity(attempt: _Attempt) -> tuple[str, int]:
    return attempt.head.run_id, attempt.head.attempt


def _early(attempts: list[_Attempt]) -> Iterator[Violation]:
    for attempt in attempts:
        parsed = parse_run_id(attempt.head.run_id)
        if parsed is None:
            yield Violation(Breach.UNEXPLAINED, attempt.head.run_id, "is no run id")
        elif parsed[2] is Kind.SCHEDULED and attempt.first < parsed[3].timestamp():
            by_s = parsed[3].timestamp() - attempt.first
            yield Violation(Breach.EARLY, str(attempt), f"started {by_s:.6f} s before its time")


def _stories(attempts: list[_Attempt], rows: Sequence[dict[str, Any]]) -> Iterator[Violation]:
    """Each start has its row, each success has its start and its end."""
    known = {(row["run_id"], row["attempt"]): row for row in rows}
    for (run_id, number), some in _by(rows, lambda r: (r["run_id"], r["attempt"])):
        if len(some) > 1:
            what = f"attempt {number} has {len(some)} rows"
            yield Violation(Breach.UNEXPLAINED, run_id, what)
    for attempt in attempts:
        if (attempt.head.run_id, attempt.head.attempt) not in known:
            yield Violation(Breach.UNEXPLAINED, str(attempt), "ran, but is not in the ledger")
    ran = defaultdict(list)
    for attempt in attempts:
        ran[attempt.head.run_id, attempt.head.attempt, attempt.token].append(attempt)
    for row in rows:
        if row["outcome"] != Outcome.SUCCEEDED:
            continue
        mine = ran[row["run_id"], row["attempt"], row["token"]]
        for what in ("start", "end"):
            if not any(attempt.says(what) for attempt in mine):
                why = f"attempt {row['attempt']} succeeded, but the job wrote no {what}"
                yield Violation(Breach.UNEXPLAINED, row["run_id"], why)


def _writes(attempts: list[_Attempt], rows: Sequence[dict[str, Any]]) -> Iterator[Violation]:
    """No row was written by one whose token was not the newest any more."""
    tokens = {(row["run_id"], row["attempt"]): row for row in rows}
    for _, some in _by(attempts, lambda a: (a.head.job, a.head.scope)):
        for attempt in some:
            row = tokens.get((attempt.head.run_id, attempt.head.attempt))
            if row is None:
                continue
            if row["token"] != attempt.token:
                what = f"the ledger has it with token {row['token']}"
                yield Violation(Breach.STALE_WRITE, str(attempt), what)
            newer = [a for a in some if a.token > attempt.token and a.first < attempt.last]
            if row["outcome"] == Outcome.SUCCEEDED and newer:
                what = f"succeeded, though {newer[0]} had started before it ended"
                yield Violation(Breach.STALE_WRITE, str(attempt), what)
    for run_id, some in _by(rows, lambda r: r["run_id"]):
        ordered = sorted(some, key=lambda r: r["attempt"])
        for row, following in itertools.pairwise(ordered):
            if row["outcome"] == Outcome.SUCCEEDED:
                what = f"attempt {row['attempt']} succeeded, and there is {following['attempt']}"
                yield Violation(Breach.STALE_WRITE, run_id, what)
            if following["token"] <= row["token"] and row["attempt"]:
                what = f"attempt {following['attempt']} has token {following['token']}, "
                what += f"the one before it {row['token']}"
                yield Violation(Breach.TOKEN, run_id, what)


def _calendar(due: Iterable[Due], rows: Sequence[dict[str, Any]]) -> Iterator[Violation]:
    """Each occurrence that was due has one run, and that run has its outcome."""
    runs: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["attempt"]):
        if row["kind"] == Kind.SCHEDULED:
            runs[row["job"], row["scope"]][row["run_id"]] = row  # its last attempt
    spans = {
        name: [
            (datetime.fromisoformat(row["covers_from"] or row["scheduled_for"]), _at(row), row)
            for row in mine.values()
        ]
        for name, mine in runs.items()
    }
    for one in due:
        covering = [
            row
            for first, last, row in spans.get((one.job, one.scope), ())
            if first <= one.at <= last
        ]
        about = f"{one.job}@{one.scope} of {one.at.isoformat()}"
        if not covering:
            yield Violation(Breach.LOST, about, "is not in the ledger")
        elif len(covering) > 1:
            ids = ", ".join(sorted(row["run_id"] for row in covering))
            yield Violation(Breach.TWICE, about, f"is in the ledger as {ids}")
        elif covering[0]["outcome"] is None:
            yield Violation(Breach.LOST, about, f"{covering[0]['run_id']} has no outcome")


def _clock(lines: Sequence[Line]) -> Iterator[Violation]:
    """CLOCK_BOOTTIME (in hundredths) and CLOCK_REALTIME must have run side by side.

    A job reads one after the other and may have to wait between: the smallest difference in each
    ten seconds is the true one.
    """
    spans = _by(lines, lambda line: line.boottime // 10)
    offsets = sorted(min(line.at - line.boottime for line in some) for _, some in spans)
    if offsets and offsets[-1] - offsets[0] > CLOCK_S:
        what = f"CLOCK_REALTIME was off by {offsets[-1] - offsets[0]:.3f} s"
        yield Violation(Breach.CLOCK, "the build host", what)


def _takeovers(attempts: list[_Attempt], rows: Sequence[dict[str, Any]]) -> list[Takeover]:
    """Of the attempts that went down with their host, where the job went on elsewhere.

    Jobs with short periods seldom see a next attempt: a later occurrence supersedes the run. That
    one counts if it was due by when the lost attempt was ended, so that it had to wait for it.
    """
    lost = {(row["run_id"], row["attempt"]): row for row in rows if row["result"] in LOST}
    due = {row["run_id"]: _at(row) for row in rows}
    found = []
    for _, some in _by(attempts, lambda a: (a.head.job, a.head.scope)):
        for one, other in itertools.pairwise(sorted(some, key=lambda a: a.token)):
            row = lost.get(_identity(one))
            before = [line.at for line in one.lines if line.at < other.first]
            if row is None or not before or one.head.host == other.head.host:
                continue
            ended_at, run_id = datetime.fromisoformat(row["ended_at"]), other.head.run_id
            if run_id == row["run_id"] or (run_id in due and due[run_id] <= ended_at):
                rest_s = other.first - before[-1]
                found.append(Takeover(run_id, other.head.attempt, before[-1], rest_s))
    return found


def _at(row: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(row["scheduled_for"])
