"""Pairs of units as people write them, and the jobs they become."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.errors import Problem
from hostagent.importing.jobs import Imported
from hostagent.importing.timers import Pair, import_timers
from hostagent.importing.units import read
from tests.strategies import nasty
from tests.unit.importing.loading import jobs_of, said, tables_of

TIMER = """\
[Unit]
Description=Nightly backup timer
[Timer]
OnCalendar=*-*-* 04:10
Persistent=true
RandomizedDelaySec=10m
AccuracySec=1s
[Install]
WantedBy=timers.target
"""
SERVICE = """\
[Unit]
Description=Nightly backup
Wants=network-online.target
After=network-online.target
OnFailure=mail@%n.service
ConditionACPower=true
[Service]
Type=oneshot
User=backup
Environment=REPO=/srv/repo "NAME=%N x"
EnvironmentFile=-/etc/default/backup
ExecStart=/usr/bin/restic backup --one-file-system /home
WorkingDirectory=-/srv
SuccessExitStatus=3 SIGTERM
LoadCredential=pw:/etc/pw
TimeoutStartSec=2h
MemoryMax=1G
MemoryHigh=infinity
TasksMax=50%
Nice=10
IOSchedulingClass=idle
StateDirectory=%N
ProtectSystem=strict
ReadWritePaths=/srv/repo
ReadWritePaths=/var/cache
Restart=on-failure
"""


def imported(timer: str, service: str | None = SERVICE, name: str = "backup") -> Imported:
    """The import of one pair, in Berlin."""
    problems: list[Problem] = []
    of = None
    if service is not None:
        of = read(f"{name}.service", [(f"{name}.service", service)], problems)
    unit = read(f"{name}.timer", [(f"{name}.timer", timer)], problems)
    assert not problems
    return import_timers([Pair(unit, of)], "Europe/Berlin")


def job(timer: str, service: str = "Type=oneshot") -> dict[str, Any]:
    """The keys of one job, of a timer and a service with these lines, but for its command."""
    found = imported(f"[Timer]\n{timer}\n", f"[Service]\nExecStart=/bin/x\n{service}\n")
    (table,) = tables_of(found).values()
    assert table.pop("command") == "/bin/x"
    return table


def test_a_pair_becomes_a_job_that_does_the_same() -> None:
    """Keys where there are keys, the rest passed through."""
    found = imported(TIMER)
    assert tables_of(found) == {
        "backup": {
            "description": "Nightly backup",
            "command": "/usr/bin/restic backup --one-file-system /home",
            "calendar": "*-*-* 04:10",
            "timezone": "Europe/Berlin",
            "jitter": "10min",
            "user": "backup",
            "working_directory": "/srv",
            "environment": {"REPO": "/srv/repo", "NAME": "backup x"},
            "environment_file": ["-/etc/default/backup"],
            "credentials": {"pw": "/etc/pw"},
            "success_exit_status": [3, "SIGTERM"],
            "timeout": "2h",
            "memory_max": "1G",
            "nice": 10,
            "systemd": {
                "timer": {"AccuracySec": "1s"},
                "unit": {
                    "Wants": "network-online.target",
                    "After": "network-online.target",
                },
                "service": {
                    "TasksMax": "50%",
                    "IOSchedulingClass": "idle",
                    "StateDirectory": "backup",
                    "ProtectSystem": "strict",
                    "ReadWritePaths": ["/srv/repo", "/var/cache"],
                },
            },
        }
    }
    lines = said(found)
    assert [line.partition(": ")[0] for line in lines] == [
        "backup.service:5:1",
        "backup.service:6:1",
        "backup.service:13:1",
        "backup.service:26:1",
    ]
    assert "OnFailure= is not passed through" in lines[0]
    assert "ConditionACPower= is not passed through" in lines[1]
    assert "the directory must be there" in lines[2]
    assert "Restart= is not carried over" in lines[3]


@pytest.mark.parametrize(
    ("timer", "keys"),
    [
        ("OnCalendar=daily", {"calendar": "daily", "missed": "skip"}),
        ("OnCalendar=daily\nPersistent=yes", {"calendar": "daily"}),
        ("OnCalendar=a\nOnCalendar=\nOnCalendar=Mon\nPersistent=1", {"calendar": "Mon"}),
        (
            "OnCalendar=Mon 02:00\nOnCalendar=Tue 03:00",
            {"calendar": ["Mon 02:00", "Tue 03:00"], "missed": "skip"},
        ),
        ("OnBootSec=15min\nOnUnitActiveSec=1d", {"every": "1d"}),
        ("OnUnitInactiveSec=90", {"every": "1min 30s"}),
        ("OnBootSec=0", {"on_boot": True, "run_on": "each"}),
        ("OnBootSec=5min", {"on_boot": True, "run_on": "each"}),
        ("OnUnitActiveSec=1h\nRandomizedOffsetSec=60", {"every": "1h", "jitter": "1min"}),
    ],
)
def test_a_timer_becomes_a_schedule(timer: str, keys: dict[str, object]) -> None:
    """What was missed is run where the timer was persistent, as it was."""
    zone = {"timezone": "Europe/Berlin"} if "calendar" in keys else {}
    assert job(timer) == keys | zone


def test_a_zone_in_the_timer_counts() -> None:
    """Else it is the host's."""
    table = job("OnCalendar=*-*-* 04:10 Asia/Tokyo")
    assert table == {"calendar": "*-*-* 04:10 Asia/Tokyo", "missed": "skip"}


