"""Which pause holds what a job has next, and the command that lifts it; over what was read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from hostagent.model import Job
from hostagent.store.port import Pause, PauseTarget


def holding(job: Job, host: str, pauses: Iterable[Pause], at: datetime) -> Pause | None:
    """The pause that is in force ``at`` and is about the job on that host, the narrowest first."""
    in_force = [one for one in pauses if one.until is None or one.until > at]
    about = (
        (PauseTarget.JOB, job.name),
        (PauseTarget.LANE, str(job.lane)),
        (PauseTarget.HOST, host),
        (PauseTarget.CLUSTER, ""),
    )
    found = (one for what in about for one in in_force if (one.target, one.name) == what)
    return next(found, None)


def resume(target: PauseTarget, name: str, *, user: bool) -> str:
    """The command that lifts a pause. That of a host is to be typed there."""
    options = {
        PauseTarget.LANE: f"--lane {name}",
        PauseTarget.HOST: "--host",
        PauseTarget.CLUSTER: "--all",
    }
    return f"hostagent resume {options.get(target, name)}{' --user' if user else ''}"
