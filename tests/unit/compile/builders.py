"""Jobs for the tests of compile: one that needs nothing said, and changes to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w

from hostagent.compile.draft import Target
from hostagent.compile.units import Compiled, compile_spec
from hostagent.model import Form, Job, Schedule, Spec
from hostagent.spec.load import load

DAILY = Schedule(Form.CALENDAR, "daily", calendar=("*-*-* 00:00:00",), zone="Europe/Berlin")
EVERY = Schedule(
    Form.EVERY, "36h", every=timedelta(hours=36), anchor=datetime(2026, 1, 1, tzinfo=UTC)
)
ON_BOOT = Schedule(Form.ON_BOOT, "on_boot")


def job(name: str = "backup", **changes: Any) -> Job:
    """A daily job that runs /usr/bin/backup for at most an hour, with changes."""
    fields: dict[str, Any] = {
        "name": name,
        "command": ("/usr/bin/backup",),
        "schedule": DAILY,
        "timeout": timedelta(hours=1),
    }
    return Job(**(fields | changes))


def compiled(*jobs: Job, systemd: int = 252, user: bool = False) -> Compiled:
    """The units of ``jobs`` on host web1."""
    return compile_spec(Spec(jobs), Target(systemd=systemd, host="web1", user=user))


def spec_of(table: dict[str, Any]) -> Spec:
    """The spec of a jobs.toml, given as ``tests.strategies.specs`` gives it.

    What only compile refuses is taken out: a credential's path with a space (decision 0103).
    """
    tables = [table.get("defaults", {}), *table.get("profile", {}).values(), *table["job"].values()]
    for one in tables:
        for name, source in list(one.get("credentials", {}).items()):
            one["credentials"][name] = source.replace(" ", "_")
    with TemporaryDirectory() as place:
        file = Path(place, "jobs.toml")
        file.write_text(tomli_w.dumps(table), encoding="utf-8")
        return load(file, check_host=False).spec


def sections(text: str) -> dict[str, list[tuple[str, str]]]:
    """A unit file's directives by section, in order: comments and blank lines do not count."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for line in _logical_lines(text):
        if match := re.fullmatch(r"\[(.+)\]", line):
            current = found.setdefault(match[1], [])
        else:
            name, equals, value = line.partition("=")
            assert equals, f"neither a section nor an assignment: {line!r}"
            current.append((name, value))
    return found


def values(text: str, section: str, directive: str) -> list[str]:
    """All values that a unit file gives one directive."""
    return [value for name, value in sections(text).get(section, []) if name == directive]


def _logical_lines(text: str) -> Iterator[str]:
    """Lines as systemd reads them: ended by CR, LF or NUL, joined after a backslash."""
    whole = ""
    for line in re.split(r"[\r\n\0]", text):
        if not whole and (not line.strip() or line.lstrip()[0] in "#;"):
            continue
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1] + " "
            continue
        yield whole
        whole = ""
