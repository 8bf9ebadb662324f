"""Reading jobs.toml and its drop-ins: which files, whether they may be trusted, their syntax.

Everything that is wrong with a file as a file is found here: absent, too big, not text, not
TOML, or open to hands that must not choose what this host runs (DESIGN "Trust").
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hostagent.errors import Problem
from hostagent.spec.positions import KeyPath, Position, Positions
from hostagent.spec.values import shown

MAX_FILE = 4 * 1024 * 1024
MAX_FILES = 10_000
MAX_DEPTH = 50

EXAMPLE = "/usr/share/doc/hostagent/examples/minimal.toml, or examples/ of the sources"
"""Where a package, and who has none, finds the smallest jobs.toml."""

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
# tomllib takes time and memory by the square of a key's parts, so such a key is found before.
_DEEP_KEY = re.compile(rf"^[ \t\[]*(?:[\w\"'-]+[ \t]*\.[ \t]*){{{MAX_DEPTH},}}", re.MULTILINE)
_MOVE = "move the file to where only root can write, such as /etc/hostagent/jobs.d/"
_LONG_NUMBER = re.compile(r"\d[\d_]{4000,}")


@dataclass(frozen=True)
class Document:
    """One file that is TOML: ``index`` is its place among the files, ``data`` what it says."""

    path: str
    index: int
    text: bytes
    data: dict[str, Any]

    @cached_property
    def positions(self) -> Positions:
        """Where everything stands; worked out when first asked for."""
        return Positions(self.text)

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.text).hexdigest()

    def problem(
        self, at: KeyPath, message: str, hint: str | None = None, *, key: bool = False
    ) -> Problem:
        """A problem with the value at ``at``, or with its key."""
        place = self.positions.key(at) if key else self.positions.value(at)
        place = place or Position(1, 1)
        return Problem(self.path, place.line, place.column, dotted(at), message, hint)


def dotted(path: KeyPath) -> str:
    """A path as messages show it: ``job.backup.calendar[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]{1,100}", part)
            text += ("." if text else "") + (part if bare else shown(part))
    return text


def read(path: Path, trusted_uid: int | None) -> tuple[list[Document], list[tuple[int, Problem]]]:
    """The documents of ``path`` and of its drop-ins, and what is wrong with files (by index).

    The drop-ins of ``jobs.toml`` are the ``*.toml`` files in ``jobs.d`` beside it, by name.
    """
    documents: list[Document] = []
    problems: list[tuple[int, Problem]] = []
    files = [path]
    drop_ins = path.with_suffix(".d")
    if drop_ins.is_dir():
        problems += [(1, wrong) for wrong in _distrusted_directory(drop_ins, trusted_uid)]
        found = sorted(p for p in drop_ins.iterdir() if _is_drop_in(p))
        if len(found) > MAX_FILES:
            message = f"holds {len(found)} files; at most {MAX_FILES} are read"
            problems.append((1, _whole(drop_ins, message)))
        files += found[:MAX_FILES]
    for index, file in enumerate(files):
        wrong, text = _bytes(file, trusted_uid)
        problems += [(index, problem) for problem in wrong]
        if text is None:
            continue
        parsed = parse(str(file), index, text)
        if isinstance(parsed, Problem):
            problems.append((index, parsed))
        else:
            documents.append(parsed)
    return documents, problems


def _is_drop_in(path: Path) -> bool:
    return path.suffix == ".toml" and not path.name.startswith(".")


def _whole(path: Path, message: str, hint: str | None = None) -> Problem:
    """A problem with a file as a whole; it stands at its first character."""
    return Problem(str(path), 1, 1, "", message, hint)


def _bytes(path: Path, trusted_uid: int | None) -> tuple[list[Problem], bytes | None]:
    try:
        # O_NONBLOCK: a FIFO must not hold us up before we have seen what it is.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        start = f"write it (an example: {EXAMPLE}), or give the path of another"
        hint = start if isinstance(error, FileNotFoundError) else None
        return [_whole(path, f"cannot be read: {error.strerror}", hint)], None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return [_whole(path, "is not a regular file")], None
        if found.st_size > MAX_FILE:
            message = f"is {found.st_size} bytes long; at most {MAX_FILE} are read"
            return [_whole(path, message, "split it into files in jobs.d")], None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return _distrusted_file(path, found, trusted_uid), file.read(MAX_FILE)
    finally:
        os.close(handle)


