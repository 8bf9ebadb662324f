"""Why a job ran, waits, was skipped or is late: the recorded sentences, in plain order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hostagent.model import Outcome, Run
from hostagent.policy.words import ago, to_second, when
from hostagent.report.paused import resume
from hostagent.report.runs import Hung, state_of
from hostagent.store.port import Cursor, Decision, Pause


@dataclass(frozen=True, slots=True)
class Story:
    """One answer: what it is about, its state, and the sentences that explain it."""

    subject: str
    state: str
    sentences: tuple[str, ...]


def of_run(attempts: Sequence[Run]) -> Story:
    """A run's story: why each attempt began, and how it ended."""
    sentences = []
    for run in attempts:
        name = f"attempt {run.attempt} " if len(attempts) > 1 else ""
        if run.attempt == 0:
            sentences.append(run.reason + _covering(run))
            continue
        sentences.append(f"{name}{_begun(run)}")
        if run.outcome is None:
            sentences.append(f"{name}goes on" if run.invocation_id else f"{name}is being started")
        elif run.ended_at is not None:
            sentences.append(f"{name}ended at {to_second(run.ended_at)}: {_end_of(run)}")
        if run.report_problem:
            sentences.append(f"{name}left no report that can be used: {run.report_problem}")
    last = attempts[-1]
    if last.outcome is Outcome.FAILED and last.invocation_id:
        sentences.append(f"what it printed: hostagent logs {last.run_id}")
    return Story(last.run_id, state_of(last), tuple(sentences))


def _begun(run: Run) -> str:
    started = f"started at {to_second(run.started_at)}" if run.started_at else "was claimed"
    return f"{started} on {run.host}: {run.reason}{_covering(run)}"


def _end_of(run: Run) -> str:
    return run.end_reason or str(run.outcome)


def _covering(run: Run) -> str:
    if run.covers <= 1 or run.covers_from is None or "runs once for all" in run.reason:
        return ""
    return f" (stands for {run.covers} occurrences from {when(run.covers_from)})"


def of_hung(story: Story, hung: Hung) -> Story:
    """The story of a run that goes on and does not seem to move: a mark, and what to look at."""
    more = (
        f"it {hung}; it may hang, or wait: it is not stopped for that",
        f"what it printed: hostagent logs {story.subject}",
    )
    return Story(story.subject, "hung?", (*story.sentences, *more))


def of_next(
    at: datetime | None,
    cursor: Cursor | None,
    pause: Pause | None,
    now: datetime,
    *,
    user: bool = False,
) -> Story:
    """The next occurrence's story, as far as it is known before it falls due."""
    if at is None:
        return Story("next", "never", ("the schedule names no further instant",))
    sentences = [f"due {when(at)}, in {ago(at - now)}"]
    if cursor is None:
        sentences.append("the job is not registered: run `hostagent apply`")
    elif cursor.active is not None:
        sentences.append(f"run {cursor.active.run_id} is active now")
    if pause is not None:
        what = f"{pause.target} {pause.name}".strip()
        order = f"{what} is paused by {pause.by}: {pause.reason}"
        if pause.until is None:
            lift = resume(pause.target, pause.name, user=user)
            sentences.append(f"it will be skipped: {order}; lift it: {lift}")
        elif pause.until > at:
            sentences.append(f"it will be skipped: {order}; until {to_second(pause.until)}")
        else:
            sentences.append(f"{order}; that ends before, {to_second(pause.until)}")
    return Story("next", "waiting", tuple(sentences))


def no_agent(*, user: bool) -> Story:
    """Nothing starts while no agent is up, whatever the timers do."""
    command = "systemctl --user" if user else "systemctl"
    sentence = f"no agent is up on this host, so nothing starts; {command} start hostagent"
    return Story("agent", "down", (sentence,))


def of_held(name: str, reason: str) -> Story:
    """What the catch-up gate of this host's agent holds just now."""
    more = "when it will start: hostagent backlog list"
    return Story(f"missed run of {name}", "held", (reason, more))


def of_awaiting(name: str, reason: str) -> Story:
    """What waits just now until other jobs have succeeded."""
    more = f"start it at once: hostagent run {name.partition('@')[0]}"
    return Story(f"occurrence of {name}", "waits", (reason, more))


def of_decision(decision: Decision) -> Story:
    """A start that was turned away."""
    return Story(f"turned away {to_second(decision.at)}", decision.verdict, (decision.reason,))
