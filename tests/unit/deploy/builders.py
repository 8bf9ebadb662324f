"""Small manifests, generations and facts for the tests of deploy's decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hostagent.compile.draft import Target
from hostagent.compile.units import compile_spec
from hostagent.deploy.actions import Facts
from hostagent.deploy.apply import desired
from hostagent.deploy.disk import Found, Kind
from hostagent.deploy.generations import Generation
from hostagent.model import Form, Job, Manifest, Schedule, Spec

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def job(name: str, calendar: str = "*-*-* 03:00:00", **changes: Any) -> Job:
    """A job with a calendar."""
    schedule = Schedule(Form.CALENDAR, calendar, calendar=(calendar,))
    return replace(Job(name, ("/bin/true",), schedule, timeout=timedelta(hours=1)), **changes)


def generation(*jobs: Job, number: int = 1) -> Generation:
    """What an apply of the jobs deploys."""
    spec, target = Spec(jobs), Target(252, "host")
    made = desired(spec, compile_spec(spec, target), target, AT)
    return replace(made, manifest=replace(made.manifest, generation=number))


def on_disk(*generations: Generation, **others: str) -> dict[str, Found]:
    """Unit files as they stand when the generations were written, later ones on top."""
    texts = {name: text for g in generations for name, text in g.files.items()}
    return {name: Found(Kind.FILE, text.encode()) for name, text in (texts | others).items()}


def facts(
    current: Generation | None = None,
    *,
    begun: Iterable[Manifest] = (),
    files: Mapping[str, Found] | None = None,
    wants: Iterable[tuple[str, str]] | None = None,
    loaded: Mapping[str, str] | None = None,
) -> Facts:
    """What is found where ``current`` stands undisturbed, but for what is given."""
    if current is None:
        return Facts(None, tuple(begun), files or {}, set(wants or ()), loaded or {})
    timers = {unit.timer: "active" for unit in current.manifest.units if unit.timer}
    return Facts(
        current.manifest,
        tuple(begun),
        on_disk(current) if files is None else files,
        set(current.manifest.wants if wants is None else wants),
        timers if loaded is None else loaded,
    )
