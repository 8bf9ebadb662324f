"""What an apply would change, for people: per job, per unit, and when each would run next. Pure.

It is made of the same decision (``actions.decide``) that ``apply`` carries out, so a plan that
says "no changes" is followed by an apply that does nothing.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from hostagent.codec import rfc3339
from hostagent.compile.versions import Note
from hostagent.deploy.actions import Actions
from hostagent.deploy.disk import Found
from hostagent.deploy.fields import FieldChange, differences
from hostagent.deploy.generations import Generation
from hostagent.model import Job, Manifest, Schedule
from hostagent.schedule.occurrences import between

NEXT = 5
"""How many coming occurrences are shown before and after."""

_HORIZON = timedelta(days=366 * 10)


class ChangeKind(StrEnum):
    """What becomes of a job or a unit file."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    RENAMED = "renamed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class JobChange:
    """One job. ``old``/``new`` are None where it does not exist; ``was`` is a renamed job's name.

    ``next_before`` and ``next_after`` are the coming occurrences (without jitter, UTC); empty for
    an unchanged job.
    """

    job: str
    kind: ChangeKind
    fields: tuple[FieldChange, ...] = ()
    was: str | None = None
    next_before: tuple[datetime, ...] = ()
    next_after: tuple[datetime, ...] = ()
    old: Job | None = None
    new: Job | None = None


@dataclass(frozen=True, slots=True)
class UnitChange:
    """One unit file and how its text changes, as lines of a unified diff."""

    unit: str
    kind: ChangeKind
    diff: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an apply would do. ``starts_now`` are the jobs it would start: none, ever.

    ``repairs`` is what has drifted and would be mended, ``left`` what stays as it is, ``foreign``
    the files that make the apply refuse. ``settings`` are the parts of the manifest besides the
    jobs that change (``pools``, ``notify``, …).
    """

    jobs: tuple[JobChange, ...]
    units: tuple[UnitChange, ...]
    settings: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    repairs: tuple[tuple[str, str], ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    foreign: tuple[str, ...] = ()
    interrupted: bool = False
    starts_now: tuple[str, ...] = ()

    def count(self, kind: ChangeKind) -> int:
        """How many jobs change so."""
        return sum(change.kind is kind for change in self.jobs)

    @property
    def lasting_notes(self) -> tuple[Note, ...]:
        """Those that are about a job, and not about a directive of its units (``LikeThis``)."""
        return tuple(note for note in self.notes if note.directive.islower())

    @property
    def is_empty(self) -> bool:
        """Whether an apply would do nothing."""
        return not (
            any(change.kind is not ChangeKind.UNCHANGED for change in self.jobs)
            or self.units
            or self.settings
            or self.repairs
            or self.foreign
            or self.interrupted
        )

    def to_json(self) -> dict[str, Any]:
        """For scripts: everything but the unchanged jobs' definitions."""
        return {
            "jobs": [_job_json(change) for change in self.jobs],
            "units": [asdict(unit) for unit in self.units],
            "settings": list(self.settings),
            "notes": [asdict(note) for note in self.notes],
            "repairs": [{"unit": unit, "what": what} for unit, what in self.repairs],
            "left": [{"unit": unit, "what": what} for unit, what in self.left],
            "foreign": list(self.foreign),
            "interrupted": self.interrupted,
            "starts_now": list(self.starts_now),
            "summary": {str(kind): self.count(kind) for kind in ChangeKind},
            "changes": not self.is_empty,
        }


def plan(
    old: Manifest | None,
    new: Generation,
    found: Mapping[str, Found],
    actions: Actions,
    *,
    notes: Sequence[Note] = (),
    interrupted: bool = False,
    at: datetime,
) -> Plan:
    """Compare what is deployed with what is wanted; ``found`` is what stands on the disk."""
    return Plan(
        jobs=tuple(_job_changes(old, new.manifest, at)),
        units=tuple(_unit_changes(new, found, actions)),
        settings=tuple(_setting_changes(old, new.manifest)),
        notes=tuple(notes),
        repairs=actions.repaired,
        left=actions.left,
        foreign=actions.foreign,
        interrupted=interrupted,
    )


def _job_changes(old: Manifest | None, new: Manifest, at: datetime) -> Iterator[JobChange]:
    before = {job.name: job for job in old.jobs} if old else {}
    carried = {
        job.renamed_from
        for job in new.jobs
        if job.renamed_from in before and job.name not in before
    }
    for job in new.jobs:
        yield _job_change(before.get(job.name), before.get(job.renamed_from or ""), job, at)
    kept = {job.name for job in new.jobs} | carried
    for job in before.values():
        if job.name not in kept:
            runs = coming(job.schedule, at)
            yield JobChange(job.name, ChangeKind.REMOVED, next_before=runs, old=job)


def _job_change(same: Job | None, earlier: Job | None, job: Job, at: datetime) -> JobChange:
    before = same or earlier
    if before is None:
        runs = coming(job.schedule, at)
        return JobChange(job.name, ChangeKind.ADDED, next_after=runs, new=job)
    fields = differences(before, job)
    if same and not fields:
        return JobChange(job.name, ChangeKind.UNCHANGED, old=same, new=job)
    after = coming(job.schedule, at)
    is_same_schedule = before.schedule.hash == job.schedule.hash
    return JobChange(
        job.name,
        ChangeKind.CHANGED if same else ChangeKind.RENAMED,
        fields,
        was=None if same else before.name,
        next_before=after if is_same_schedule else coming(before.schedule, at),
        next_after=after,
        old=before,
        new=job,
    )


def coming(schedule: Schedule, at: datetime) -> tuple[datetime, ...]:
    """The next ``NEXT`` occurrences after ``at``, of the next ten years."""
    return tuple(itertools.islice(between(schedule, at, at + _HORIZON), NEXT))


def _unit_changes(
    new: Generation, found: Mapping[str, Found], actions: Actions
) -> Iterator[UnitChange]:
    for name in sorted({*actions.write, *actions.remove}):
        before = found[name].data.decode(errors="replace") if name in found else ""
        after = new.files.get(name, "") if name in actions.write else ""
        kind = ChangeKind.CHANGED
        if not before:
            kind = ChangeKind.ADDED
        elif name in actions.remove:
            kind = ChangeKind.REMOVED
        yield UnitChange(name, kind, _diff(name, before, after))


def _diff(name: str, before: str, after: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"a/{name}" if before else "/dev/null",
        f"b/{name}" if after else "/dev/null",
        lineterm="",
    )
    return tuple(lines)


def _setting_changes(old: Manifest | None, new: Manifest) -> Iterator[str]:
    for key in ("host", "systemd", "pools", "notify", "hostagent"):
        if old and getattr(old, key) != getattr(new, key):
            values = getattr(old, key), getattr(new, key)
            is_plain = all(isinstance(value, str | int) for value in values)
            yield f"{key}: {values[0]} -> {values[1]}" if is_plain else f"{key} changed"


def _job_json(change: JobChange) -> dict[str, Any]:
    return {
        "job": change.job,
        "kind": str(change.kind),
        "was": change.was,
        "fields": [asdict(field) for field in change.fields],
        "next_before": [rfc3339(at) for at in change.next_before],
        "next_after": [rfc3339(at) for at in change.next_after],
    }
