"""Reading an anacrontab: ``period delay job-identifier command``, as anacrontab(5) has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from hostagent.importing.jobs import Table
from hostagent.importing.lines import File, Line
from hostagent.spec.values import shown

START = (7, 30)
"""The hour and minute at which Debian starts anacron each day."""

_ENTRY = re.compile(r"[ \t]*(\S+)[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S.*)")
_NICKNAMES = {"1": "daily", "7": "weekly", "annually": "yearly"}
_CRON = {"daily": "* * *", "weekly": "* * 1", "monthly": "1 * *", "yearly": "1 1 *"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: ``period`` is a number of days, or a nickname without its ``@``."""

    line: Line
    period: str
    delay: int  # minutes
    name: str
    command: str

    def schedule(self, start: tuple[int, int]) -> Table:
        """The keys that say when, where anacron starts at that hour and minute."""
        minutes = (start[0] * 60 + start[1] + self.delay) % (24 * 60)
        hour, minute = divmod(minutes, 60)
        if days := _CRON.get(self.period):
            return {"cron": f"{minute} {hour} {days}"}
        return {"every": f"{self.period}d", "anchor": datetime(2026, 1, 1, hour, minute)}  # noqa: DTZ001 -- wall time, as the key takes it


def entries(file: File) -> Iterator[Entry]:
    """The entries of an anacrontab; lines that are none go to the file's problems."""
    for line in file.lines():
        found = _ENTRY.fullmatch(line.text.rstrip())
        if not found:
            message = "is neither a setting nor an entry: period, delay, name and command"
            file.wrong(line.number, 1, message)
            continue
        written, delay, name, command = found.groups()
        period = _NICKNAMES.get(written.removeprefix("@"), written.removeprefix("@"))
        is_known = period in _CRON if written.startswith("@") else _is_count(written)
        if not is_known:
            hint = "write a number of days, @daily, @weekly, @monthly or @yearly"
            file.wrong(line.number, found.start(1) + 1, f"{shown(written)} is no period", hint)
        elif not (_is_count(delay) or delay == "0"):
            message = f"{shown(delay)} is no delay"
            file.wrong(line.number, found.start(2) + 1, message, "write a number of minutes")
        else:
            yield Entry(line, period, int(delay), name, command)


def _is_count(text: str) -> bool:
    return bool(re.fullmatch(r"0*[1-9][0-9]{0,4}", text))
