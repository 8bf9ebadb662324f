"""The words in which a cluster is judged: what was due, what was broken, and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

SHOWN = 30


class Breach(StrEnum):
    """What was promised and not kept."""

    DOUBLE = "double"  # two live attempts of one run at one instant
    OVERLAP = "overlap"  # two runs of one (job, scope) live at one instant
    STALE_RUN = "stale run"  # a frozen host went on too long after it was resumed
    TOKEN = "token"  # tokens of a (job, scope) do not grow from start to start
    STALE_WRITE = "stale write"  # the ledger took a write under a token that was not the newest
    LOST = "lost"  # a due occurrence without a final outcome
    TWICE = "twice"  # a due occurrence with more than one
    EARLY = "early"  # a start before its time
    UNEXPLAINED = "unexplained"  # the ledger and the jobs tell different stories
    CLOCK = "clock"  # the build host's clock was stepped: the lines have no order


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken promise: which, of what (a run's id, or JOB@SCOPE), and how in one sentence."""

    breach: Breach
    about: str
    what: str


@dataclass(frozen=True, slots=True)
class Due:
    """An occurrence that the calendar names."""

    job: str
    scope: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Frozen:
    """A host's processes stood still from ``since`` to ``until``; seconds of CLOCK_REALTIME."""

    host: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Takeover:
    """How long a job rested: from the last sign of an attempt, ``since``, to the next one's first.

    ``run_id`` and ``attempt`` are the next one's: of the same run, or one that superseded it.
    """

    run_id: str
    attempt: int
    since: float
    rest_s: float


@dataclass(slots=True)
class Report:
    """The verdict. ``excused`` are overlaps of a host that had been frozen (see above)."""

    starts: int = 0
    rows: int = 0
    due: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    excused: list[Violation] = field(default_factory=list)
    takeovers: list[Takeover] = field(default_factory=list)

    def __str__(self) -> str:
        """For people: figures, takeover times, and the violations (some of them)."""
        outcomes = ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))
        text = f"{self.starts} starts, {self.rows} rows, {self.due} due ({outcomes})"
        if self.takeovers:
            rests = [takeover.rest_s for takeover in self.takeovers]
            p50, p99 = percentile(rests, 50), percentile(rests, 99)
            text += f"\n{len(rests)} takeovers: p50 {p50:.1f} s, p99 {p99:.1f} s, "
            text += f"max {max(rests):.1f} s"
        if self.excused:
            text += f"\n{len(self.excused)} excused: the host had been frozen"
        counts = Counter(violation.breach for violation in self.violations)
        text += "".join(f"\n{count} x {breach}" for breach, count in counts.items())
        shown = self.violations[:SHOWN]
        return text + "".join(f"\n  {v.breach}: {v.about}: {v.what}" for v in shown)


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that ``percent`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def due_every(job: str, scope: str, period_s: int, after: float, until: float) -> list[Due]:
    """The occurrences of ``*:*:0/PERIOD`` strictly after ``after``, up to ``until``.

    Only for periods that divide a minute: then they are the multiples of the period.
    """
    assert 60 % period_s == 0
    first, last = int(after // period_s) + 1, int(until // period_s)
    return [
        Due(job, scope, datetime.fromtimestamp(number * period_s, UTC))
        for number in range(first, last + 1)
    ]