@pytest.mark.parametrize(
    ("service", "keys"),
    [
        ("Type=oneshot\nTimeoutSec=5min", {"timeout": "5min", "stop_timeout": "5min"}),
        ("Type=simple\nTimeoutStartSec=5\nRuntimeMaxSec=1h", {"timeout": "1h"}),
        ("Type=oneshot\nTimeoutStartSec=infinity", {}),
        ("TimeoutStopSec=10", {"stop_timeout": "10s"}),
        ("TimeoutStopSec=infinity", {}),
        ("CPUWeight=idle", {}),
        ("CPUWeight=20\nTasksMax=64\nNice=-5", {"cpu_weight": 20, "tasks_max": 64, "nice": -5}),
        ("CPUQuota=50%\nUMask=0027\nGroup=g", {"cpu_quota": "50%", "umask": "0027", "group": "g"}),
        ("WorkingDirectory=~", {"working_directory": "~"}),
        ("MemoryMax=10%", {"systemd": {"service": {"MemoryMax": "10%"}}}),
    ],
)
def test_a_directive_becomes_the_key_that_says_it(service: str, keys: dict[str, object]) -> None:
    """A timeout is that of the run: of the start of a oneshot, of the time up of others."""
    assert job("OnBootSec=0", service) == {"on_boot": True, "run_on": "each"} | keys


