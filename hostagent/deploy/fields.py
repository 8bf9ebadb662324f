"""What differs between two versions of a job, in the administrator's words. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from hostagent.codec import rfc3339
from hostagent.compile.escape import span
from hostagent.model import Backoff, Form, Job, Schedule


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One key of jobs.toml and its values as text; empty: not set."""

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before or '(none)'} -> {self.after or '(none)'}"


_SIZES = {"memory_max", "memory_high"}
_OWN_FORM = {"name", "schedule", "environment", "passthrough", "renamed_from"}
_OF_SCHEDULE = ("not_before", "not_after", "blackout", "jitter")


def differences(old: Job, new: Job) -> tuple[FieldChange, ...]:
    """The keys whose meaning changed, in the order of jobs.toml's groups."""
    return tuple(
        FieldChange(key, before, after)
        for key, before, after in _pairs(old, new)
        if before != after
    )


def when(schedule: Schedule) -> str:
    """A schedule as it was written: ``calendar "daily"``."""
    return "on_boot" if schedule.form is Form.ON_BOOT else f'{schedule.form} "{schedule.text}"'


def _pairs(old: Job, new: Job) -> Iterator[tuple[str, str, str]]:
    yield from _schedule_pairs(old.schedule, new.schedule)
    for field in dataclasses.fields(Job):
        if field.name not in _OWN_FORM:
            before, after = getattr(old, field.name), getattr(new, field.name)
            if before != after:
                yield field.name, _text(field.name, before), _text(field.name, after)
    yield from _named_pairs("environment", dict(old.environment), dict(new.environment))
    yield from _named_pairs("systemd", _directives(old), _directives(new))


def _schedule_pairs(old: Schedule, new: Schedule) -> Iterator[tuple[str, str, str]]:
    if old.form is new.form:
        yield str(old.form), old.text, new.text
        if old.text == new.text and old.calendar != new.calendar:
            yield str(old.form), ", ".join(old.calendar), ", ".join(new.calendar)
    else:
        yield "schedule", when(old), when(new)
    if old.text == new.text and old.every != new.every:
        yield "every", _text("every", old.every), _text("every", new.every)
    if old.text == new.text and old.at != new.at:
        yield "at", _text("at", old.at), _text("at", new.at)
    if new.form is not Form.ON_BOOT:
        yield "timezone", old.zone, new.zone
    if old.form is new.form is Form.EVERY:
        yield "anchor", _text("anchor", old.anchor), _text("anchor", new.anchor)
    for key in _OF_SCHEDULE:
        yield key, _text(key, getattr(old, key)), _text(key, getattr(new, key))


def _named_pairs(
    group: str, old: dict[str, str], new: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    for name in [*old, *(name for name in new if name not in old)]:
        yield f"{group}.{name}", old.get(name, ""), new.get(name, "")


def _directives(job: Job) -> dict[str, str]:
    found = {}
    for section, directive, values in job.passthrough:
        found[f"{section.lower()}.{directive}"] = ", ".join(values)
    return found


def _text(key: str, value: Any) -> str:
    """A value as jobs.toml would say it."""
    if key in _SIZES and value is not None:
        return _size(value)
    if key == "command":
        return shlex.join(value)
    if key == "ping_url" and value is not None:
        return _address(value)
    match value:
        case None:
            text = ""
        case bool():
            text = str(value).lower()
        case timedelta():
            text = span(value)
        case datetime():
            text = rfc3339(value)
        case tuple():
            text = ", ".join(":".join(v) if isinstance(v, tuple) else _text("", v) for v in value)
        case Backoff():
            named = {
                f.name: _text(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)
            }
            text = ", ".join(f"{name} {text}" for name, text in named.items() if text)
        case _:
            text = str(value)
    return text


def _address(url: str) -> str:
    """Whose it is, and whether it is another; the rest may be a secret."""
    digest = hashlib.sha256(url.encode()).hexdigest()[:8]
    return f"{urlsplit(url).hostname}/… ({digest})"


def _size(value: int) -> str:
    for unit, size in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if value and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)
