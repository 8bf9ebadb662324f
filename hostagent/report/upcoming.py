"""What is due next, from the calendars alone: pauses, gates and catch-up do not show here."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from hostagent.model import Job, Occurrence
from hostagent.schedule.occurrences import next_after


def of_job(job: Job, scope: str, after: datetime) -> Iterator[Occurrence]:
    """The occurrences of one (job, scope) after an instant, in time order."""
    at = next_after(job.schedule, after)
    while at is not None:
        yield Occurrence(at, job.name, scope)
        at = next_after(job.schedule, at)


def upcoming(jobs: Iterable[Job], host: str, after: datetime, count: int) -> list[Occurrence]:
    """The next ``count`` occurrences of each (job, scope), merged in time order."""
    streams = (
        islice(of_job(job, scope, after), count) for job in jobs for scope in job.scopes(host)
    )
    return list(heapq.merge(*streams))
