"""Whether a run that has ended may be tried again because a person asks for it.

Unlike ``policy.retry``, nothing is counted: a person who asks knows what was mended. But a run is
never tried again beside itself or another run of its job, nor after a success.
"""

from __future__ import annotations

from collections.abc import Sequence

from hostagent.codec import rfc3339
from hostagent.model import Outcome, Run


def why_not(attempts: Sequence[Run], active: Run | None) -> str | None:
    """Why no attempt may follow, and what to type instead; None: one may.

    ``attempts`` are all of the run, oldest first, at least one. ``active`` is the run of the same
    job and scope that goes on now.
    """
    last = attempts[-1]
    if last.outcome is None:
        return f"{last.run_id} goes on, on {last.host}; stop it first: hostagent stop {last.run_id}"
    if last.outcome is Outcome.SUCCEEDED:
        return f"{last.run_id} has succeeded; to do its work once more: {_anew(last)}"
    if last.attempt == 0:
        return (
            f"{last.run_id} was {last.outcome} without an attempt ({last.reason}); "
            f"to do its work now: {_anew(last)}"
        )
    if active is not None:
        return (
            f"{active.run_id} goes on, on {active.host}, and a job runs once at a time; "
            f"wait, or stop it: hostagent stop {active.run_id}"
        )
    return None


def _anew(run: Run) -> str:
    words = [
        "hostagent run",
        run.job,
        *([run.scope] if run.scope and run.scope != run.host else []),
    ]
    return " ".join([*words, "--as-of", rfc3339(run.scheduled_for)])
