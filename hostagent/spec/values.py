"""The error that a single value raises, and the checks on text that every key shares.

What systemd can carry decides what is refused here: a value is kept literally and escaped by
``hostagent.compile``, so anything that no escaping can carry has to be named now, with its place.
"""

from __future__ import annotations

import datetime as dt
import difflib
import itertools
import re
from collections.abc import Iterable

from hostagent.model import NONCHARACTER

MAX_ARGUMENT = 128 * 1024 - 1
"""Bytes in one argument or one ``NAME=value`` (execve(2): MAX_ARG_STRLEN less its NUL)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_UNCARRIED = re.compile("\0|" + NONCHARACTER.pattern)
_SHOWN = 60
_COMPARED = 2000


class WrongValueError(ValueError):
    """A value that cannot be used; ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def shown(value: object) -> str:
    """The value as a message shows it: short, on one line, in the quotes of TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        text = str(value)
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    text = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return '"' + _CONTROL.sub(lambda m: f"\\u{ord(m[0]):04x}", text.replace("\n", "\\n")) + '"'


def kind_of(value: object) -> str:
    """What a value is, for messages that must not show it."""
    for kind, word in (
        (bool, "a boolean"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        (list, "an array"),
        (dict, "a table"),
        (dt.date, "a date"),
        (dt.time, "a time of day"),
    ):
        if isinstance(value, kind):
            return word
    return type(value).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "…"?``, or nothing when no known word is near."""
    near = nearest(word, known)
    return f'; did you mean "{near}"?' if near else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like ``word``, if any is."""
    if len(word) > 200:
        return None
    folded = {k.lower(): k for k in sorted(itertools.islice(known, _COMPARED), reverse=True)}
    close = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def argument(text: str) -> str:
    """Check one argument of a command; anything but NUL goes, up to ``MAX_ARGUMENT`` bytes."""
    if "\0" in text:
        raise WrongValueError("holds a NUL character, which no argument can carry")
    size = len(text.encode())
    if size > MAX_ARGUMENT:
        raise WrongValueError(
            f"is {size} bytes long; the kernel passes at most {MAX_ARGUMENT} in one argument",
            "put the data into a file and pass its path",
        )
    return text


def characters(text: str) -> str:
    """Refuse NUL and Unicode's noncharacters, which no directive but ExecStart= can carry."""
    if found := _UNCARRIED.search(text):
        raise WrongValueError(f"holds U+{ord(found[0]):04X}, which systemd cannot carry")
    return text


def line(text: str) -> str:
    """Check text that systemd reads as the rest of one line, unquoted."""
    characters(text)
    found = _CONTROL.search(text)
    if found:
        raise WrongValueError(
            f"holds the control character U+{ord(found[0]):04X}", "write one line"
        )
    if text.endswith("\\"):
        raise WrongValueError("ends in a backslash, which systemd reads as a continued line")
    if len(text.encode()) > 4095:
        raise WrongValueError(f"is {len(text.encode())} bytes long; at most 4095 fit")
    return text


def filled(text: str) -> str:
    """``line``, and not empty."""
    if not text.strip():
        raise WrongValueError("is empty")
    return line(text)


def absolute(text: str) -> str:
    """Check an absolute path."""
    filled(text)
    if not text.startswith("/"):
        raise WrongValueError(f"{shown(text)} is not an absolute path", "start it with /")
    if text != text.strip():
        raise WrongValueError(f"{shown(text)} ends in a space, which systemd strips")
    if ".." in text.split("/"):
        raise WrongValueError(f'{shown(text)} holds "..", which systemd refuses in paths')
    return text
