"""What a job's ``ping_url`` hears of a run, as healthchecks.io and its like understand it.

What follows the URL says what it is: ``/start``; nothing for a success; ``/fail``, or ``/`` and the
exit status, for a failure; ``/log`` for what is neither: an attempt that is followed by another, a
run that was stopped on purpose. What did not run is not told: that it is silent is the alarm.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit, urlunsplit

from hostagent.model import End, Kind, Outcome, Run

START, SUCCESS, FAIL, LOG = "/start", "", "/fail", "/log"

LONGEST = 2000
"""Characters of the text: reasons are sentences."""

_RUNS = uuid.UUID("9f1c5a52-6f0c-5d0c-8f6b-3f1f0b7a2d54")
"""Names the ids of runs among all that there are (RFC 4122, version 5)."""


@dataclass(frozen=True, slots=True)
class Ping:
    """One request: what follows the URL, the run's UUID, and the text for people."""

    signal: str
    rid: str
    text: str


def at_start(run: Run) -> Ping | None:
    """A run was handed to PID 1; None: it is of the past, and says nothing of today."""
    if run.kind is Kind.BACKFILL:
        return None
    return _ping(START, run, f"starts on {run.host}: {run.reason}")


def at_end(run: Run, end: End, retry_at: datetime | None) -> Ping | None:
    """It has ended, and is tried again at ``retry_at``, if it is."""
    if run.kind is Kind.BACKFILL:
        return None
    return _ping(_signal(end, retry_at), run, f"{end.outcome} on {run.host}: {end.reason}")


def address(url: str, ping: Ping) -> str:
    """Where it is sent: the query of the URL stays behind the path."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"rid={ping.rid}")))
    path = parts.path.rstrip("/") + ping.signal
    return urlunsplit(parts._replace(path=path, query=query, fragment=""))


def _signal(end: End, retry_at: datetime | None) -> str:
    if end.outcome is Outcome.SUCCEEDED:
        return SUCCESS
    if end.outcome is not Outcome.FAILED or retry_at is not None:
        return LOG
    return f"/{end.exit_code}" if end.result == "exit-code" and end.exit_code else FAIL


def _ping(signal: str, run: Run, text: str) -> Ping:
    """All attempts of a run have one id: to others they are one run."""
    rid = uuid.uuid5(_RUNS, run.run_id)
    return Ping(signal, str(rid), f"{run.run_id} {text}"[:LONGEST])
