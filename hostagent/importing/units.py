"""Reading unit files, as systemd.syntax(7) has them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hostagent.errors import Problem
from hostagent.spec.values import shown

_SECTION = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class Value:
    """What one line assigns, and where it begins."""

    text: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit with its drop-ins: for each section and directive the values that count, in order."""

    name: str
    path: str
    values: Mapping[tuple[str, str], tuple[Value, ...]]

    def all(self, section: str, directive: str) -> tuple[Value, ...]:
        """Every value of a directive that is a list."""
        return self.values.get((section, directive), ())

    def last(self, section: str, directive: str) -> Value | None:
        """The value of a directive that has one."""
        return next(iter(self.all(section, directive)[::-1]), None)

    def of(self, section: str) -> Iterator[tuple[str, tuple[Value, ...]]]:
        """The directives of a section."""
        for (where, directive), values in self.values.items():
            if where == section and values:
                yield directive, values


def read(name: str, fragments: Iterable[tuple[str, str]], problems: list[Problem]) -> Unit:
    """The unit of that name from (path, text) of its file and of its drop-ins, in their order.

    Lines that are none go to ``problems``.
    """
    values: dict[tuple[str, str], tuple[Value, ...]] = {}
    where = ""
    for path, text in fragments:
        where = where or path
        for section, directive, value in _assignments(path, text, problems):
            before = values.get((section, directive), ())
            values[section, directive] = (*before, value) if value.text else ()
    return Unit(name, where, values)


def _assignments(path: str, text: str, problems: list[Problem]) -> Iterator[tuple[str, str, Value]]:
    section = ""
    for number, line in _logical(text):
        if found := _SECTION.fullmatch(line):
            section = found[1]
            continue
        directive, equals, value = line.partition("=")
        if not equals or not directive.strip():
            message = f"{shown(line)} is neither a [Section] nor Directive=value"
            problems.append(Problem(path, number, 1, "", message))
        elif not section:
            message = f"{shown(directive.strip())} stands before the first [Section]"
            problems.append(Problem(path, number, 1, "", message))
        else:
            yield section, directive.strip(), Value(value.strip(), path, number)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """The lines with what they go on with, each with the number at which it begins.

    Blank lines and comments are left out, within a line that goes on too.
    """
    begun, parts = 0, list[str]()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped[:1] in {"#", ";"} or (not stripped and not parts):
            continue
        begun = begun if parts else number
        if stripped.endswith("\\"):
            parts.append(stripped[:-1])
            continue
        yield begun, " ".join([*parts, stripped]).strip()
        parts = []
    if parts:
        yield begun, " ".join(parts).strip()
