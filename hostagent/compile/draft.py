"""One job on its way to its units: what was wrong with it, and what its target cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ParamSpec

from hostagent.compile import escape
from hostagent.compile.versions import FLOOR, Note, why_not
from hostagent.errors import Problem
from hostagent.model import Job

P = ParamSpec("P")
Directive = tuple[str, str]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z")


@dataclass(frozen=True, slots=True)
class Target:
    """What the units are for: systemd's major version, the host's name, a user's manager or not."""

    systemd: int = FLOOR
    host: str = "localhost"
    user: bool = False


@dataclass(slots=True)
class Draft:
    """A job, its target, the file it is from, and the problems and notes gathered so far."""

    job: Job
    target: Target
    source: str = "jobs.toml"
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def spell(self, key: str, make: Callable[P, str], *args: P.args, **kwargs: P.kwargs) -> str:
        """What ``make`` returns; its ValueError becomes a problem of ``job.NAME.KEY``."""
        try:
            return make(*args, **kwargs)
        except ValueError as error:
            name = f"job.{self.job.name}.{key}" if key else f"job.{self.job.name}"
            self.problems.append(Problem(self.source, 0, 0, name, str(error)))
            return ""

    def note(self, directive: str, text: str) -> None:
        """Tell the administrator; the same words for every job, so that they can be summed up."""
        self.notes.append(Note(self.job.name, directive, text))

    def known(self, section: str, directives: Iterable[Directive]) -> list[Directive]:
        """Those that the target's systemd has; the others are left out without a word."""
        return [
            (name, value)
            for name, value in directives
            if why_not(section, name, self.target.systemd) is None
        ]

    def passthrough(self, section: str) -> list[Directive]:
        """The lines of [job.NAME.systemd.SECTION]; what the target's systemd lacks is noted."""
        lines: list[Directive] = []
        for where, name, values in self.job.passthrough:
            if where.lower() != section.lower():
                continue
            key = f"systemd.{section.lower()}.{name}"
            if reason := why_not(section, self.spell(key, _directive, name), self.target.systemd):
                self.note(name, f"left out: {reason}")
                continue
            lines += [(name, self.spell(key, escape.raw, value)) for value in values]
        return lines


def _directive(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not the name of a directive")
    return name
