"""The warnings of ``hostagent check`` for the docs, each with an example that really raises it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from docs.generate.text import wrapped
from hostagent.spec.lint import CODES
from hostagent.spec.load import load

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
"""The present of all examples."""


@dataclass(frozen=True)
class Note:
    """What a code's sentence in ``CODES`` leaves open: why it matters, what to do, an example.

    ``said`` is what check says of that, where it depends on the host.
    """

    why: str
    mend: str
    example: str
    said: str = ""


NOTES = {
    "HA101": Note(
        "In a zone with summer time, one hour of a year does not exist and one comes twice. A job"
        " that is due within the first does not run that day.",
        "Take an hour that every day has (in Europe: before 01:00 or from 03:00 on), or leave"
        " timezone out: UTC has no such hours.",
        'command = "/usr/local/bin/backup"\ncalendar = "02:30"\ntimezone = "Europe/Berlin"',
    ),
    "HA102": Note(
        "A run that takes its whole time is still there when the next occurrence falls due. That"
        " one is then skipped, queued, or replaces it, as overlap says.",
        "Shorten the timeout, or leave it out: it is then 0.9 of the period.",
        'command = "/usr/local/bin/poll"\nevery = "5min"\ntimeout = "10min"',
    ),
    "HA103": Note(
        "A start may be delayed until after the next occurrence.",
        "Shorten the jitter, or leave it out: it is then 5 % of the period, at most 2min.",
        'command = "/usr/local/bin/poll"\ncalendar = "*:0/15"\njitter = "20min"',
    ),
    "HA104": Note(
        "More than twenty jobs ask for the machine in the same second. Midnight and full hours are"
        " where this happens.",
        "Give them different minutes, or a jitter of at least 10min.",
        'command = "/usr/local/bin/rotate"\ncalendar = "daily"\nfor_each = ["a", "b", "c", "d",'
        ' "e", "f", "g", "h", "i", "j", "k",\n  "l", "m", "n", "o", "p", "q", "r", "s", "t", "u"]',
    ),
    "HA105": Note(
        "A job has no login shell's PATH. What is found by a bare name depends on systemd's; a"
        " shell's own words, such as cd, are never found. On the host itself (check without a"
        " FILE) the program must also exist and be executable.",
        "Write the whole path. For a shell's words write \"/bin/sh -c '…'\".",
        'command = "backup --all"\ncalendar = "03:30"',
    ),
    "HA106": Note(
        "Unit files, and the command line of a process, can be read by every user of the host.",
        "Put the secret into a file that only root reads, and name it in credentials; the job finds"
        " it in the directory $CREDENTIALS_DIRECTORY.",
        'command = "/usr/local/bin/backup"\ncalendar = "03:30"\n'
        'environment = { DB_PASSWORD = "correct horse" }',
    ),
    "HA107": Note(
        "PID 1 has no timer for such an interval, so it must wake at every common step of the"
        " interval and the day, and nearly each of these starts is turned away.",
        "Take an interval in whole minutes.",
        'command = "/usr/local/bin/poll"\nevery = "61s"',
    ),
    "HA108": Note(
        "The job never runs again. That is right for an at that is done.",
        "Take the job out, or give it another instant.",
        'command = "/usr/local/sbin/migrate"\nat = 2026-11-01T02:00:00Z',
    ),
    "HA109": Note(
        "In a unit file systemd expands $NAME and %n in commands. Here they are passed on as they"
        " stand, and only a shell, or the program itself, makes something of them.",
        "If the program is to see it as it stands (date +%F), write the command as an array. If it"
        " is to be expanded, run it through a shell.",
        'command = "/usr/bin/rsync -a $SOURCE nas:"\ncalendar = "03:30"',
    ),
    "HA110": Note(
        "Somebody expects something of the key that it does not do.",
        "Take it out, or mend the key that the message names.",
        'command = "/usr/local/bin/backup"\ncalendar = "03:30"\nbackoff = "5min"',
    ),
    "HA111": Note(
        "The service behind the address knows one job. If others succeed, it never misses the one"
        " that does not.",
        "Have the service make an address for each job. Where one job runs for several scopes, make"
        " a job of each, with a profile for what they share; or be told by on_failure, which looks"
        " at each scope.",
        'command = "/usr/local/bin/backup"\ncalendar = "03:30"\nfor_each = ["eu", "us"]\n'
        'ping_url = "https://hc.example.org/ping/backup"',
    ),
    "HA112": Note(
        "Mail needs a sendmail, a command its program, and the services that apprise knows the"
        " package apprise, which is not a part of hostagent. Who is named there hears of nothing.",
        "Install it, on each host (apprise: into hostagent's environment). Or use a webhook with a"
        " body, or a command that calls the program apprise. Then try it: hostagent notify test"
        " phone.",
        'command = "/bin/true"\ncalendar = "03:30"\non_failure = "phone"\n\n'
        '[notify.phone]\napprise = "ntfy://ntfy.sh/8f3a"',
        "warning: /etc/hostagent/jobs.toml:7:1: notify.phone.apprise: the package apprise is not"
        " installed here: nothing can be told there [HA112]\n"
        "  hint: install it beside hostagent (pip install 'hostagent[apprise]'), or use a webhook",
    ),
}


def for_page() -> str:
    """Every warning, a heading for each, with what check says about the example."""
    parts = []
    for code, meaning in CODES.items():
        note = NOTES[code]
        toml = f"[job.example]\n{note.example}\n"
        parts.append(
            f"## {code}\n\n{meaning[0].upper()}{meaning[1:]}.\n\n```toml\n{toml}```\n\n"
            f"```text\n{note.said or raised(code, toml)}\n```\n\n{wrapped(note.why)}\n\n"
            f"{wrapped(f'**Mend it.** {note.mend}')}"
        )
    return "\n\n".join(parts)


def for_man() -> str:
    """Every warning as a definition list."""
    return "\n\n".join(
        f"{code}\n" + wrapped(f":   {meaning[0].upper()}{meaning[1:]}. {NOTES[code].mend}", "    ")
        for code, meaning in CODES.items()
    )


def raised(code: str, toml: str) -> str:
    """What ``hostagent check`` prints about the one job in ``toml``.

    Raises:
        LookupError: it does not raise this warning, or others too.
    """
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "jobs.toml"
        path.write_text(toml, encoding="utf-8")
        found = load(path, check_host=False, now=NOW).warnings
    if [warning.code for warning in found] != [code]:
        raise LookupError(f"the example of {code} raises {[warning.code for warning in found]}")
    return f"warning: {found[0]}".replace(str(path.parent), "/etc/hostagent")
