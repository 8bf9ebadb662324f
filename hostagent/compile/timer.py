"""The timer of a job: it wakes PID 1 at every occurrence; what is due is the agent's to say."""

from __future__ import annotations

from datetime import timedelta

from hostagent.compile import escape, names
from hostagent.compile.draft import Directive, Draft
from hostagent.compile.templates import render
from hostagent.compile.versions import why_not
from hostagent.model import Missed, Overlap
from hostagent.schedule.occurrences import timer_expressions

OFFSET_RIGHT_SINCE = 262
"""``RandomizedOffsetSec=`` with ``Persistent=`` skips occurrences in 258 to 261 (decision 0101)."""


def timer(draft: Draft) -> str:
    """The text of the timer, or of its template for ``for_each``."""
    job = draft.job
    instance = names.service_name(job.name, fan_out=True).replace("@.", "@%i.")
    title = f"hostagent job {job.name}: {job.schedule.text}"
    return render(
        "timer.j2",
        job=job.name,
        description=draft.spell("calendar", escape.sentence, title),
        calendar=[
            draft.spell("calendar", escape.plain, expression)
            for expression in timer_expressions(job.schedule)
        ],
        persistent="no" if job.missed is Missed.SKIP else "yes",
        timer=[*_spread(draft), *_overlap(draft), *draft.passthrough("Timer")],
        service=instance if job.for_each else names.service_name(job.name),
    )


def _spread(draft: Draft) -> list[Directive]:
    """Jitter: stable, so that it moves with no reload and no restart (decision 0101)."""
    jitter = draft.job.schedule.jitter
    if jitter <= timedelta(0):
        return []
    if draft.target.systemd >= OFFSET_RIGHT_SINCE:
        return [("RandomizedOffsetSec", escape.span(jitter))]
    draft.note(
        "RandomizedOffsetSec",
        f"RandomizedDelaySec= instead, until systemd {OFFSET_RIGHT_SINCE}: a reboot within the "
        "delay begins it anew; the agent then starts the job in time",
    )
    return [("RandomizedDelaySec", escape.span(jitter)), ("FixedRandomDelay", "yes")]


def _overlap(draft: Draft) -> list[Directive]:
    """What fell due during a run is not wanted right after it, unless it is to queue.

    Beside RandomizedDelaySec= it would lose an occurrence to a manual run (decision 0104).
    """
    if draft.job.overlap is Overlap.QUEUE:
        return []
    systemd = draft.target.systemd
    reason = why_not("Timer", "DeferReactivation", systemd)
    if not reason and systemd < OFFSET_RIGHT_SINCE and draft.job.schedule.jitter > timedelta(0):
        reason = f"systemd {systemd} loses occurrences to it when there is jitter"
    if not reason:
        return [("DeferReactivation", "yes")]
    draft.note(
        "DeferReactivation",
        f"left out: {reason}; the agent turns away the start that follows an overlong run",
    )
    return []
