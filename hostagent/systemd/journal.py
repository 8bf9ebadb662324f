"""The journal: how runs ended that nobody saw end, what they printed, and our own records.

Read through ``journalctl``, written by the journal's native protocol. Records *about* a unit are
believed only when they come from PID 1 (``_PID=1``; with ``--user`` from the user's manager): a
job can write any field it likes, its own INVOCATION_ID= and a forged MESSAGE_ID= among them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hostagent.errors import SystemdError
from hostagent.model import Usage
from hostagent.systemd.read import signal_name

SOCKET = Path("/run/systemd/journal/socket")

# systemd.journal-fields(7), src/systemd/sd-messages.h; the same on 252, 257 and 262 (tried).
_SUCCEEDED = "7ad2d189f7e94e70a38c781354912448"
_FAILED = "d9b373ed55a64feb8242e02dbe79a49c"
_SKIPPED = "0e4284a0caca4bfc81c0bb6786972673"
_PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"
_RESOURCES = "ae8f7b866b0347b9af31fe1c80b127c0"
_NOT_EXECUTED = "641257651c1b4ec9a8624d7a40a9e1e7"
_MESSAGES = (_SUCCEEDED, _FAILED, _SKIPPED, _PROCESS_EXIT, _RESOURCES)
_FIELDS = (
    "MESSAGE_ID,INVOCATION_ID,USER_INVOCATION_ID,UNIT_RESULT,COMMAND,EXIT_CODE,EXIT_STATUS,"
    "CPU_USAGE_NSEC,MEMORY_PEAK,IO_METRIC_READ_BYTES,IO_METRIC_WRITE_BYTES"
)
_LINE_FIELDS = "MESSAGE,_PID,_SYSTEMD_USER_UNIT,_SYSTEMD_INVOCATION_ID,_SOURCE_REALTIME_TIMESTAMP"

_AT_ONCE = 200
_TIMEOUT_S = 60
_INVOCATION_ID = re.compile(r"[0-9a-f]{32}")
_FIELD_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """How a start ended, by PID 1's own records.

    ``result`` is systemd's (``success``, ``exit-code``, …, ``exec-condition``). It is the last of
    these, too, when ``ExecCondition=`` itself was torn down: the command was not executed then,
    however PID 1 calls that. ``exit_code`` is None for a success: PID 1 does not log it. ``usage``
    is what PID 1 found worth telling: it leaves out runs that used little.
    """

    invocation_id: str
    result: str
    ended_at: datetime
    exit_code: int | None = None
    signal: str | None = None
    usage: Usage = Usage()  # noqa: RUF009 -- frozen


class Journal:
    """The journal of the system's units, or of the calling user's."""

    def __init__(self, user: bool = False) -> None:
        self._manager: tuple[str, ...]
        if user:
            self._manager = ("_SYSTEMD_USER_UNIT=init.scope", f"_UID={os.getuid()}")
            self._id_field = "USER_INVOCATION_ID"
            self._unit_fields = ("_SYSTEMD_USER_UNIT", "USER_UNIT")
        else:
            self._manager = ("_PID=1",)
            self._id_field = "INVOCATION_ID"
            self._unit_fields = ("_SYSTEMD_UNIT", "UNIT")

    def end_of(self, invocation_id: str) -> JournalEnd | None:
        """How that start ended; None when the journal does not tell (lost, or still running)."""
        return self.ends_of([invocation_id]).get(invocation_id)

    def ends_of(self, invocation_ids: Sequence[str]) -> dict[str, JournalEnd]:
        """``end_of`` for many starts in one reading of the journal.

        Raises:
            SystemdError: journalctl failed.
        """
        self._sync()
        ends: dict[str, JournalEnd] = {}
        for at in range(0, len(invocation_ids), _AT_ONCE):
            wanted = invocation_ids[at : at + _AT_ONCE]
            lines = self._journalctl(
                "--output=json",
                f"--output-fields={_FIELDS}",
                *self._manager,
                *(f"MESSAGE_ID={message}" for message in _MESSAGES),
                *(f"{self._id_field}={_checked(one)}" for one in wanted),
            )
            ends |= _ends(self._id_field, [json.loads(line) for line in lines])
        return ends

    def tail(
        self, invocation_id: str, unit: str, lines: int, since: datetime | None = None
    ) -> list[str]:
        """The last lines that a start of ``unit`` left: its own, and PID 1's about it.

        ``since`` (the start, or a little before) saves reading the journal from its beginning.

        Raises:
            SystemdError: journalctl failed.
        """
        self._sync()
        records = self._journalctl(
            "--output=json",
            "--all",
            f"--output-fields={_LINE_FIELDS},{self._id_field}",
            *_window(since, None),
            *self._everything_of(unit),
        )
        return _of_start(_checked(invocation_id), self._id_field, records)[-lines:]

    def command(
        self,
        invocation_id: str,
        *options: str,
        unit: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[str]:
        """The journalctl command line that shows a start to a person.

        Give ``unit`` and the start's window where they are known: of short runs, journald fails
        to note the InvocationID with one line in twenty, and by it alone these are not found.
        Why a command could not be executed, PID 1's child says, too fast for journald to see whose
        it is. The child's own word is taken for that, as it is for people alone.
        """
        self._sync()
        one = _checked(invocation_id)
        by_id = [f"_SYSTEMD_INVOCATION_ID={one}", "+", f"{self._id_field}={one}", *self._manager]
        by_id += ["+", f"MESSAGE_ID={_NOT_EXECUTED}", f"{self._id_field}={one}"]
        by_unit = ["+", *self._everything_of(unit)] if unit and since else []
        return ["journalctl", *options, *_window(since, until), *by_id, *by_unit]

    def _everything_of(self, unit: str) -> list[str]:
        its_own, about_it = self._unit_fields
        return [f"{its_own}={unit}", "+", f"{about_it}={unit}", *self._manager]

    def _sync(self) -> None:
        """Have journald write out what it holds; only root may ask, and it is no loss if not."""
        if os.geteuid() == 0:
            with contextlib.suppress(SystemdError):
                self._journalctl("--sync")

    def _journalctl(self, *arguments: str) -> list[str]:
        command = ["journalctl", "--quiet", "--no-pager", *arguments]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SystemdError(f"cannot read the journal: {error}") from error
        if done.returncode:
            raise SystemdError(f"cannot read the journal: {done.stderr.strip()}")
        return done.stdout.splitlines()


def send(message: str, *, priority: int = 6, **fields: str | int) -> bool:
    """Write a structured record; False when journald does not take it now.

    Never blocks and never raises for the journal's sake: a record is not worth a run. Field names
    are upper case (``HOSTAGENT_JOB``); values may hold newlines.

    Raises:
        ValueError: a field name that journald would drop.
    """
    datagram = b"".join(
        _field(name, str(value))
        for name, value in {"MESSAGE": message, "PRIORITY": priority, **fields}.items()
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as journal:
        try:
            journal.sendto(datagram, str(SOCKET))
        except OSError:
            return False
    return True


def _field(name: str, value: str) -> bytes:
    """``NAME=value``, or the length-prefixed form where the value holds a newline."""
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a journal field")
    data = value.encode(errors="replace")
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


def _of_start(wanted: str, id_field: str, lines: Sequence[str]) -> list[str]:
    """The messages of one start among a unit's records.

    A record without InvocationID (its process was gone before journald looked) belongs to the
    start before it: a unit's starts never overlap. Records are put in the order in which they
    were sent: a busy journald reads what a job prints before PID 1's word that it starts. (Only a
    journald further behind than one start is from the next can still mislead us.)
    """
    messages: list[str] = []
    current = ""
    for record in sorted(map(json.loads, lines), key=_sent_at):
        # Only the manager's word is taken for another id than journald's own: jobs can forge it.
        is_manager = record.get("_PID") == "1" or record.get("_SYSTEMD_USER_UNIT") == "init.scope"
        current = record.get(id_field if is_manager else "_SYSTEMD_INVOCATION_ID") or current
        if current == wanted:
            messages.append(_plain(record.get("MESSAGE")))
    return messages


def _sent_at(record: dict[str, Any]) -> int:
    return int(record.get("_SOURCE_REALTIME_TIMESTAMP") or record["__REALTIME_TIMESTAMP"])


def _plain(message: str | list[int] | None) -> str:
    """A message as text; journalctl gives what is no UTF-8 as a list of bytes."""
    return bytes(message).decode(errors="replace") if isinstance(message, list) else message or ""


def _window(since: datetime | None, until: datetime | None) -> list[str]:
    return [
        f"--{name}=@{at.timestamp():.6f}"
        for name, at in (("since", since), ("until", until))
        if at is not None
    ]


def _ends(id_field: str, records: Sequence[dict[str, Any]]) -> dict[str, JournalEnd]:
    """What PID 1's records say, oldest first, by InvocationID."""
    exits: dict[str, tuple[int | None, str | None]] = {}
    unadmitted: set[str] = set()
    ends: dict[str, JournalEnd] = {}
    usages: dict[str, Usage] = {}
    for record in records:
        one, message = record[id_field], record["MESSAGE_ID"]
        if message == _PROCESS_EXIT and record.get("COMMAND") == "ExecStart":
            status = int(record["EXIT_STATUS"])
            is_exit = record["EXIT_CODE"] == "exited"
            exits[one] = (status, None) if is_exit else (None, signal_name(status))
        elif message == _PROCESS_EXIT and record.get("COMMAND") == "ExecCondition":
            unadmitted.add(one)
        elif message == _RESOURCES:
            usages[one] = _usage(record)
        elif message in {_SUCCEEDED, _FAILED, _SKIPPED}:
            at = timedelta(microseconds=int(record["__REALTIME_TIMESTAMP"]))
            result = record.get("UNIT_RESULT", "success")
            ends[one] = JournalEnd(one, result, datetime.fromtimestamp(0, UTC) + at)
    return {
        one: replace(
            end,
            result="exec-condition" if one in unadmitted else end.result,
            exit_code=exits.get(one, (None, None))[0],
            signal=exits.get(one, (None, None))[1],
            usage=usages.get(one, end.usage),
        )
        for one, end in ends.items()
    }


def _usage(record: dict[str, Any]) -> Usage:
    def amount(field: str) -> int | None:
        return int(record[field]) if field in record else None

    cpu_ns = amount("CPU_USAGE_NSEC")
    return Usage(
        cpu_s=None if cpu_ns is None else cpu_ns / 1e9,
        memory_peak=amount("MEMORY_PEAK"),
        io_read=amount("IO_METRIC_READ_BYTES"),
        io_written=amount("IO_METRIC_WRITE_BYTES"),
    )


def _checked(invocation_id: str) -> str:
    if not _INVOCATION_ID.fullmatch(invocation_id):
        raise ValueError(f"{invocation_id!r} is no InvocationID")
    return invocation_id
