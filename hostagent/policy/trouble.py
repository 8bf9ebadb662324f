"""What can be wrong with a job that people should be told of: the words, and the facts.

Wrong is at most one thing, the worst of these. What keeps a job from its work:

- ``quarantined``: it was taken out because it kept crashing.
- ``failed``: its last ``alarm_after`` scheduled runs all failed. A run that is to be tried again
  has not; what was skipped or abandoned is passed over. A run by hand that fails adds nothing; any
  success ends the row.
- ``silent``, the dead man's switch: ``alarm_after`` occurrences fell due since the last success (or
  since the job was deployed), and the jitter and ``grace`` of the last of them have passed without
  another. Occurrences in a pause or a blackout are not waited for; and one that fell due while the
  agent that looks was away first has the chance to be caught up (``diagnosis.CHANCE``).

And warnings: it works, but something will have to be done.

- ``hung``: its run stands still (``policy.hung``), which only the host knows that runs it.
- ``overran``, ``too_short``: its run takes, or took, much longer than is usual for it, or succeeded
  much sooner (``policy.durations``).
- ``late``: its run had to wait for its start, for a place or for another run. Catch-up is not late.
- ``near_interval``: its runs have come to take nearly as long as its shortest interval.

The ledger says all of it, whoever looks (``policy.diagnosis``), but for the run that goes on: of
that another host leaves alone what the one that runs it has begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hostagent.model import Alarm, Job, Run
from hostagent.policy.durations import Usual


class Wrong(StrEnum):
    """What can be wrong with a job, or with a host (``policy.hosts``), the worst last."""

    MIXED_SPECS = "mixed_specs"
    DRIFT = "drift"
    BACKLOG = "backlog"
    SKEW = "skew"
    STORE = "store"
    NEAR_INTERVAL = "near_interval"
    LATE = "late"
    TOO_SHORT = "too_short"
    OVERRAN = "overran"
    HUNG = "hung"
    SILENT = "silent"
    FAILED = "failed"
    QUARANTINED = "quarantined"


RANKED = list(Wrong)

OF_A_HOST = {Wrong.MIXED_SPECS, Wrong.DRIFT, Wrong.BACKLOG, Wrong.SKEW, Wrong.STORE}

OF_A_RUN = {Wrong.LATE, Wrong.OVERRAN, Wrong.HUNG}
"""What may be known of a run while it goes on."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What its host knows of a run that goes on.

    ``still``: since when it has not moved and on what evidence, in words. ``moves``: it was seen to
    move. Neither: it was not looked at for long enough.
    """

    run: Run
    still: str | None = None
    moves: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision looks at.

    ``since`` is from when on the schedule holds. ``runs`` are the last that succeeded or failed for
    good, newest first: at least ``alarm_after`` of them and the last success, where there are so
    many; durations are judged as far as there are more. ``skipped_at`` is the last occurrence that
    a pause or a blackout took. ``going`` is the run that goes on here, ``is_elsewhere``: one may go
    on where only another host knows how. ``standing`` is the alarm there is. ``woke_at`` is when
    the host that looks was last back: from a boot, from sleep, from an absence of its agent.
    """

    job: Job
    scope: str
    now: datetime
    since: datetime
    runs: tuple[Run, ...] = ()
    skipped_at: datetime | None = None
    quarantined: str | None = None
    going: LiveRun | None = None
    is_elsewhere: bool = False
    standing: Alarm | None = None
    woke_at: datetime | None = None

    def stands(self, wrong: Wrong) -> bool:
        """Whether that is what stands."""
        return (
            self.standing is not None
            and self.standing.over_at is None
            and self.standing.kind == wrong
        )


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, with its sentence."""

    wrong: Wrong
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong now, else None and why not; and when to look again if nothing happens.

    ``again_at`` is for whoever watches the job, ``overruns_at`` for the host that runs it.
    ``usual`` is how long its runs take.
    """

    trouble: Trouble | None
    relief: str
    again_at: datetime | None
    overruns_at: datetime | None = None
    usual: Usual | None = None


def is_serious(kind: str) -> bool:
    """Whether the job does not do its work; else it is a warning. What a later version knows is."""
    return kind not in RANKED[: RANKED.index(Wrong.SILENT)]
