"""What hosts of a fleet have to do, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hostagent.model import Job


@dataclass(frozen=True, slots=True)
class Work:
    """A job of the fleet's jobs.toml; a run of it takes ``work_s`` alone."""

    job: Job
    work_s: float

    @property
    def share(self) -> float:
        """The part of the time in which one of its fresh runs goes on."""
        assert self.job.schedule.every is not None
        return self.work_s / self.job.schedule.every.total_seconds()


@dataclass(frozen=True, slots=True)
class Trouble:
    """A downstream that refuses a share of the runs of its pool that begin in that time."""

    pool: str
    from_s: float
    until_s: float
    share: float


@dataclass(slots=True)
class Tally:
    """What came of it. ``rows`` and ``calls``: of the ledger, for what was owed at the boot.

    ``most_rows``: of one (job, scope). ``asked``: how often a decision was asked for. ``released``:
    catch-up runs by (pool, minute). ``starts_s``: fresh runs, from due to start, ``ends_s`` to
    end; with ``missed = "all"`` they wait for their own job's missed ones, and do not count here.
    ``lines`` are (job, scope)s; ``back_s``: when the last of them was back on its calendar, as
    ``lines_back`` are.
    """

    owed: int = 0
    accounted: int = 0
    rows: int = 0
    calls: int = 0
    most_rows: int = 0
    asked: int = 0
    released: Counter[tuple[str | None, int]] = field(default_factory=Counter)
    failed: int = 0
    starts_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    back_s: float = 0.0
    lines: int = 0
    lines_back: int = 0

    def add(self, other: Tally) -> None:
        """Both together."""
        self.owed += other.owed
        self.accounted += other.accounted
        self.rows += other.rows
        self.calls += other.calls
        self.most_rows = max(self.most_rows, other.most_rows)
        self.asked += other.asked
        self.released.update(other.released)
        self.failed += other.failed
        self.starts_s += other.starts_s
        self.ends_s += other.ends_s
        self.back_s = max(self.back_s, other.back_s)
        self.lines += other.lines
        self.lines_back += other.lines_back
