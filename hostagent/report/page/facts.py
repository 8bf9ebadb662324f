"""All that the page is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hostagent.model import Job, Run
from hostagent.policy.samples import Sample
from hostagent.report.runs import Hung
from hostagent.store.port import Pause, Presence, Quarantine, SpecRecord

DAY = timedelta(hours=24)
AHEAD = timedelta(hours=2)
"""How far the timeline looks back, and on."""

MOST_RUNS = 5_000
"""How many runs all jobs together show; a job its last ones, ``LEAST_RUNS`` if it has as many."""

LEAST_RUNS = 20

MOST_OF_DAY = 20_000
"""How many runs the timeline takes: memory is the bound."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read at ``now``, on ``host``.

    ``status``, ``backlog`` and ``samples`` are what this host's agent says; ``no_agent`` is why it
    says nothing, else empty, and ``agent_fix`` what to type then. ``away`` is why the store that
    hosts share is not read, else empty. ``day`` are the runs of the timeline, oldest first, and
    ``day_since`` is from when on they are all (None: for as long as it shows); ``runs`` are the
    last ones of each job, newest first. ``jobs`` are those of jobs.toml as it is deployed here.
    """

    now: datetime
    version: str
    host: str
    specs: Sequence[SpecRecord] = ()
    jobs: Sequence[Job] = ()
    day: Sequence[Run] = ()
    day_since: datetime | None = None
    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    sessions: Sequence[Presence] = ()
    pauses: Sequence[Pause] = ()
    quarantines: Sequence[Quarantine] = ()
    status: Mapping[str, Any] | None = None
    hung: Mapping[str, Hung] = field(default_factory=dict)
    backlog: Mapping[str, Any] | None = None
    samples: Sequence[Sample] = ()
    no_agent: str = ""
    agent_fix: str = ""
    away: str = ""

    @property
    def since(self) -> datetime:
        """From when on the timeline is complete."""
        return self.day_since or self.now - DAY


def runs_each(jobs: int) -> int:
    """How many runs each of so many jobs shows."""
    return max(LEAST_RUNS, min(250, MOST_RUNS // max(jobs, 1)))
