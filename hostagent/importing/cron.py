"""Crontabs and anacrontabs as jobs.

A job does what cron did: the same shell and directory, the same user, nothing for what was missed
(anacron: the latest). What cron does that a job does not is a warning at its line. What the agent
does that cron did not (docs/how-to/from-cron.md) is no warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from hostagent.errors import InputError, Problem
from hostagent.importing import anacrontab, crontab, shell
from hostagent.importing.jobs import UTC, Draft, Imported, Table, collect
from hostagent.importing.lines import File, Line, Setting
from hostagent.schedule.zones import is_zone
from hostagent.spec.values import shown

_MAIL = ("MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING")
_CRONS_OWN = {*_MAIL, "CRON_TZ", "RANDOM_DELAY", "START_HOURS_RANGE", "LOGNAME"}
_LEAVES_BEHIND = re.compile(r"(?<![&>])&\s*\Z")
_HOURS = re.compile(r"(\d|1\d|2[0-3])-\d{1,2}")


class Kind(StrEnum):
    """What a file is; a crontab of the system says in each line as whom it runs."""

    USER = "user"
    SYSTEM = "system"
    ANACRON = "anacron"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as read; ``owner`` is the user whose crontab it is, None where that is not known."""

    path: str
    text: str
    kind: Kind
    owner: str | None = None


def import_cron(sources: Iterable[Source], zone: str, *, own: bool = False) -> Imported:
    """The jobs of all files. ``zone`` is what cron counts in; ``own``: for a user's own manager.

    Raises:
        InputError: with every line that is neither a comment, a setting nor an entry.
    """
    drafts: list[Draft] = []
    warnings: list[Problem] = []
    wrong: list[Problem] = []
    for source in sources:
        reading = _Reading(source, zone, own=own)
        drafts += reading.drafts()
        warnings += reading.warnings
        wrong += reading.file.problems
    if wrong:
        raise InputError(wrong)
    return collect(drafts, warnings)