def parse(path: str, index: int, text: bytes) -> Document | Problem:
    """The document, or the first place where the text is not TOML."""
    try:
        content = text.decode()
    except UnicodeDecodeError as error:
        before = text[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        return Problem(path, line, column, "", "is not UTF-8 text", "save the file as UTF-8")
    if content.startswith("\ufeff"):
        return Problem(path, 1, 1, "", "begins with a byte order mark", "save it without a BOM")
    if deep := _DEEP_KEY.search(content):
        line = content.count("\n", 0, deep.start()) + 1
        return Problem(path, line, 1, "", f"a key has more than {MAX_DEPTH} parts")
    try:
        return Document(path, index, text, tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        return _syntax(path, content, str(error))
    except RecursionError:
        return Problem(path, 1, 1, "", "is nested absurdly deep")
    except ValueError:  # tomllib lets int()'s own limit on digits through
        found = _LONG_NUMBER.search(content)
        start = found.start() if found else 0
        line = content.count("\n", 0, start) + 1
        return Problem(
            path, line, start - content.rfind("\n", 0, start), "", "a number is absurdly long"
        )


def _syntax(path: str, content: str, message: str) -> Problem:
    place = _PLACE.search(message)
    line, column = content.count("\n") + 1, len(content) - (content.rfind("\n") + 1) + 1
    if place:
        message = message[: place.start()]
        if place[1]:
            line, column = int(place[1]), int(place[2])
    text = content.split("\n")[line - 1]
    hint = _syntax_hint(text.strip(), message)
    if message == "Illegal character '\\n'":
        message = "the text in quotes is not closed on its line"
    elif message == "Cannot overwrite a value" or message.endswith("twice"):
        message = "this key or table stands here for the second time"
        column = len(text) - len(text.lstrip()) + 1
    return Problem(path, line, column, "", message[0].lower() + message[1:], hint)


def _syntax_hint(text: str, message: str) -> str | None:
    """What a person probably meant in a line that is not TOML."""
    if message == "Invalid value" and re.match(r"[\w.-]+\s*=\s*[\"'\[{0-9]", text):
        return "an array above this line is not closed with ]"
    if re.match(r"[\w.-]+\s*:", text):
        return "TOML sets a value with =, not with :"
    if re.match(r"[\w.-]+\s*=\s*(True|False|None|yes|no|on|off)\b", text):
        return "write true or false"
    if re.match(r"[\w.-]+\s*=\s*[A-Za-z*/]", text) or re.match(r"[\w.-]+\s*=\s*\d+[a-zA-Z%]", text):
        return 'write text in quotes: key = "…"'
    if re.match(r"[\w.-]+\s*=\s*\"", text) and "\\" in text:
        return "a backslash in \"…\" begins an escape; write '…' to take everything literally"
    return None


def _distrusted_file(path: Path, found: os.stat_result, trusted_uid: int | None) -> list[Problem]:
    if trusted_uid is None:
        return []
    problems = []
    if path.is_symlink():
        problems.append(_whole(path, "is a symbolic link", "copy the file to its place"))
    if why := _open_to_others(found, trusted_uid):
        problems.append(_whole(path, *why))
    return problems + _distrusted_directory(path.parent, trusted_uid)


def _distrusted_directory(path: Path, trusted_uid: int | None) -> list[Problem]:
    """Whether others could put a file into the directory, or another directory in its place."""
    if trusted_uid is None:
        return []
    problems = []
    if path.is_symlink():
        problems.append(_whole(path, "is a symbolic link to a directory"))
    real = path.resolve()
    for directory in (real, *real.parents):
        found = directory.stat()
        # In a sticky directory such as /tmp others can add names, but not take ours away.
        if directory != real and found.st_mode & stat.S_ISVTX and found.st_uid == 0:
            continue
        if why := _open_to_others(found, trusted_uid):
            problems.append(_whole(path if directory == real else directory, *why))
    return problems


def _open_to_others(found: os.stat_result, trusted_uid: int) -> tuple[str, str] | None:
    """Why, and what to do, when others than root and ``trusted_uid`` could change it."""
    if found.st_uid not in {0, trusted_uid}:
        owner = "root" if trusted_uid == 0 else f"root or uid {trusted_uid}"
        return f"belongs to uid {found.st_uid}, not to {owner}", "chown it"
    if found.st_mode & stat.S_IWOTH:
        if found.st_mode & stat.S_ISVTX and stat.S_ISDIR(found.st_mode):
            return "can be written by everybody", _MOVE  # such as /tmp: meant to be so
        return "can be written by everybody", "chmod o-w"
    if found.st_mode & stat.S_IWGRP and found.st_gid != 0:
        return f"can be written by the group {found.st_gid}", "chmod g-w"
    return None
