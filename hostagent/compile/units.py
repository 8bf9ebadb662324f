"""A resolved spec becomes the text of all its units, for one target. Deterministic to the byte.

Nothing is read, written or asked of systemd here; the time is not known either. What a value or
a job makes impossible is an InputError with every such problem, each under the job's key
(``job.NAME.environment.KEY``); the caller knows where that key stands in which file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hostagent.compile import names
from hostagent.compile.draft import Draft, Target
from hostagent.compile.service import service
from hostagent.compile.templates import render
from hostagent.compile.timer import timer
from hostagent.compile.versions import Note
from hostagent.errors import InputError, Problem
from hostagent.model import Lane, Spec, Unit

WEIGHTS = {Lane.CRITICAL: 400, Lane.NORMAL: 100, Lane.BULK: 20}
"""CPUWeight= and IOWeight= of each lane's slice: its share while other lanes want theirs."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """``files``: each unit file's text, by name, sorted. ``wants``: (unit, target) to enable."""

    files: dict[str, str]
    units: tuple[Unit, ...]
    wants: tuple[tuple[str, str], ...]
    notes: tuple[Note, ...]


def compile_spec(spec: Spec, target: Target) -> Compiled:
    """The units of every job, and their slices. InputError lists all that cannot be compiled."""
    files = _slices({job.lane for job in spec.jobs})
    units: list[Unit] = []
    problems: list[Problem] = []
    notes: set[Note] = set()
    source = spec.sources[0][0] if spec.sources else "jobs.toml"
    for job in spec.jobs:
        draft = Draft(job, target, source)
        try:
            units += names.units_of(job, target.host)
            files |= _files(draft)
        except names.TooLongError as error:
            draft.problems.append(Problem(source, 0, 0, f"job.{job.name}", str(error)))
        problems += draft.problems
        notes.update(draft.notes)
    if problems:
        raise InputError(problems)
    return Compiled(
        files=dict(sorted(files.items())),
        units=tuple(units),
        wants=tuple((unit.timer, "timers.target") for unit in units if unit.timer),
        notes=tuple(sorted(notes)),
    )


def _files(draft: Draft) -> dict[str, str]:
    job = draft.job
    fan_out = bool(job.for_each)
    files = {names.service_name(job.name, fan_out=fan_out): service(draft)}
    if names.has_timer(job):
        files[names.timer_name(job.name, fan_out=fan_out)] = timer(draft)
    else:
        for name, _ in draft.passthrough("Timer"):
            draft.note(name, "left out: a job that runs on_boot has no timer")
    return files


def _slices(lanes: Iterable[Lane]) -> dict[str, str]:
    """The slices of the lanes in use, and the one they are all below."""
    used = sorted(lanes)
    if not used:
        return {}
    root = render("slice.j2", description="The jobs of hostagent", directives=())
    files = {names.ROOT_SLICE: root}
    for lane in used:
        weight = str(WEIGHTS[lane])
        files[names.slice_name(lane)] = render(
            "slice.j2",
            description=f"The jobs of hostagent's lane {lane}",
            directives=(("CPUWeight", weight), ("IOWeight", weight)),
        )
    return files
