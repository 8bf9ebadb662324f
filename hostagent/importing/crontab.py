r"""Reading a crontab: when, as whom, and what the shell is given.

As crontab(5) of Debian's cron (vixie) and of cronie have it: five fields or a nickname, in system
crontabs the user, then the rest of the line. Of it ``\%`` is a ``%``; a bare one ends the command,
and what follows is its standard input, every further bare one a newline.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hostagent.importing.lines import File, Line
from hostagent.schedule.cron import to_calendar
from hostagent.schedule.errors import CalendarError
from hostagent.spec.values import shown

REBOOT = "@reboot"

_WHEN = re.compile(r"[ \t]*(?P<when>@\S+|\S+(?:[ \t]+\S+){4})(?:[ \t]+|$)")
_USER = re.compile(r"(?P<user>\S+)(?:[ \t]+|$)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")
_PERCENT = re.compile(r"\\%|%")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``when`` is five fields or a nickname, ``input`` the command's standard input."""

    line: Line
    when: str
    user: str | None
    command: str
    input: str | None


def entries(file: File, *, has_users: bool) -> Iterator[Entry]:
    """The entries of a crontab; lines that are none go to the file's problems."""
    for line in file.lines():
        if entry := _entry(file, line, has_users=has_users):
            yield entry


def _entry(file: File, line: Line, *, has_users: bool) -> Entry | None:
    found = _WHEN.match(line.text)
    if not found:
        count = len(line.text.split())
        message = f"is neither a setting nor an entry: it has {count} of five fields and a command"
        file.wrong(line.number, 1, message)
        return None
    when, at = " ".join(found["when"].split()), found.end()
    if when.lower() != REBOOT:
        try:
            to_calendar(when)
        except CalendarError as error:
            file.wrong(line.number, found.start("when") + 1, error.message, error.hint)
            return None
    user = None
    if has_users and (named := _USER.match(line.text, at)):
        user, at = named["user"], named.end()
        if not _NAME.fullmatch(user):
            hint = "a crontab without users is read with --owner NAME"
            file.wrong(line.number, named.start() + 1, f"{shown(user)} is no user's name", hint)
            return None
    command, given = split_input(line.text[at:].strip(" \t\r"))
    if not command.strip():
        file.wrong(line.number, at + 1, "has no command")
        return None
    return Entry(line, when.lower() if when.startswith("@") else when, user, command, given)


def split_input(text: str) -> tuple[str, str | None]:
    """The command, and what it reads: None, or text that ends as cron ends it, in a newline."""
    parts, start = [""], 0
    for found in _PERCENT.finditer(text):
        parts[-1] += text[start : found.start()]
        start = found.end()
        if found[0] == "%":
            parts.append("")
        else:
            parts[-1] += "%"
    parts[-1] += text[start:]
    if len(parts) == 1:
        return parts[0], None
    given = "\n".join(parts[1:])
    return parts[0].rstrip(), given if given.endswith("\n") or not given else f"{given}\n"