@pytest.mark.parametrize(
    ("timer", "service", "warning"),
    [
        ("OnBootSec=5min", "", "timer:2:1: OnBootSec= is not carried over: the job runs as soon"),
        ("OnUnitActiveSec=1d\nOnBootSec=5", "", "timer:3:1: OnBootSec= is not carried over: an"),
        ("OnUnitInactiveSec=1d", "", "timer:2:1: OnUnitInactiveSec= is taken for an interval"),
        ("OnCalendar=daily\nOnBootSec=5", "", "timer:3:1: OnBootSec= is not carried over: a job"),
        ("OnBootSec=0\nWakeSystem=true\nOnClockChange=yes", "", "timer:4:1: OnClockChange= is not"),
        ("OnBootSec=0\n[Unit]\nAfter=x", "", "timer:4:1: After= is not carried over"),
        ("OnActiveSec=5", "", "timer:1:1: the job is not carried over: the timer has no schedule"),
        ("OnCalendar=@1", "", 'timer:2:1: the job is not carried over: calendar: "@1"'),
        (
            "OnCalendar=daily\nRandomizedDelaySec=x",
            "",
            'timer:3:1: the job is not carried over: "x"',
        ),
        ("OnBootSec=0", "Type=notify", "service:3:1: Type= is not carried over"),
        ("OnBootSec=0", "RemainAfterExit=yes", "service:3:1: RemainAfterExit= is not carried"),
        ("OnBootSec=0", "KillMode=process", "service:3:1: KillMode= is not passed through"),
        ("OnBootSec=0", "CPUWeight=idle", 'service:3:1: CPUWeight= is not carried over: "idle"'),
        ("OnBootSec=0", "Environment=A=%H", 'service:3:1: the job is not carried over: "%H"'),
        ("OnBootSec=0", "ExecStartPre=+/bin/y", 'service:3:1: the prefix "+" is not carried'),
        ("OnBootSec=0", "ExecStopPost=/bin/y", "service:3:1: ExecStopPost= is not passed through"),
        ("OnBootSec=0", "[Install]\nWantedBy=a.target", "service:4:1: WantedBy= is not carried"),
        ("OnBootSec=0", "Type=oneshot\nTimeoutSec=0", "service:4:1: that a run may take for ever"),
    ],
)
def test_what_is_not_carried_over_is_named_with_its_line(
    timer: str, service: str, warning: str
) -> None:
    """In the file it stands in."""
    found = imported(f"[Timer]\n{timer}\n", f"[Service]\nExecStart=/bin/x\n{service}\n")
    assert any(line.startswith(f"backup.{warning}") for line in said(found)), said(found)


@pytest.mark.parametrize(
    ("service", "name", "warning"),
    [
        (
            None,
            "backup",
            "backup.timer:1:1: the job is not carried over: its service backup.service",
        ),
        (SERVICE, "pg@", "pg@.timer:1:1: the job is not carried over: it is a template"),
        (
            "[Service]\n",
            "backup",
            "backup.service:1:1: the job is not carried over: the service has",
        ),
    ],
)
def test_a_timer_without_a_service_of_its_own_is_no_job(
    service: str | None, name: str, warning: str
) -> None:
    """It is named, and the others go on."""
    found = imported(TIMER, service, name)
    assert not found.jobs
    assert [line for line in said(found) if line.startswith(warning)]


DIRECTIVES = [
    *("[Service]", "[Unit]", "[Timer]", "[Install]", "ExecStart", "ExecStartPre", "Environment"),
    *("User", "WorkingDirectory", "Nice", "MemoryMax", "TimeoutSec", "LoadCredential", "Type"),
    *("OnCalendar", "OnUnitActiveSec", "OnBootSec", "RandomizedDelaySec", "Persistent", "Unit"),
    *("Description", "After", "SuccessExitStatus", "EnvironmentFile", "StateDirectory", "Foo"),
]
VALUES = nasty | st.sampled_from(["daily", "5min", "infinity", "/bin/x -a", "A=b", "50%", "a b"])
LINES = st.lists(st.tuples(st.sampled_from(DIRECTIVES), VALUES), max_size=8)


@settings(max_examples=200, deadline=None)
@given(LINES, LINES)
def test_any_units_are_imported_or_named(
    timer: list[tuple[str, str]], service: list[tuple[str, str]]
) -> None:
    """Whatever stands in them; what comes out is a jobs.toml that compiles."""
    texts = [
        "\n".join(word if word.startswith("[") else f"{word}={value}" for word, value in lines)
        for lines in (timer, service)
    ]
    unit = read("x.timer", [("x.timer", f"[Timer]\nOnCalendar=daily\n{texts[0]}")], [])
    of = read("x.service", [("x.service", f"[Service]\nExecStart=/bin/x\n{texts[1]}")], [])
    found = import_timers([Pair(unit, of)], "UTC")
    assert jobs_of(found) or found.warnings
