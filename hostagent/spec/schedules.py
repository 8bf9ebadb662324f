"""From the keys of a draft to its ``model.Schedule``: one form, one zone, instants in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from hostagent.codec import rfc3339
from hostagent.errors import Problem
from hostagent.model import Form, Schedule
from hostagent.schedule import blackout, calendar, cron, interval, occurrences
from hostagent.schedule.errors import CalendarError
from hostagent.schedule.zones import EPOCH, zone_of
from hostagent.spec.files import Document
from hostagent.spec.resolve import FORMS, Draft
from hostagent.spec.spans import format_span

Report = Callable[[tuple[Document, Problem]], None]

EXAMPLE = 'write "daily" or "*-*-* 02:00"'
_LIKE_ZONE = re.compile(r"[A-Z][A-Za-z_]+/[A-Za-z][A-Za-z0-9_+/-]*")


def build_schedule(draft: Draft, report: Report) -> Schedule | None:
    """The schedule, without its jitter; None when a problem (told to ``report``) is in the way."""
    form = _form(draft, report)
    faults: list[Problem] = []

    def counted(found: tuple[Document, Problem]) -> None:
        faults.append(found[1])
        report(found)

    expressions, zone = _zone(draft, counted)
    expressions = _checked(draft, form, expressions, zone, counted)
    _check_blackout(draft, zone, counted)
    instants = {
        key: _instant(draft, key, zone, counted)
        for key in ("at", "anchor", "not_before", "not_after")
    }
    if "anchor" in draft.values and form is not None and form is not Form.EVERY:
        counted(draft.at("anchor").problem("only every has an anchor", "take it out", key=True))
    if form is None or faults or draft.broken & {*FORMS, *instants, "timezone", "blackout"}:
        return None
    every = draft.values.get("every")
    anchor = instants["anchor"]
    if every and anchor is None:
        anchor = interval.default_anchor(draft.values.get("renamed_from", draft.name), every)
    schedule = Schedule(
        form=form,
        text=_text(draft, form, instants["at"]),
        calendar=expressions,
        zone=zone if _is_in_wall_time(draft, form) else "UTC",
        every=every,
        anchor=anchor,
        at=instants["at"],
        not_before=instants["not_before"],
        not_after=instants["not_after"],
        blackout=tuple(draft.values.get("blackout", ())),
    )
    return schedule if _elapses(draft, schedule, report) else None


def _is_in_wall_time(draft: Draft, form: Form) -> bool:
    """Whether the zone says anything; if not, it must not make schedules differ."""
    return form in {Form.CALENDAR, Form.CRON} or "blackout" in draft.values


def forms_of(draft: Draft) -> list[str]:
    """The forms of schedule that were written, be their values good or not."""
    return [form for form in FORMS if draft.has(form) and draft.values.get(form) is not False]


def _form(draft: Draft, report: Report) -> Form | None:
    written = forms_of(draft)
    for other in written[1:]:
        message = f'"{other}" stands beside "{written[0]}"; a job has one schedule'
        report(draft.at(other).problem(message, "take one of them out", key=True))
    return Form(written[0]) if len(written) == 1 else None


def _zone(draft: Draft, report: Report) -> tuple[tuple[str, ...], str]:
    """The calendar's expressions without their zone, and the schedule's zone.

    After a problem the zone is UTC, so that what else is wrong is found too.
    """
    written: str | None = draft.values.get("timezone")
    if written is not None and (wrong := _zone_error(written)):
        report(draft.at("timezone").problem(wrong.message, wrong.hint))
        written = None
    plain: list[str] = []
    zones: dict[str | None, int] = {}
    for index, text in enumerate(draft.values.get("calendar", ())):
        expression, zone = calendar.split_zone(text)
        head, _, last = expression.rpartition(" ")
        if zone is None and _LIKE_ZONE.fullmatch(last) and (wrong := _zone_error(last)):
            report(draft.at("calendar").problem(wrong.message, wrong.hint, index))
            expression = head
        else:
            zones.setdefault(zone, index)
        plain.append(expression)
    return tuple(plain), _one_zone(draft, written, zones, report)


def _one_zone(
    draft: Draft, written: str | None, zones: dict[str | None, int], report: Report
) -> str:
    """The one zone of all expressions; ``zones`` maps each suffix to the first that has it."""
    suffixes = [zone for zone in zones if zone]
    place = draft.at("calendar")
    if not suffixes:
        return written or "UTC"
    if len(zones) > 1:
        message = "all expressions of a job are meant in one zone"
        report(place.problem(message, "use timezone", sorted(zones.values())[1]))
    elif written and written != suffixes[0] and not draft.is_nearer("calendar", "timezone"):
        message = f'ends in the zone {suffixes[0]}, but timezone is "{written}"'
        report(place.problem(message, "take one of them out", zones[suffixes[0]]))
    return suffixes[0]


def _checked(
    draft: Draft, form: Form | None, expressions: tuple[str, ...], zone: str, report: Report
) -> tuple[str, ...]:
    """The OnCalendar expressions of a calendar or cron schedule, each of which elapses."""
    for index, expression in enumerate(expressions):
        wrong = _calendar_error(expression, zone)
        if wrong:
            hint = wrong.hint or EXAMPLE
            report(draft.at("calendar").problem(wrong.message, hint, index))
    if "cron" not in draft.values:
        return expressions
    try:
        translated = cron.to_calendar(draft.values["cron"])
    except CalendarError as error:
        report(draft.at("cron").problem(error.message, error.hint))
        return ()
    if all(_calendar_error(expression, zone) for expression in translated):
        report(draft.at("cron").problem(f'"{draft.values["cron"]}" never elapses'))
    return translated if form is Form.CRON else expressions


@lru_cache(maxsize=65536)
def _calendar_error(expression: str, zone: str) -> CalendarError | None:
    try:
        calendar.check(expression, zone)
    except CalendarError as error:
        return error
    return None


def _zone_error(name: str) -> CalendarError | None:
    """What is wrong with the name of a zone."""
    try:
        zone_of(name)
    except CalendarError as error:
        return error
    return None


def _check_blackout(draft: Draft, zone: str, report: Report) -> None:
    for index, text in enumerate(draft.values.get("blackout", ())):
        try:
            blackout.check(text, zone)
        except CalendarError as error:
            report(draft.at("blackout").problem(error.message, error.hint, index))


def _instant(draft: Draft, key: str, zone: str, report: Report) -> datetime | None:
    """The instant in UTC; one without an offset is meant in the zone."""
    value: datetime | None = draft.values.get(key)
    if value is None:
        return None
    if key == "anchor" and value.microsecond:
        report(draft.at(key).problem("is not a whole second"))
        return None
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    instant = value.replace(tzinfo=zone_of(zone)).astimezone(UTC)
    if instant.astimezone(zone_of(zone)).replace(tzinfo=None) != value:
        message = f"{value.isoformat(' ')} does not exist in {zone}: the clocks are put forward"
        report(draft.at(key).problem(message, "write another time, or an offset"))
        return None
    return instant


def _elapses(draft: Draft, schedule: Schedule, report: Report) -> bool:
    """Whether anything lies between not_before and not_after."""
    first, last = schedule.not_before, schedule.not_after
    if schedule.form is Form.ON_BOOT or (first is None and last is None):
        return True
    if first and last and first >= last:
        report(draft.at("not_after").problem(f"is no later than not_before, {rfc3339(first)}"))
        return False
    if occurrences.next_after(schedule, EPOCH) is None:
        key = "not_after" if last else "not_before"
        report(draft.at(key).problem("leaves no occurrence of the schedule"))
        return False
    return True


def _text(draft: Draft, form: Form, at: datetime | None) -> str:
    """The schedule as people read it."""
    if form is Form.CALENDAR:
        return "; ".join(draft.values["calendar"])
    if form is Form.CRON:
        return str(draft.values["cron"]).strip()
    if form is Form.EVERY:
        return format_span(draft.values["every"])
    return rfc3339(at) if at else "on_boot"
