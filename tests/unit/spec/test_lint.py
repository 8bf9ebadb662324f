"""Warnings: one test for each code, and what must not be warned of."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from docs.generate.lint import NOTES
from hostagent.spec.lint import CODES
from hostagent.spec.load import load

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HEAD = '[job.j]\ncommand = "/usr/bin/true"\n'


def warnings(directory: Path, text: str, *, check_host: bool = False) -> list[str]:
    """The warnings about that text: code, line and key."""
    path = directory / "jobs.toml"
    path.write_text(text)
    loaded = load(path, check_host=check_host, now=NOW)
    assert all(w.code in CODES for w in loaded.warnings)
    return [f"{w.code} {w.line}:{w.key}" for w in loaded.warnings]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('calendar = "02:30 Europe/Berlin"', ["HA101 3:job.j.calendar"]),
        ('cron = "30 2 * * *"\ntimezone = "America/New_York"', ["HA101 3:job.j.cron"]),
        ('calendar = "01:59:59 Europe/Berlin"', []),
        ('calendar = "03:00 Europe/Berlin"', []),
        ('calendar = "hourly Europe/Berlin"', []),
        ('calendar = "02:30"', []),
        ('calendar = "Mon 02:30 Europe/Berlin"', []),
        ('calendar = "daily"\ntimeout = "1d"', ["HA102 4:job.j.timeout"]),
        ('calendar = "hourly"\njitter = "1h"', ["HA103 4:job.j.jitter"]),
        ('every = "61s"', ["HA107 3:job.j.every"]),
        ('every = "90min"', []),
        ('every = "30s"', []),
        ("at = 2026-11-21T12:00:00Z", ["HA108 3:job.j.at"]),
        ("at = 2026-11-21T12:00:01Z", []),
        ('calendar = "daily"\nnot_after = 2026-01-01', ["HA108 4:job.j.not_after"]),
        ('calendar = "daily"\nbackoff = "1s"', ["HA110 4:job.j.backoff"]),
        ('calendar = "daily"\nrun_on = "each"\nprefer = "a"', ["HA110 5:job.j.prefer"]),
        (
            'calendar = "daily"\nenvironment = { API_KEY = "x" }',
            ["HA106 4:job.j.environment.API_KEY"],
        ),
        (
            'calendar = "daily"\nenvironment = { DB = "pg://u:pw@h" }',
            ["HA106 4:job.j.environment.DB"],
        ),
        ('calendar = "daily"\nenvironment = { PASSWORD_FILE = "x", TOKEN = "/run/t" }', []),
        ('calendar = "daily"\nenvironment = { MONKEY = "x", COMPASS = "y" }', []),
    ],
)
def test_a_schedule_or_value_is_warned_of(tmp_path: Path, text: str, said: list[str]) -> None:
    """The warning stands where the cause is written, and nowhere else."""
    assert warnings(tmp_path, f"{HEAD}{text}\n") == said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('"true"', ["HA105"]),
        ('"/usr/bin/echo $HOME"', ["HA109"]),
        ('"/usr/bin/date +%%F"', ["HA109"]),
        ('["/usr/bin/echo", "$HOME"]', []),
        ("\"/bin/sh -c 'echo $HOME'\"", []),
        ('"/usr/bin/curl https://me:secret@example.org"', ["HA106"]),
    ],
)
def test_a_command_is_warned_of(tmp_path: Path, command: str, said: list[str]) -> None:
    """A relative program, a variable that nobody expands, a password in an argument."""
    text = f'[job.j]\ncommand = {command}\ncalendar = "daily"\n'
    assert [w.split()[0] for w in warnings(tmp_path, text)] == said


def test_a_program_must_be_executable_here(tmp_path: Path) -> None:
    """Only where the spec is for this host."""
    text = HEAD.replace("/usr/bin/true", "/no/such/program") + 'calendar = "daily"\n'
    assert warnings(tmp_path, text, check_host=True) == ["HA105 2:job.j.command"]
    assert warnings(tmp_path, text) == []
    assert warnings(tmp_path, HEAD.replace("true", "env") + 'every = "1h"\n', check_host=True) == []


def test_a_pulse_is_named_once(tmp_path: Path) -> None:
    """More than 20 jobs at one instant; jitter of ten minutes spreads them."""

    def fleet(count: int, jitter: str) -> str:
        return "".join(
            f'[job.j{i}]\ncommand = "/bin/true"\ncalendar = "daily"\njitter = "{jitter}"\n'
            for i in range(count)
        )

    assert warnings(tmp_path, fleet(21, "2min")) == ["HA104 3:job.j0.calendar"]
    assert warnings(tmp_path, fleet(20, "2min")) == []
    assert warnings(tmp_path, fleet(21, "10min")) == []


def test_what_defaults_say_for_others_is_no_warning(tmp_path: Path) -> None:
    """A key without effect is only warned of where the job itself has it."""
    text = f'[defaults]\nbackoff = "1s"\ntimezone = "Europe/Berlin"\n{HEAD}every = "1h"\n'
    assert warnings(tmp_path, text) == []


PINGS = 'ping_url = "https://hc.example/1"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{HEAD}every = "1h"\n{PINGS}', []),
        (f'{HEAD}every = "1h"\nfor_each = ["eu"]\n{PINGS}', []),
        (f'{HEAD}every = "1h"\nfor_each = ["eu", "us"]\n{PINGS}', ["HA111 5:job.j.ping_url"]),
        (
            f'{HEAD}every = "1h"\n{PINGS}[job.k]\ncommand = "/bin/true"\nevery = "1h"\n{PINGS}',
            ["HA111 8:job.k.ping_url"],
        ),
        (
            f'[defaults]\nevery = "1h"\n{PINGS}{HEAD}[job.k]\ncommand = "/bin/true"\n',
            ["HA111 3:defaults.ping_url"],
        ),
    ],
)
def test_a_ping_url_is_of_one_kind_of_runs(tmp_path: Path, text: str, said: list[str]) -> None:
    """Else a success of one hides the failure of another."""
    assert warnings(tmp_path, text) == said


def test_apprise_must_be_installed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the spec is for this host, and only where it is named; in the docs' words."""
    note = NOTES["HA112"]
    text = f"[job.example]\n{note.example}\n"
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert warnings(tmp_path, text) == []
    assert warnings(tmp_path, text, check_host=True) == ["HA112 7:notify.phone.apprise"]
    (found,) = load(tmp_path / "jobs.toml", now=NOW).warnings
    assert f"warning: {found}".replace(str(tmp_path), "/etc/hostagent") == note.said
    other = text.replace('apprise = "ntfy', 'webhook = "https')
    assert warnings(tmp_path, other, check_host=True) == []
    monkeypatch.setitem(sys.modules, "apprise", sys)  # any module will do
    assert warnings(tmp_path, text, check_host=True) == []


@pytest.mark.parametrize(
    ("way", "missing"),
    [
        ('command = ["/no/such", "x"]', "command"),
        ('command = "no-such-program x"', "command"),
        ('command = ["/bin/sh", "-c", "true"]', None),
        ('command = "sh -c true"', None),
        ('mail = "ops@example.org"', "mail"),
    ],
)
def test_what_tells_must_be_on_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, missing: str | None
) -> None:
    """A command its program, and mail a sendmail, wherever that is."""
    monkeypatch.setattr("hostagent.spec.lint_notify.sendmail", lambda: None)
    text = f"[notify.ops]\n{way}\n"
    said = [f"HA112 2:notify.ops.{missing}"] if missing else []
    assert warnings(tmp_path, text, check_host=True) == said
    assert warnings(tmp_path, text) == []
    monkeypatch.setattr("hostagent.spec.lint_notify.sendmail", lambda: "/usr/lib/sendmail")
    if missing == "mail":
        assert warnings(tmp_path, text, check_host=True) == []