@dataclass(slots=True)
class _Reading:
    """One file on its way to jobs."""

    source: Source
    zone: str
    own: bool
    file: File = field(init=False)
    warnings: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.file = File(self.source.path, self.source.text)

    def drafts(self) -> list[Draft]:
        if self.source.kind is Kind.ANACRON:
            daily = list(anacrontab.entries(self.file))
            start = self._start(daily[0].line) if daily else anacrontab.START
            return [self._anacron_job(entry, start) for entry in daily]
        has_users = self.source.kind is Kind.SYSTEM
        found = list(crontab.entries(self.file, has_users=has_users))
        if found and not has_users and self.source.owner is None and not self.own:
            message = "whose crontab this is is not known: its jobs run as root"
            self._warn(found[0].line.number, message, "name the user with --owner NAME")
        names = self._names(found)
        return [self._job(entry, name) for entry, name in zip(found, names, strict=True)]

    def _names(self, found: list[crontab.Entry]) -> Iterator[str]:
        """After the file in cron.d, where a file is a package's; elsewhere after the program."""
        path = PurePosixPath(self.source.path)
        package = path.name if path.parent.name == "cron.d" else ""
        for entry in found:
            program = shell.name(entry.command)
            if package and len(found) == 1:
                yield package
            elif program.startswith(package):
                yield program
            else:
                yield f"{package}-{program}"

    def _job(self, entry: crontab.Entry, name: str) -> Draft:
        line = entry.line
        home = line.settings.get("HOME")
        if entry.when == crontab.REBOOT:
            when: Table = {"on_boot": True, "run_on": "each"}
            message = "what it starts is stopped when it ends, and itself after 24h at the latest"
            self._warn(line.number, f"@reboot: {message}", "a daemon wants a service of its own")
        else:
            when = {"cron": entry.when, **self._zone(line), "missed": "skip"}
        if "/run/systemd/system" in entry.command:
            message = "asks whether systemd runs: where the job runs, it does"
            self._warn(line.number, message, "if a timer does its work, leave the job out")
        if _LEAVES_BEHIND.search(entry.command):
            message = "ends in &: what it leaves running is stopped at once"
            self._warn(line.number, message, "take the & out")
        user = entry.user or (None if self.own else self.source.owner)
        table = {
            **self._command(line, entry.command, line.settings.get("SHELL")),
            **when,
            **self._jitter(line),
            **({"user": user} if user else {}),
            "working_directory": home.value if home else "~",
            **self._environment(line),
            **_standard_input(entry.input),
        }
        return Draft(self.source.path, line.number, name, table)

    def _anacron_job(self, entry: anacrontab.Entry, start: tuple[int, int]) -> Draft:
        line = entry.line
        table = {
            **self._command(line, entry.command, None),
            **entry.schedule(start),
            **self._zone(line),
            **self._jitter(line),
            "user": "root",
            **self._environment(line),
        }
        return Draft(self.source.path, line.number, entry.name, table)

    def _command(self, line: Line, command: str, interpreter: Setting | None) -> Table:
        said = {"description": line.comment} if line.comment else {}
        return {
            **said,
            "command": shell.command(interpreter.value if interpreter else shell.SHELL, command),
        }

    def _zone(self, line: Line) -> Table:
        """CRON_TZ is cronie's; Debian's cron counts in the host's zone whatever it says."""
        zone, written = self.zone, line.settings.get("CRON_TZ")
        if written and is_zone(written.value):
            zone = written.value
            message = f"CRON_TZ is taken for the time zone, {zone}; Debian's cron passes over it"
            self._warn(written.line, message)
        elif written:
            message = f"CRON_TZ: {shown(written.value)} is not a time zone; {zone} is taken"
            self._warn(written.line, message)
        return {} if zone in UTC else {"timezone": zone}

    def _jitter(self, line: Line) -> Table:
        delay = line.settings.get("RANDOM_DELAY")
        if delay is None:
            return {}
        if not re.fullmatch(r"[0-9]{1,4}", delay.value):
            self._warn(delay.line, f"RANDOM_DELAY: {shown(delay.value)} is no number of minutes")
            return {}
        return {"jitter": f"{int(delay.value)}min"}

    def _start(self, line: Line) -> tuple[int, int]:
        """When anacron starts its jobs on a day on which nothing was missed."""
        hours = line.settings.get("START_HOURS_RANGE")
        found = _HOURS.fullmatch(hours.value) if hours else None
        if hours and found:
            message = "the end of START_HOURS_RANGE is not carried over: what was missed is run"
            self._warn(hours.line, f"{message} at any hour")
            return int(found[1]), 0
        hour, minute = anacrontab.START
        message = f"anacron names no time of day: {hour:02}:{minute:02} plus the delay is taken"
        self._warn(hours.line if hours else line.number, message, "write another in cron")
        return anacrontab.START

    def _environment(self, line: Line) -> Table:
        settings = line.settings
        for name in _MAIL:
            if (mail := settings.get(name)) and mail.value:
                message = f"{name} is not carried over: what a job prints goes to the journal"
                hint = 'on_failure = "NAME" with [notify.NAME] mail = "…" tells of failures'
                self._warn(mail.line, message, hint if name == "MAILTO" else None)
        passed = {
            name: setting.value
            for name, setting in settings.items()
            if name not in _CRONS_OWN and (name, setting.value) != ("SHELL", shell.SHELL)
        }
        return {"environment": passed} if passed else {}

    def _warn(self, line: int, message: str, hint: str | None = None) -> None:
        self.warnings.append(Problem(self.source.path, line, 1, "", message, hint))


def _standard_input(text: str | None) -> Table:
    """What the command reads. systemd strips the value, unescapes it and adds a newline."""
    if not text:
        return {}
    if text == "\n":
        given = {"StandardInputData": "Cg=="}
    else:
        escaped = re.sub(r"[\\\x00-\x1f\x7f]|\A | \Z", _escaped, text.removesuffix("\n"))
        given = {"StandardInputText": escaped.replace("%", "%%")}
    return {"systemd": {"service": {"StandardInput": "data", **given}}}


def _escaped(found: re.Match[str]) -> str:
    return "\\n" if found[0] == "\n" else f"\\x{ord(found[0]):02x}"
