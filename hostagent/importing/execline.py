"""The commands of a service as one command of a job.

One command without variables stays as it is. All else becomes a script for a shell, which does what
systemd does: one after the other until one fails, ``${NAME}`` as one word, ``$NAME`` as several.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hostagent.importing.shell import SHELL, plain
from hostagent.spec.command import split
from hostagent.spec.values import WrongValueError, shown

_PREFIXES = re.compile(r"[@:+!|-]*")
_PRIVILEGED = frozenset("+!|")
_SPECIFIER = re.compile(r"%([A-Za-z%])")
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SEVERAL = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*")

_FIXED = {
    "%": "%",
    "t": "/run",
    "S": "/var/lib",
    "C": "/var/cache",
    "L": "/var/log",
    "E": "/etc",
    "T": "/tmp",  # noqa: S108 -- what systemd makes of it
    "V": "/var/tmp",  # noqa: S108 -- as above
    "h": "/root",
    "u": "root",
    "U": "0",
}
"""The specifiers of systemd.unit(5) that are the same in every unit of the system."""


@dataclass(frozen=True, slots=True)
class Command:
    """One ``Exec…=``: its words, whether it may fail, and the prefixes that have no like."""

    words: tuple[str, ...]
    may_fail: bool
    expands: bool
    lost: str


def specifiers(unit: str) -> Mapping[str, str]:
    """What the letters behind ``%`` stand for in a unit of that name."""
    stem = unit.rpartition(".")[0]
    return {**_FIXED, "n": unit, "N": stem, "p": stem}


def resolved(text: str, known: Mapping[str, str]) -> str:
    """The text with its specifiers replaced.

    Raises:
        WrongValueError: one depends on the host, or is unknown.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise WrongValueError(f'"{found[0]}" has no like in a job', "write what it stands for")
        return known[found[1]]

    return _SPECIFIER.sub(value, text)


def command(text: str, known: Mapping[str, str]) -> Command:
    """One ``Exec…=`` taken apart.

    Raises:
        WrongValueError: it is not one command, or has a specifier that is not ``known``.
    """
    found = _PREFIXES.match(text)
    prefixes = found[0] if found else ""
    words = [resolved(word, known) for word in split(text[len(prefixes) :])]
    if "@" in prefixes:
        del words[1:2]
    if not words:
        raise WrongValueError(f"{shown(text)} is no command")
    lost = "".join(sorted(_PRIVILEGED & set(prefixes)))
    return Command(tuple(words), "-" in prefixes, ":" not in prefixes, lost)


def joined(commands: Sequence[Command]) -> str | list[str]:
    """The ``command`` of jobs.toml that runs all of them."""
    first = commands[0]
    words = [_literal(word) if first.expands else word for word in first.words]
    if len(commands) == 1 and not first.may_fail and None not in words:
        return plain([word for word in words if word is not None])
    if len(commands) == 1:
        script = _in_shell(first)
        return [SHELL, "-c", f"{script} || :" if first.may_fail else f"exec {script}"]
    parts = [f"{{ {_in_shell(c)} || :; }}" if c.may_fail else _in_shell(c) for c in commands]
    return [SHELL, "-c", " && ".join(parts)]


def _literal(word: str) -> str | None:
    """The word where no variable is in it, a doubled dollar being one."""
    if _SEVERAL.fullmatch(word) or any(found[1] for found in _VARIABLE.finditer(word)):
        return None
    return word.replace("$$", "$")


def _in_shell(command: Command) -> str:
    return " ".join(
        _quoted(word) if command.expands else shlex.quote(word) for word in command.words
    )


def _quoted(word: str) -> str:
    """The word for a shell, its variables still to be replaced."""
    if _SEVERAL.fullmatch(word):
        return word
    parts, start = [], 0
    for found in _VARIABLE.finditer(word):
        literal = word[start : found.start()] + ("" if found[1] else "$")
        parts += [shlex.quote(literal)] if literal else []
        parts += [f'"{found[0]}"'] if found[1] else []
        start = found.end()
    rest = word[start:]
    return "".join([*parts, shlex.quote(rest)] if rest or not parts else parts)
