"""Commands that read what other schedulers run, and write it as jobs.toml."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from errno import EACCES
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hostagent.cli.out import warn
from hostagent.policy.words import counted

if TYPE_CHECKING:
    from hostagent.errors import Problem
    from hostagent.importing.cron import Kind, Source
    from hostagent.importing.jobs import Imported
    from hostagent.importing.timers import Pair
    from hostagent.importing.units import Unit

import_ = typer.Typer(
    name="import", help="Write the jobs of other schedulers as jobs.toml.", no_args_is_help=True
)

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write into this new file [default: standard output]."),
]
Zone = Annotated[
    str | None,
    typer.Option("--timezone", help="The zone their times are meant in [default: this host's]."),
]
Image = Annotated[
    Path, typer.Option("--root", help="Read the files of an image below this directory.")
]

UNITS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""Where systemd looks for the units of the system; the first that has one counts."""

STOP = {
    "cron": "take its lines out of cron",
    "timers": "systemctl disable --now each of these timers",
}
"""What keeps the other scheduler from running them, too."""

MOST = 4 * 1024 * 1024
"""Bytes of a file that are read."""


@import_.command("cron")
def cron(
    file: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Crontabs, anacrontabs, directories of them, or - for standard input [default: "
            "/etc/crontab, /etc/cron.d, /etc/anacrontab, and every user's own]",
            show_default=False,
        ),
    ] = None,
    *,
    owner: Annotated[
        str | None, typer.Option("--owner", help="The user whose crontab FILE is.")
    ] = None,
    out: Out = None,
    timezone: Zone = None,
    root: Image = Path("/"),
    user: Annotated[
        bool, typer.Option("--user", help="Write jobs of your own account, for apply --user.")
    ] = False,
) -> None:
    """Write crontabs as jobs.toml.

    What cannot be carried over is named with its line. Nothing is changed but the file of --out.
    Files named crontab, and those in cron.d, have a user in each line; a file named anacrontab is
    one.
    """
    from hostagent.importing.cron import import_cron

    sources = [_crontab(path, owner) for path in _crontabs(file or [], root)]
    zone = _zone(timezone, root)
    _write(import_cron(sources, zone, own=user), "cron", out, user=user)


@import_.command("timers")
def timers(
    file: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Timers, and services that are not beside theirs, or directories of them "
            "[default: /etc/systemd/system]",
            show_default=False,
        ),
    ] = None,
    *,
    out: Out = None,
    timezone: Zone = None,
    root: Image = Path("/"),
) -> None:
    """Write systemd's timers and their services as jobs.toml.

    What cannot be carried over is named with its line. Nothing is changed but the file of --out.
    Drop-ins are read. A service is looked for beside its timer, then where systemd looks.
    """
    from hostagent.importing.timers import import_timers

    chosen = file or [place for place in [root / UNITS[0]] if place.is_dir()]
    pairs = _pairs([*_units(chosen)], root, is_chosen=bool(file))
    _write(import_timers(pairs, _zone(timezone, root)), "timers", out)


def _pairs(files: list[Path], root: Path, *, is_chosen: bool) -> list[Pair]:
    """The timers with their services, but for those that apply made.

    Raises:
        InputError: a line of theirs is none, or a file cannot be read.
    """
    from hostagent.errors import InputError
    from hostagent.importing.timers import Pair, service_of

    problems: list[Problem] = []
    services = {path.name: path for path in files if path.suffix == ".service"}
    pairs = []
    for path in (path for path in files if path.suffix == ".timer"):
        timer = _unit(path, [path.parent], problems)
        if timer.last("Unit", "X-Hostagent"):
            continue
        if not is_chosen and not any(path.parent.glob(f"*.wants/{path.name}")):
            print(f"warning: {path}: is not enabled, and its job would run", file=sys.stderr)
        name = service_of(timer)
        places = [path.parent, *(root / place for place in UNITS)]
        found = [place / name for place in places if (place / name).is_file()]
        service = services.get(name) or next(iter(found), None)
        beside = [*reversed(places), path.parent]
        pairs.append(Pair(timer, _unit(service, beside, problems) if service else None))
    for name in services.keys() - {service_of(pair.timer) for pair in pairs}:
        print(f"warning: {services[name]}: none of these timers starts it", file=sys.stderr)
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return pairs


def _units(chosen: list[Path]) -> Iterator[Path]:
    """The timers and services chosen, and the timers of the directories chosen.

    Raises:
        InputError: there is something else, or what cannot be read.
    """
    from hostagent.errors import InputError

    for path in chosen:
        if path.is_dir():
            yield from (each for each in _files(path) if each.suffix == ".timer")
        elif path.suffix in {".timer", ".service"}:
            yield path
        else:
            raise InputError(f"{path} is neither a .timer nor a .service")


