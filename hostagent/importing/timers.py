"""systemd's timers, each with the service that it starts, as jobs.

A directive becomes the key that says the same, else it is passed through under
``[job.NAME.systemd]``; what is neither is a warning at its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hostagent.errors import Problem
from hostagent.importing import services
from hostagent.importing.directives import Reading, is_true
from hostagent.importing.jobs import UTC, Draft, Imported, Table, collect
from hostagent.importing.units import Unit, Value
from hostagent.schedule.calendar import split_zone
from hostagent.spec.values import WrongValueError

_INTERVALS = ("OnUnitActiveSec", "OnUnitInactiveSec")
_STARTS = ("OnBootSec", "OnStartupSec", "OnActiveSec")
_SPREADS = ("RandomizedDelaySec", "RandomizedOffsetSec")
_OWN = {
    *("OnCalendar", *_INTERVALS, *_STARTS, *_SPREADS),
    *("Persistent", "FixedRandomDelay", "Unit"),
}

Named = Sequence[tuple[str, Value]]
"""Values with their directives."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A timer, and the service it starts; None where there is none."""

    timer: Unit
    service: Unit | None


def service_of(timer: Unit) -> str:
    """The name of the unit that the timer starts."""
    unit = timer.last("Timer", "Unit")
    return unit.text if unit else f"{timer.name.removesuffix('.timer')}.service"


def import_timers(pairs: Iterable[Pair], zone: str) -> Imported:
    """The jobs of all timers; ``zone`` is what those count in that name none."""
    drafts: list[Draft] = []
    warnings: list[Problem] = []
    for pair in pairs:
        reading = Reading(service_of(pair.timer), Value("", pair.timer.path, 1))
        try:
            drafts.append(_draft(pair, zone, reading))
        except WrongValueError as error:
            message = f"the job is not carried over: {error.message}"
            reading.warn(reading.place, message, error.hint)
        warnings += reading.warnings
    return collect(drafts, warnings)


def _draft(pair: Pair, zone: str, reading: Reading) -> Draft:
    """The job.

    Raises:
        WrongValueError: there is no job that does the same; it is about the reading's ``place``.
    """
    timer, service = pair.timer, pair.service
    if "@" in timer.name:
        hint = "write one job, with for_each for several instances"
        raise WrongValueError("it is a template, or an instance of one", hint)
    if service is None:
        raise WrongValueError(f"its service {service_of(timer)} is not found")
    when = _schedule(timer, zone, reading)
    place = reading.place
    said = service.last("Unit", "Description") or timer.last("Unit", "Description")
    table = {
        **({"description": reading.text(said)} if said else {}),
        "command": services.command(service, reading),
        **when,
        **_jitter(timer, reading),
        **services.limits(service, reading),
        **services.process(service, reading),
    }
    _others(timer, reading)
    services.others(service, reading)
    if reading.passed:
        table["systemd"] = reading.passed
    return Draft(place.path, place.line, timer.name.removesuffix(".timer"), table)


def _schedule(timer: Unit, zone: str, reading: Reading) -> Table:
    calendars = timer.all("Timer", "OnCalendar")
    intervals = [(d, value) for d in _INTERVALS for value in timer.all("Timer", d)]
    starts = [(d, value) for d in _STARTS for value in timer.all("Timer", d)]
    if calendars:
        for directive, value in (*intervals, *starts):
            reading.lost(directive, [value], "a job has one schedule, here OnCalendar=")
        reading.place = calendars[0]
        return _calendar(timer, [value.text for value in calendars], zone)
    if intervals:
        return _interval(intervals, starts, reading)
    if any(directive != "OnActiveSec" for directive, _ in starts):
        for directive, value in starts:
            if reading.span(value) != "0s":
                reading.lost(directive, [value], "the job runs as soon as the agent is up")
        return {"on_boot": True, "run_on": "each"}
    raise WrongValueError("the timer has no schedule that a job can have")


def _calendar(timer: Unit, texts: list[str], zone: str) -> Table:
    table: Table = {"calendar": texts[0] if len(texts) == 1 else texts}
    if zone not in UTC and not any(split_zone(text)[1] for text in texts):
        table["timezone"] = zone
    if not is_true(timer.last("Timer", "Persistent")):
        table["missed"] = "skip"
    return table


def _interval(intervals: Named, starts: Named, reading: Reading) -> Table:
    for directive, value in starts:
        reading.lost(directive, [value], "an interval has its own anchor, whatever boots")
    for directive, value in intervals[1:]:
        reading.lost(directive, [value], "a job has one schedule")
    directive, value = intervals[0]
    if directive == "OnUnitInactiveSec":
        why = "it counts from the end of a run, every from a fixed anchor"
        reading.warn(value, f"OnUnitInactiveSec= is taken for an interval: {why}")
    return {"every": reading.span(value)}


def _jitter(timer: Unit, reading: Reading) -> Table:
    for directive in _SPREADS:
        if value := timer.last("Timer", directive):
            return {"jitter": reading.span(value)}
    return {}


def _others(timer: Unit, reading: Reading) -> None:
    for directive, values in timer.of("Timer"):
        if directive not in _OWN:
            reading.pass_through("timer", directive, values)
    for directive, values in timer.of("Unit"):
        if directive not in {"Description", "Documentation"}:
            reading.lost(directive, values, "a job says it of its service only")
