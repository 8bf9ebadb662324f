"""What the directives of a unit come to in a job, and what of them is named as not carried over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostagent.errors import Problem
from hostagent.importing import execline
from hostagent.importing.units import Value
from hostagent.spec.command import split
from hostagent.spec.passthrough import values_of
from hostagent.spec.spans import format_span, parse_span
from hostagent.spec.values import WrongValueError

_TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
_NAMES = ("n", "N", "p")


@dataclass(slots=True)
class Reading:
    """One timer and its service, named ``service``, on their way to a job.

    ``place`` is the value that is read now: what is raised is about it. ``passed`` is the job's
    ``systemd`` table.
    """

    service: str
    place: Value
    warnings: list[Problem] = field(default_factory=list)
    passed: dict[str, dict[str, Any]] = field(default_factory=dict)

    def warn(self, value: Value, message: str, hint: str | None = None) -> None:
        """Say something about a line."""
        self.warnings.append(Problem(value.path, value.line, 1, "", message, hint))

    def lost(
        self, directive: str, values: Iterable[Value], why: str, hint: str | None = None
    ) -> None:
        """Name what is not carried over."""
        for value in values:
            self.warn(value, f"{directive}= is not carried over: {why}", hint)

    def text(self, value: Value) -> str:
        """The value with its specifiers replaced; raises WrongValueError."""
        self.place = value
        return execline.resolved(value.text, execline.specifiers(self.service))

    def words(self, value: Value) -> list[str]:
        """The words of the value, unquoted, with their specifiers replaced.

        Raises:
            WrongValueError: they cannot be told, or a specifier has no like.
        """
        self.place = value
        known = execline.specifiers(self.service)
        return [execline.resolved(word, known) for word in split(value.text)]

    def command(self, value: Value) -> execline.Command:
        """The value as a command; raises WrongValueError."""
        self.place = value
        return execline.command(value.text, execline.specifiers(self.service))

    def span(self, value: Value) -> str:
        """The value as a duration of jobs.toml; raises WrongValueError."""
        self.place = value
        return format_span(parse_span(value.text))

    def pass_through(self, section: str, directive: str, values: Sequence[Value]) -> None:
        """Pass it to systemd as it is; specifiers that would name the new unit name the old."""
        known = execline.specifiers(self.service)
        texts = [value.text for value in values]
        for letter in _NAMES:
            texts = [text.replace(f"%{letter}", known[letter]) for text in texts]
        text: Any = texts[0] if len(texts) == 1 else texts
        try:
            values_of(section, directive, text)
        except WrongValueError as error:
            self.warn(values[0], error.message, error.hint)
        else:
            self.passed.setdefault(section, {})[directive] = text


def is_true(value: Value | None) -> bool:
    """Whether it is there and says yes."""
    return value is not None and value.text.lower() in _TRUE
