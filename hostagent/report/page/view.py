"""What the page says: figures and sentences, ready to be set. Pure.

The order is that of an operator's questions: is something wrong, who is there, what goes on, what
was planned and what came of it, what waits and why, and then each job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hostagent.codec import rfc3339
from hostagent.model import Outcome
from hostagent.report.cluster import Member, members, mixed_specs
from hostagent.report.page import charts, drawing, jobs, work
from hostagent.report.page.facts import AHEAD, DAY, Facts
from hostagent.report.page.text import moment, named, relative
from hostagent.report.timeline import Lane, by_job, due_between
from hostagent.store.port import PauseTarget

MARKS_EVERY_H = 3
BESIDE_NOW = 75
"""Minutes. The text of an hour so near would run into that of now."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Something is wrong, or in the way: what, and what to type next."""

    sentence: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the summary."""

    value: str
    what: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the timeline."""

    job: str
    name: str
    bars: drawing.Bars


@dataclass(frozen=True, slots=True)
class Axis:
    """The hours of the timeline: ``width`` minutes, now at ``now``."""

    width: int
    now: int
    now_at: str
    grid: str
    marks: tuple[drawing.Mark, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """All of it."""

    title: str
    at: str
    made_at: str
    host: str
    version: str
    verdict: str
    figures: tuple[Figure, ...]
    attention: tuple[Attention, ...]
    hosts: tuple[Member, ...]
    hosts_unknown: str
    orders: tuple[str, ...]
    running: tuple[work.Running, ...]
    held: tuple[work.Held, ...]
    gate: tuple[str, ...]
    no_agent: str
    axis: Axis
    cut: str
    lines: tuple[Line, ...]
    charts: tuple[charts.Chart, ...]
    charts_axis: tuple[drawing.Mark, ...]
    jobs: tuple[jobs.Section, ...]


def page(facts: Facts) -> Page:
    """The page of what was read."""
    found = members(facts.sessions)
    attention = tuple(_attention(facts, found))
    sections = tuple(jobs.sections(facts))
    scheduled = {job.name for job in facts.jobs}
    scheduled |= {spec.job for spec in facts.specs if spec.valid_to is None}
    running, held = tuple(work.running(facts)), tuple(work.held(facts))
    hosts = [one for one in found if one.state != "over"]
    local = facts.now.astimezone()
    return Page(
        title=f"{len(hosts)} hosts" if len(hosts) > 1 else facts.host,
        at=f"{local:%A, %d %B %Y, %H:%M:%S %Z}",
        made_at=rfc3339(facts.now),
        host=facts.host,
        version=facts.version,
        verdict=_verdict(len(attention)),
        figures=tuple(_figures(facts, len(hosts), len(scheduled), len(running), len(held))),
        attention=attention,
        hosts=tuple(found),
        hosts_unknown=facts.away and "The store is not reached, so nobody knows who is there.",
        orders=tuple(_orders(facts)),
        running=running,
        held=held,
        gate=tuple(work.gate(facts)),
        no_agent=facts.no_agent,
        axis=_axis(facts.now),
        cut=moment(facts.day_since, facts.now) if facts.day_since else "",
        lines=tuple(_lines(facts)),
        charts=tuple(charts.charts(facts.samples, facts.now)),
        charts_axis=charts.ago_axis(),
        jobs=sections,
    )


def _verdict(count: int) -> str:
    if not count:
        return "Nothing needs attention."
    return "One thing needs attention." if count == 1 else f"{count} things need attention."


def _attention(facts: Facts, found: Sequence[Member]) -> Iterator[Attention]:
    if facts.no_agent:
        yield Attention(facts.no_agent, facts.agent_fix)
    if facts.away:
        yield Attention(f"the store that hosts share is not reached: {facts.away}")
    told = facts.status or {}
    if told.get("barred"):
        yield Attention(f"{facts.host} starts nothing of the cluster's: {told['barred']}")
    for one in found:
        if one.state == "silent":
            sentence = f"{one.host} has been silent for longer than its TTL of {one.ttl}"
            yield Attention(sentence, "hostagent status --cluster")
    for sentence in mixed_specs(facts.sessions):
        yield Attention(sentence, "hostagent status --cluster")
    yield from _wrong_jobs(facts, told.get("alarms", ()))
    for run, hung in facts.hung.items():
        yield Attention(f"{run} may hang: it {hung}", f"hostagent logs {run}")


def _wrong_jobs(facts: Facts, alarms: Sequence[Mapping[str, Any]]) -> Iterator[Attention]:
    """Alarms; and of quarantines those that no alarm tells."""
    for alarm in alarms:
        yield Attention(alarm["sentence"], f"hostagent why {alarm['job']}")
    alarmed = {(alarm["job"], alarm["scope"]) for alarm in alarms}
    for out in facts.quarantines:
        if (out.job, out.scope) not in alarmed:
            sentence = f"{named(out.job, out.scope)} is in quarantine: {out.reason}"
            yield Attention(sentence, f"hostagent quarantine show {out.job}")


def _figures(facts: Facts, hosts: int, scheduled: int, running: int, held: int) -> Iterator[Figure]:
    begin = facts.since
    ended = [run for run in facts.day if run.attempt and run.ended_at and run.ended_at >= begin]
    failed = sum(run.outcome is Outcome.FAILED for run in ended)
    yield Figure(str(hosts), "host" if hosts == 1 else "hosts")
    yield Figure(str(scheduled), "job" if scheduled == 1 else "jobs")
    yield Figure(str(running), "running")
    yield Figure(str(held), "held")
    yield Figure(
        f"{len(ended):,}".replace(",", "\N{NARROW NO-BREAK SPACE}"), f"ran {_how_long(facts)}"
    )
    yield Figure(str(failed), "failed", is_bad=failed > 0)


def _how_long(facts: Facts) -> str:
    return f"since {moment(facts.day_since, facts.now)}" if facts.day_since else "in 24 h"


def _orders(facts: Facts) -> Iterator[str]:
    for one in facts.pauses:
        if one.until is not None and one.until <= facts.now:
            continue
        what = f"{one.target} {one.name}".strip()
        end = f"until {moment(one.until, facts.now)}" if one.until else "until that is lifted"
        since = relative(one.since, facts.now)
        verb = "held" if one.target is PauseTarget.BACKLOG else "paused"
        yield f"{what} is {verb} by {one.by}, since {since}, {end}: {one.reason}"


def _axis(now: datetime) -> Axis:
    since, until = now - DAY, now + AHEAD
    width = round((until - since) / drawing.MINUTE)
    marks = drawing.hours(since, until, MARKS_EVERY_H)
    now_at = round((now - since) / drawing.MINUTE)
    return Axis(
        width=width,
        now=now_at,
        now_at=drawing.percent(now_at / width),
        grid="".join(f"M{place} 0v24" for place, _ in marks),
        marks=tuple(
            drawing.Mark(drawing.percent(place / width), text)
            for place, text in marks
            if abs(place - now_at) > BESIDE_NOW and place < width - BESIDE_NOW / 2
        ),
    )


def _lines(facts: Facts) -> Iterator[Line]:
    ahead = due_between(facts.specs, facts.now, facts.now + AHEAD)
    lanes = {lane.name: lane for lane in by_job(facts.day, facts.specs, facts.since, facts.now)}
    coming = {named(job, scope): due for (job, scope), due in ahead.items()}
    for name in sorted({*lanes, *coming}):
        lane = lanes.get(name) or Lane(name, ())
        bars = drawing.bars(lane, facts.now - DAY, facts.now, coming.get(name, ()))
        yield Line(name.partition("@")[0], name, bars)
