"""The timer of a job: it wakes PID 1 at every occurrence; what is due is the agent's to say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hostagent.compile import escape, names
from hostagent.compile.draft import Directive, Draft
from hostagent.compile.templates import render
from hostagent.compile.versions import why_not
from hostagent.model import Missed, Overlap
from hostagent.schedule.occurrences import timer_expressions


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


def _spread(draft: Draft) -> Iterator[Directive]:
    """Jitter: stable, so that it moves with no reload and no restart (decision 0101)."""
    jitter = draft.job.schedule.jitter
    if jitter > timedelta(0):
        yield "RandomizedDelaySec", escape.span(jitter)
        yield "FixedRandomDelay", "yes"


def _overlap(draft: Draft) -> Iterator[Directive]:
    """What fell due during a run is not wanted right after it, unless it is to queue."""
    if draft.job.overlap is Overlap.QUEUE:
        return
    if reason := why_not("Timer", "DeferReactivation", draft.target.systemd):
        text = f"{reason}; the agent turns away what PID 1 starts right after an overlong run"
        draft.note("DeferReactivation", text)
    else:
        yield "DeferReactivation", "yes"
