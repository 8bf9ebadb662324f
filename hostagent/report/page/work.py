"""What runs, and what waits at the gate of this host and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostagent.policy.words import ago, span_text
from hostagent.report.page.facts import Facts
from hostagent.report.page.jobs import usual
from hostagent.report.page.text import NOTHING, counted, moment, named, relative, shortened
from hostagent.report.runs import state_of


@dataclass(frozen=True, slots=True)
class Running:
    """A run that goes on."""

    job: str
    name: str
    host: str
    since: str
    lasts: str
    usual: str
    state: str
    because: str


@dataclass(frozen=True, slots=True)
class Held:
    """A missed run that the gate holds."""

    job: str
    name: str
    due: str
    covers: str
    starts: str
    reason: str


def running(facts: Facts) -> Iterator[Running]:
    """On whatever host, the oldest first."""
    hung, ran = facts.hung, facts.runs
    for run in facts.day:
        if run.outcome is not None:
            continue
        begin = run.started_at or run.claimed_at or run.scheduled_for
        mark, median = hung.get(run.run_id), usual(ran.get(run.job, ()))
        yield Running(
            job=run.job,
            name=named(run.job, run.scope),
            host=run.host,
            since=moment(begin, facts.now),
            lasts=ago(facts.now - begin),
            usual=span_text(median) if median is not None else NOTHING,
            state="hung?" if mark else state_of(run),
            because=shortened(str(mark) if mark else run.reason),
        )


def held(facts: Facts) -> Iterator[Held]:
    """In the order in which they will go."""
    for one in (facts.backlog or {}).get("held", ()):
        due = _instant(one["due"])
        yield Held(
            job=one["name"].partition("@")[0],
            name=one["name"],
            due=relative(due, facts.now) if due else NOTHING,
            covers=str(one["covers"]),
            starts=_starts(one, facts.now),
            reason=shortened(one["reason"].removeprefix("held: ")),
        )


def _starts(one: Mapping[str, Any], now: datetime) -> str:
    at = _instant(one["expected"])
    if at is None:
        return NOTHING
    bound = f" ({one['bound']})" if one["bound"] else ""
    return f"{'not before' if bound else 'about'} {moment(at, now)}{bound}"


def gate(facts: Facts) -> Iterator[str]:
    """What the gate does besides, in sentences."""
    told = facts.backlog
    if told is None:
        return
    if told["settles"]:
        yield f"settles: {told['settles']}"
    if told["pace"]:
        yield f"released: {told['pace']}"
    if told["catching_up"]:
        yield f"{counted(len(told['catching_up']), 'run')} catching up: " + ", ".join(
            told["catching_up"]
        )
    for one in told["backfills"]:
        left = "an unknown number" if one["left"] is None else one["left"]
        yield f"backfill of {one['name']}: {left} left, asked for by {one['by']}"


def _instant(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
