r"""Values as unit files must spell them, so that the process gets them to the byte, or ValueError.

systemd reads a unit file by lines: CR, LF and NUL end one, a trailing backslash joins it to the
next, and what is around a value is stripped. ``%`` starts a specifier everywhere. Only directives
that take words (``ExecStart=``, ``Environment=``) know quotes and C escapes; in all others a
value stands as it is, and what cannot stand so is refused. Limits: docs/decisions/0103.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from datetime import timedelta

from hostagent.model import NONCHARACTER

LINE_MAX = 1024 * 1024 - 1
"""Bytes of one logical line: systemd refuses the unit (ENOBUFS) from 1 MiB on."""

STRING_MAX = 131071
"""Bytes of one argument, or of one KEY=VALUE: the kernel's MAX_ARG_STRLEN less the NUL."""

PATH_MAX = 4095
"""Bytes of a path: the kernel's 4096 less the NUL."""

EXEC_MAX = 2 * 1024 * 1024 - 128 * 1024
"""Bytes of all arguments and assignments: the kernel's 2 MiB, less room for what else is set."""

_WORD_ESCAPES = {'"': '\\"', "\\": "\\\\", "%": "%%", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_BARE_WORD = re.compile(r"[A-Za-z0-9_./:=,@+-]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_QUOTE = re.compile(r"[\"'\\]")
_UNITS = (
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
)
_NO_NAME_START = "@-:+!|"
_ENVIRONMENT_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EXIT_STATUS = re.compile(r"[A-Z0-9_+]+\Z")


def command_line(arguments: Sequence[str]) -> str:
    """A command behind ``ExecStart=``: no variable is replaced in it, no word split.

    The prefix ``:`` (systemd.service(5)) takes every meaning from ``$``, in the program, too.
    """
    if not arguments:
        raise ValueError("there is no command")
    program, *rest = arguments
    line = " ".join([_program(program), *map(word, rest)])
    return _short_enough(f":{line}" if "$" in line else line)


def word(text: str) -> str:
    """One argument, quoted where it must be. Everything but NUL can be one."""
    if "\0" in text:
        raise ValueError("a NUL character cannot be handed to a process")
    if _bytes(text) > STRING_MAX:
        raise ValueError(f"{_bytes(text)} bytes are too long: Linux takes at most {STRING_MAX}")
    return text if _BARE_WORD.match(text) else '"' + "".join(map(_in_word, text)) + '"'


def assignment(key: str, value: str) -> str:
    """KEY=VALUE behind ``Environment=``, which alone insists on UTF-8 as systemd knows it."""
    if not _ENVIRONMENT_KEY.match(key):
        raise ValueError(f"{key!r} is not a variable's name: letters, digits and _, no digit first")
    if NONCHARACTER.search(value):
        raise ValueError("systemd drops a variable that holds a Unicode noncharacter")
    return _short_enough(word(f"{key}={value}"))


def plain(text: str) -> str:
    """A value that is taken as it stands: no control characters, no white space around it."""
    if text != text.strip(" \t\n\r"):
        raise ValueError(f"{text!r}: systemd strips white space around this value")
    if match := _CONTROL.search(text):
        raise ValueError(f"the character {match.group()!r} cannot stand in this value")
    return raw(text.replace("%", "%%"))


def path(text: str) -> str:
    """An absolute path for a directive that takes one, in its shortest spelling."""
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path")
    if ".." in text.split("/"):
        raise ValueError(f"{text!r} holds '..', which systemd refuses in paths")
    if _bytes(text) > PATH_MAX:
        raise ValueError(f"{_bytes(text)} bytes are too long for a path: {PATH_MAX} at most")
    # Only 262 insists, and for credentials alone: no "//" and no "/./".
    return plain("/" + posixpath.normpath(text).lstrip("/"))


def optional_path(text: str) -> str:
    """An absolute path, or ``-`` and one: it may be missing."""
    return f"-{path(text[1:])}" if text.startswith("-") else path(text)


def environment_file(text: str) -> str:
    """``EnvironmentFile=``: an absolute path, ``-`` before it when it may be missing.

    systemd takes it for a pattern of glob(7): ``*`` and the like pass, a backslash is a backslash.
    """
    return optional_path(text).replace("\\", "\\\\")


def sentence(text: str) -> str:
    """Text for people, such as ``Description=``: white space and control characters collapse."""
    return plain(" ".join(_CONTROL.sub(" ", text).split()).rstrip("\\ "))


def credential(name: str, source: str) -> str:
    """``LoadCredential=``: ID:PATH, or ID:NAME for a credential that the manager was given."""
    if not re.fullmatch(r"[!-9;-~]+", name) or "/" in name or name in {".", ".."}:
        raise ValueError(f"{name!r} is not a credential's name: it is a file's name, without ':'")
    if "\\" in name + source:
        raise ValueError("systemd takes backslashes out of a credential's name and path")
    if not source or " " in source:
        raise ValueError(f"{source!r}: from 254 on systemd fails on such a path of a credential")
    return f"{plain(name)}:{path(source) if '/' in source else plain(source)}"


def exit_status(text: str) -> str:
    """A number, or a name such as ``SIGTERM`` or ``TEMPFAIL``, for ``SuccessExitStatus=``."""
    if not _EXIT_STATUS.match(text):
        raise ValueError(f"{text!r} is neither a number nor the name of a signal or exit status")
    return text


def directory(text: str) -> str:
    """``WorkingDirectory=``: a path, or ``~`` for the home; ``-`` before it: it may be missing."""
    if text.removeprefix("-") == "~":
        return text
    return optional_path(text)


def umask(text: str) -> str:
    """An octal mode."""
    if not re.fullmatch(r"[0-7]{1,4}", text):
        raise ValueError(f"{text!r} is not an octal mode such as 0027")
    return text


def positive_span(length: timedelta) -> str:
    """A time span above zero, where systemd would take 0 for "never"."""
    if length <= timedelta(0):
        raise ValueError(f"{length} is not a positive time span")
    return span(length)


def span(length: timedelta) -> str:
    """A time span to the microsecond, such as ``1h 30min`` (systemd.time(7))."""
    rest = length // timedelta(microseconds=1)
    parts = []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0"


def percent(value: float) -> str:
    """``150%``, to the hundredth that systemd keeps."""
    return f"{value:.2f}".rstrip("0").rstrip(".") + "%"


def raw(text: str) -> str:
    """A value in systemd's own syntax, ``%`` specifiers and all, that stays on its line."""
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("a value cannot span lines")
    if text.rstrip().endswith("\\"):
        raise ValueError("systemd would join a value that ends in a backslash to the next line")
    if NONCHARACTER.search(text):
        raise ValueError("systemd ignores a line that holds a Unicode noncharacter")
    return _short_enough(text)


def check_exec_size(arguments: Sequence[str], environment: Sequence[tuple[str, str]]) -> None:
    """ValueError when the kernel could not execute the command with this environment (E2BIG)."""
    strings = [*arguments, *(f"{key}={value}" for key, value in environment)]
    total = sum(_bytes(text) + 1 + 8 for text in strings)
    if total > EXEC_MAX:
        raise ValueError(f"command and environment take {total} bytes, Linux has {EXEC_MAX} for it")


def _program(text: str) -> str:
    """``argv[0]``: a path or a name, in which systemd allows no quote, backslash or control."""
    if not text or _CONTROL.search(text) or _QUOTE.search(text) or NONCHARACTER.search(text):
        raise ValueError(
            f"{text!r} cannot be a program: no quotes, backslashes, control characters"
        )
    if text[0] in _NO_NAME_START:
        raise ValueError(f"{text!r}: systemd reads {text[0]!r} before a program as a prefix")
    if "/" in text and not text.startswith("/"):
        raise ValueError(f"{text!r} is neither a name nor an absolute path")
    if text.endswith(("/", "/.", "/..")) or text in {".", ".."}:
        raise ValueError(f"{text!r} is a directory")
    return word(text)


def _in_word(char: str) -> str:
    if (escaped := _WORD_ESCAPES.get(char)) is not None:
        return escaped
    if ord(char) < 0x20 or ord(char) == 0x7F or NONCHARACTER.match(char):
        return "".join(f"\\x{byte:02x}" for byte in char.encode())
    return char


def _bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is no character") from None


def _short_enough(line: str) -> str:
    # The directive's name and "=" stand on the line, too; none is as long as this.
    if _bytes(line) > LINE_MAX - 64:
        raise ValueError(f"{_bytes(line)} bytes on one line, systemd reads at most {LINE_MAX - 64}")
    return line
