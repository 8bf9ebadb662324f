"""The lines that crontab(5) and anacrontab(5) share: comments, ``NAME=value``, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hostagent.errors import Problem

_SETTING = re.compile(r"""\s*("[^"]*"|'[^']*'|[^\s="']+)\s*=\s*(.*?)\s*""")
_LONGEST = 100
_NO_SENTENCE = re.compile(r"[0-9*@-]|.*=|.*\bdom\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a variable, and where it was set."""

    value: str
    line: int


Settings = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is neither blank, comment nor setting, and what holds for it.

    ``comment`` is the sentence right above it, or empty. Lines count from 1.
    """

    number: int
    text: str
    comment: str
    settings: Settings


@dataclass(slots=True)
class File:
    """The lines of a file; ``problems`` fills as they are gone through."""

    path: str
    text: str
    problems: list[Problem] = field(default_factory=list)

    def lines(self) -> Iterator[Line]:
        """Every line that says what to run."""
        settings: dict[str, Setting] = {}
        comments: list[str] = []
        for number, text in enumerate(self.text.split("\n"), 1):
            stripped = text.strip(" \t\r")
            if stripped.startswith("#"):
                comments.append(stripped.lstrip("# \t"))
                continue
            if found := _SETTING.fullmatch(text):
                name, value = found[1].strip("\"'"), found[2]
                if value[:1] in {'"', "'"} and (len(value) < 2 or value[-1] != value[0]):
                    self.wrong(number, found.start(2) + 1, "the quote is not closed on its line")
                settings[name] = Setting(_unquoted(value), number)
            elif stripped:
                yield Line(number, text, _sentence(comments), dict(settings))
            comments = []

    def wrong(self, line: int, column: int, message: str, hint: str | None = None) -> None:
        """What is wrong, and where (from 1 on)."""
        self.problems.append(Problem(self.path, line, column, "", message, hint))


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
    return value[1:-1] if is_quoted else value


def _sentence(comments: list[str]) -> str:
    """A comment that tells what the line is for: one line, no headings, nothing commented out."""
    if len(comments) != 1 or len(comments[0]) > _LONGEST or _NO_SENTENCE.match(comments[0]):
        return ""
    return comments[0] if re.search(r"[A-Za-z]{2}", comments[0]) else ""