def _unit(path: Path, places: list[Path], problems: list[Problem]) -> Unit:
    """The unit with its drop-ins from all places; of two of one name the latter counts."""
    from hostagent.importing.units import read

    drop_ins = {p.name: p for place in places for p in (place / f"{path.name}.d").glob("*.conf")}
    files = [path, *(drop_ins[name] for name in sorted(drop_ins))]
    return read(path.name, [(str(file), _text(file)) for file in files], problems)


def _crontabs(chosen: list[Path], root: Path) -> Iterator[Path]:
    """The files to read: those chosen, else all that cron and anacron read themselves."""
    spool = root / "var/spool/cron"
    places = [root / "etc/crontab", root / "etc/cron.d", root / "etc/anacrontab"]
    users = spool / "crontabs"
    places.append(users if users.is_dir() else spool)
    for path in chosen or [place for place in places if place.exists()]:
        if not path.is_dir():
            yield path
            continue
        for each in _files(path):
            if each.name.startswith("."):
                continue
            if path.name == "cron.d" and not re.fullmatch(r"[A-Za-z0-9_-]+", each.name):
                print(f"warning: {each}: left out, as cron does for its name", file=sys.stderr)
                continue
            yield each


def _crontab(path: Path, owner: str | None) -> Source:
    from hostagent.importing.cron import Source

    kind = _kind(path, owner)
    if owner is None and path.parent.name in {"crontabs", "cron"}:
        owner = path.name
    return Source(_said(path), _text(path), kind, owner)


def _kind(path: Path, owner: str | None) -> Kind:
    from hostagent.importing.cron import Kind

    if path.name == "anacrontab":
        return Kind.ANACRON
    has_users = path.parent.name == "cron.d" or path.name == "crontab"
    return Kind.SYSTEM if has_users and owner is None else Kind.USER


def _files(directory: Path) -> list[Path]:
    """The regular files in it, by name.

    Raises:
        InputError: it cannot be read.
    """
    from hostagent.errors import InputError

    try:
        return sorted(each for each in directory.iterdir() if each.is_file())
    except OSError as error:
        hint = "run it as root, or name the files" if error.errno == EACCES else None
        raise InputError(f"{directory} cannot be read: {error.strerror}", hint) from error


def _said(path: Path) -> str:
    return "standard input" if str(path) == "-" else str(path)


def _text(path: Path) -> str:
    """What the file says.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    from hostagent.errors import InputError, Problem

    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MOST + 1)
        else:
            with path.open("rb") as opened:
                content = opened.read(MOST + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MOST:
        raise InputError(f"{_said(path)} is too long: at most {MOST} bytes are read")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode()) + 1
        problem = Problem(_said(path), line, column, "", "is not UTF-8 text")
        raise InputError([problem]) from None


def _zone(chosen: str | None, root: Path) -> str:
    from hostagent.errors import InputError
    from hostagent.host.timezone import local_zone
    from hostagent.schedule.zones import is_zone

    zone = chosen or local_zone(root)
    if zone is None:
        raise InputError("cannot tell the time zone of this host", "name it with --timezone")
    if not is_zone(zone):
        raise InputError(f'"{zone}" is not a time zone', 'write for example "Europe/Berlin"')
    return zone


def _write(found: Imported, what: str, out: Path | None, *, user: bool = False) -> None:
    """Put the jobs out and the warnings on standard error.

    Raises:
        InputError: ``out`` exists already.
        RefusedError: it cannot be written.
    """
    from hostagent.errors import InputError, RefusedError

    text = found.toml(f"Written by hostagent import {what}.")
    if out is None:
        sys.stdout.write(text)
    else:
        try:
            # As private as the crontabs of users are: their variables may be secrets.
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            hint = "choose another name, or move it away"
            raise InputError(f"{out} exists: it is not overwritten", hint) from None
        except OSError as error:
            raise RefusedError(f"{out} cannot be written: {error.strerror}") from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    warn(found.warnings)
    if out is not None:
        jobs, warnings = len(found.jobs), len(found.warnings)
        print(f"{out}: {counted(jobs, 'job')}, {counted(warnings, 'warning')}")
        if found.jobs:
            place, option = ("~/.config", " --user") if user else ("/etc", "")
            print(
                f"next: look at it, move it to {place}/hostagent/jobs.d/, hostagent plan{option}, "
                f"hostagent apply{option}; and {STOP[what]}, else both run them"
            )
