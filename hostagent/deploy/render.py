"""A plan as text for a terminal, without colours. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from hostagent.compile.versions import told
from hostagent.deploy.fields import when
from hostagent.deploy.plan import ChangeKind, JobChange, Plan, UnitChange

_SIGNS = {
    ChangeKind.ADDED: "+",
    ChangeKind.CHANGED: "~",
    ChangeKind.REMOVED: "-",
    ChangeKind.RENAMED: ">",
}
_INDENT = "      "


def render_plan(plan: Plan, *, diff: bool) -> str:
    """The whole plan; with ``diff`` each unit file's unified diff, too. Ends with the summary.

    Where nothing is written, only ``diff`` says again how units differ by systemd.
    """
    says_all = diff or not plan.is_empty
    parts = [
        *(_job(change) for change in plan.jobs if change.kind is not ChangeKind.UNCHANGED),
        _listing("Settings", plan.settings),
        _listing("Repairs", (f"{unit}: {what}" for unit, what in plan.repairs)),
        _listing("Left alone", (f"{unit}: {what}" for unit, what in plan.left)),
        _listing("In the way, not made by apply", plan.foreign),
        _listing("Notes", told(plan.notes if says_all else plan.lasting_notes)),
        _diffs(plan.units) if diff else "",
        summary(plan),
    ]
    return "\n".join(part for part in parts if part)


def summary(plan: Plan) -> str:
    """``Plan: 2 to add, 1 to change, 0 to remove. Nothing will start now.``"""
    unchanged = plan.count(ChangeKind.UNCHANGED)
    if plan.is_empty:
        return f"No changes: what is deployed is what is wanted ({_count(unchanged, 'job')}).\n"
    counts = [
        f"{plan.count(ChangeKind.ADDED)} to add",
        f"{plan.count(ChangeKind.CHANGED)} to change",
        f"{plan.count(ChangeKind.REMOVED)} to remove",
    ]
    if renamed := plan.count(ChangeKind.RENAMED):
        counts.append(f"{renamed} to rename")
    if plan.repairs:
        counts.append(f"{len(plan.repairs)} to repair")
    if unchanged:
        counts.append(f"{unchanged} unchanged")
    starts = ", ".join(plan.starts_now)
    now = f"Starts now: {starts}." if starts else "Nothing will start now."
    finishes = " It finishes an apply that was interrupted." if plan.interrupted else ""
    refuses = " Apply refuses while files are in the way." if plan.foreign else ""
    return f"Plan: {', '.join(counts)}. {now}{finishes}{refuses}\n"


def _job(change: JobChange) -> str:
    lines = [f"  {_SIGNS[change.kind]} {_title(change)}"]
    width = max((len(field.key) for field in change.fields), default=0)
    lines += [
        f"{_INDENT}{field.key:<{width}}  {field.before or '(none)'} -> {field.after or '(none)'}"
        for field in change.fields
    ]
    lines += _runs(change)
    return "\n".join(lines) + "\n"


def _title(change: JobChange) -> str:
    if change.kind is ChangeKind.RENAMED:
        return f"{change.job} (was {change.was})"
    if change.kind is ChangeKind.ADDED and change.new:
        scopes = f", {_count(len(change.new.for_each), 'scope')}" if change.new.for_each else ""
        return f"{change.job}  {when(change.new.schedule)}{scopes}"
    if change.kind is ChangeKind.REMOVED:
        return f"{change.job}  a running run ends by itself; what is owed is abandoned (removed)"
    return change.job


def _runs(change: JobChange) -> Iterator[str]:
    if change.kind is ChangeKind.REMOVED:
        return
    if change.kind is ChangeKind.ADDED or change.next_before == change.next_after:
        yield f"{_INDENT}next    {_times(change.next_after)}"
    else:
        yield f"{_INDENT}before  {_times(change.next_before)}"
        yield f"{_INDENT}after   {_times(change.next_after)}"


def _times(times: Sequence[datetime]) -> str:
    """``2026-11-21 02:00, 11-22 02:00 UTC``: what does not change is not said again."""
    if not times:
        return "never"
    texts, day = [], ""
    has_seconds = any(at.second for at in times)
    for at in times:
        here = at.astimezone(UTC)
        date, clock = f"{here:%Y-%m-%d}", f"{here:%H:%M:%S}" if has_seconds else f"{here:%H:%M}"
        texts.append(clock if date == day else f"{date} {clock}")
        day = date
    return ", ".join(texts) + " UTC"


def _listing(title: str, lines: Iterable[str]) -> str:
    body = "".join(f"  {line}\n" for line in lines)
    return f"{title}\n{body}" if body else ""


def _diffs(units: Iterable[UnitChange]) -> str:
    return "".join("\n".join(unit.diff) + "\n\n" for unit in units)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
