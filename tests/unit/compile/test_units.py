"""The units of a job: what every one holds, what each key adds, and what is refused."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from hostagent.compile import names
from hostagent.errors import InputError
from hostagent.model import Job, Lane, Missed, Overlap, RunOn, Sandbox, Schedule
from tests.unit.compile.builders import DAILY, EVERY, ON_BOOT, compiled, job, sections, values

JITTERY = replace(DAILY, jitter=timedelta(minutes=2))


def service(one: Job, systemd: int = 252, *, user: bool = False) -> dict[str, list[str]]:
    """The [Service] directives of a job."""
    made = compiled(one, systemd=systemd, user=user)
    text = made.files[names.service_name(one.name, fan_out=bool(one.for_each))]
    found: dict[str, list[str]] = {}
    for name, value in sections(text)["Service"]:
        found.setdefault(name, []).append(value)
    return found


def timer(one: Job, systemd: int = 252) -> dict[str, list[str]]:
    """The [Timer] directives of a job."""
    made = compiled(one, systemd=systemd)
    text = made.files[names.timer_name(one.name, fan_out=bool(one.for_each))]
    found: dict[str, list[str]] = {}
    for name, value in sections(text)["Timer"]:
        found.setdefault(name, []).append(value)
    return found


def test_every_start_goes_through_admission() -> None:
    """PID 1 skips while no agent is up, asks it otherwise, and never runs into a start limit."""
    text = compiled(job()).files["hostagent-backup.service"]
    assert values(text, "Unit", "ConditionPathExists") == ["%t/hostagent/up/ready"]
    assert values(text, "Unit", "StartLimitIntervalSec") == ["0"]
    assert values(text, "Unit", "X-Hostagent") == ["backup"]
    socket = "%t/hostagent/io.hostagent.Agent"
    assert values(text, "Service", "ExecCondition") == [f"+/usr/lib/hostagent/admit {socket} %n"]
    assert values(text, "Service", "ExecStart") == ["/usr/bin/backup"]
    first = "# Made by hostagent from job backup. Do not edit: the next apply replaces it."
    assert text.splitlines()[0] == first


def test_a_users_manager_finds_the_client_in_the_home() -> None:
    """With --user nothing below /usr is needed."""
    (command,) = service(job(), user=True)["ExecCondition"]
    assert command.startswith("+%h/.local/lib/hostagent/admit %t/")


def test_the_agents_environment_file_comes_last() -> None:
    """Later files win, so no file of the user's can set a HOSTAGENT_ variable."""
    files = service(job(environment_file=("/etc/a", "-/etc/b")))["EnvironmentFile"]
    assert files == ["/etc/a", "-/etc/b", "-%t/hostagent/runs/%N.env"]


def test_a_oneshot_always_times_out() -> None:
    """systemd's own default for a oneshot is never."""
    made = service(job(timeout=timedelta(hours=21.6)))
    assert (made["Type"], made["TimeoutStartSec"]) == (["oneshot"], ["21h 36min"])
    assert "RuntimeMaxSec" not in made


def test_a_heartbeat_is_watched_while_the_job_is_up() -> None:
    """A watchdog needs a started unit; the timeout then bounds its run time."""
    made = service(job(heartbeat=timedelta(minutes=5)))
    assert made["Type"] == ["exec"]
    assert made["NotifyAccess"] == ["all"]
    assert made["WatchdogSec"] == ["5min"]
    assert made["RuntimeMaxSec"] == ["1h"]
    assert made["TimeoutStartSec"] == ["1min"]


def test_a_stop_timeout_of_zero_kills_at_once() -> None:
    """0 means for ever to systemd, which nobody means who writes it."""
    assert service(job(stop_timeout=timedelta(0)))["TimeoutStopSec"] == ["1ms"]
    assert "TimeoutStopSec" not in service(job())


def test_each_key_has_its_directive() -> None:
    """What a job may say about its process and limits, in systemd's words."""
    made = service(
        job(
            user="postgres",
            group="ssl-cert",
            working_directory="/srv/a b%",
            environment=(("A", "b c%$"), ("B", "x\ny")),
            credentials=(("key", "/etc/keys/k"), ("other", "given")),
            success_exit_status=("1", "SIGTERM", "TEMPFAIL"),
            umask="0027",
            memory_max=1 << 30,
            memory_high=1 << 29,
            cpu_quota=150.0,
            cpu_weight=50,
            io_weight=60,
            tasks_max=70,
            nice=-5,
            lane=Lane.BULK,
        )
    )
    expected = {
        "User": ["postgres"],
        "Group": ["ssl-cert"],
        "WorkingDirectory": ["/srv/a b%%"],
        "Environment": ['"A=b c%%$"', '"B=x\\ny"'],
        "LoadCredential": ["key:/etc/keys/k", "other:given"],
        "SuccessExitStatus": ["1 SIGTERM TEMPFAIL"],
        "UMask": ["0027"],
        "MemoryMax": ["1073741824"],
        "MemoryHigh": ["536870912"],
        "CPUQuota": ["150%"],
        "CPUWeight": ["50"],
        "IOWeight": ["60"],
        "TasksMax": ["70"],
        "Nice": ["-5"],
        "Slice": ["hostagent-bulk.slice"],
    }
    assert {name: made[name] for name in expected} == expected


@pytest.mark.parametrize(("systemd", "cpu"), [(252, True), (257, True), (258, False), (262, False)])
def test_accounting_is_on(systemd: int, cpu: bool) -> None:
    """The ledger's figures need it; from 258 on the CPU's is always on and the switch warns."""
    made = service(job(), systemd)
    assert ("CPUAccounting" in made) is cpu
    assert {"MemoryAccounting", "IOAccounting", "TasksAccounting"} <= made.keys()


def test_a_timer_is_exact_and_remembers() -> None:
    """Elapses are not coalesced, and what fell due while the host was off is fired after."""
    made = timer(job())
    assert made["OnCalendar"] == ["*-*-* 00:00:00 Europe/Berlin"]
    assert made["AccuracySec"] == ["1us"]
    assert made["Persistent"] == ["yes"]
    assert made["Unit"] == ["hostagent-backup.service"]
    assert timer(job(missed=Missed.SKIP))["Persistent"] == ["no"]


def test_an_interval_gets_a_calendar_that_covers_it() -> None:
    """36 h from an anchor at midnight are elapses at 00:00 and 12:00, admission picks the due."""
    assert timer(job(schedule=EVERY))["OnCalendar"] == ["*-*-* 00/12:00:00 UTC"]


@pytest.mark.parametrize("systemd", [252, 257, 258, 261])
def test_jitter_is_a_fixed_delay_before_262(systemd: int) -> None:
    """258 to 261 know the offset but skip occurrences with it (decision 0101)."""
    made = timer(job(schedule=JITTERY), systemd)
    assert (made["RandomizedDelaySec"], made["FixedRandomDelay"]) == (["2min"], ["yes"])
    assert "RandomizedOffsetSec" not in made


def test_jitter_is_an_offset_from_262_on() -> None:
    """Stable through reboots, too (decision 0101)."""
    made = timer(job(schedule=JITTERY), 262)
    assert made["RandomizedOffsetSec"] == ["2min"]
    assert "RandomizedDelaySec" not in made


@pytest.mark.parametrize(
    ("systemd", "schedule", "overlap", "deferred"),
    [
        (252, DAILY, Overlap.SKIP, False),
        (257, DAILY, Overlap.SKIP, True),
        (257, DAILY, Overlap.REPLACE, True),
        (257, DAILY, Overlap.QUEUE, False),
        (257, JITTERY, Overlap.SKIP, False),
        (262, JITTERY, Overlap.SKIP, True),
        (262, JITTERY, Overlap.QUEUE, False),
    ],
)
def test_reactivation_is_deferred_where_it_loses_nothing(
    systemd: int, schedule: Schedule, overlap: Overlap, deferred: bool
) -> None:
    """Beside a random delay it would lose an occurrence to a manual run (decision 0104)."""
    made = timer(job(schedule=schedule, overlap=overlap), systemd)
    assert ("DeferReactivation" in made) is deferred


def test_what_an_old_systemd_does_otherwise_is_noted() -> None:
    """The plan says what is emulated or left out; for the newest there is nothing to say."""
    noted = {note.directive: note.text for note in compiled(job(schedule=JITTERY)).notes}
    assert noted.keys() == {"RandomizedOffsetSec", "DeferReactivation"}
    assert noted["RandomizedOffsetSec"].startswith("RandomizedDelaySec= instead, until systemd 262")
    assert "systemd 252 does not know DeferReactivation=" in noted["DeferReactivation"]
    assert compiled(job(schedule=JITTERY), systemd=262).notes == ()


def test_passed_through_directives_stand_last() -> None:
    """The last line wins in systemd, so an administrator's own directive beats the profile's."""
    one = job(
        sandbox=Sandbox.DEFAULT,
        passthrough=(
            ("service", "ProtectSystem", ("no",)),
            ("service", "SystemCallFilter", ("@system-service", "~@mount")),
            ("timer", "WakeSystem", ("yes",)),
            ("unit", "After", ("network-online.target",)),
        ),
    )
    made = compiled(one).files
    assert values(made["hostagent-backup.service"], "Service", "ProtectSystem") == ["full", "no"]
    assert sections(made["hostagent-backup.service"])["Service"][-2:] == [
        ("SystemCallFilter", "@system-service"),
        ("SystemCallFilter", "~@mount"),
    ]
    assert values(made["hostagent-backup.timer"], "Timer", "WakeSystem") == ["yes"]
    assert values(made["hostagent-backup.service"], "Unit", "After") == ["network-online.target"]


def test_a_passed_through_directive_that_is_too_new_is_left_out_and_noted() -> None:
    """systemd would print a warning for it at every load, and do nothing."""
    one = job(passthrough=(("service", "MemoryKSM", ("yes",)),))
    assert "MemoryKSM" not in service(one, 253)
    assert service(one, 254)["MemoryKSM"] == ["yes"]
    (note,) = [n for n in compiled(one, systemd=253).notes if n.directive == "MemoryKSM"]
    assert note.text == "left out: systemd 253 does not know MemoryKSM=, it came with 254"


def test_a_strict_sandbox_includes_the_default_one() -> None:
    """strict changes some directives of default, and lacks none."""
    off, default, strict = (service(job(sandbox=profile)) for profile in Sandbox)
    assert off.keys() < default.keys() < strict.keys()
    assert default["ProtectSystem"] == ["full"]
    assert strict["ProtectSystem"] == ["strict"]
    assert strict["CapabilityBoundingSet"] == [""]
    assert strict["UMask"] == ["0077"]
    assert service(job(sandbox=Sandbox.STRICT, umask="0022"))["UMask"] == ["0022"]


def test_a_users_sandbox_keeps_what_needs_no_privilege() -> None:
    """What not every user's manager can do would fail the start; the plan names it instead."""
    one = job(sandbox=Sandbox.STRICT)
    ours = service(one, user=True)
    assert {"NoNewPrivileges", "SystemCallFilter", "RestrictSUIDSGID"} <= ours.keys()
    assert not {"ProtectSystem", "PrivateDevices", "CapabilityBoundingSet"} & ours.keys()
    noted = {note.directive for note in compiled(one, user=True).notes}
    assert service(one).keys() - ours.keys() <= noted


def test_another_user_under_a_users_manager_is_noted_and_kept() -> None:
    """It fails loudly when it is not that user: never run a job as somebody else in silence."""
    one = job(user="postgres")
    assert service(one, user=True)["User"] == ["postgres"]
    assert "User" in {note.directive for note in compiled(one, user=True).notes}


def test_only_the_slices_in_use_are_made() -> None:
    """A lane's weight is its share while others want theirs."""
    made = compiled(job("a", lane=Lane.CRITICAL), job("b", lane=Lane.BULK)).files
    slices = [name for name in made if name.endswith(".slice")]
    assert slices == ["hostagent-bulk.slice", "hostagent-critical.slice", "hostagent.slice"]
    assert values(made["hostagent-critical.slice"], "Slice", "CPUWeight") == ["400"]
    assert values(made["hostagent-bulk.slice"], "Slice", "IOWeight") == ["20"]
    assert values(made["hostagent.slice"], "Unit", "X-Hostagent") == ["*"]
    assert compiled().files == {}


def test_a_fanned_out_job_is_a_template_and_its_instances_are_wanted() -> None:
    """One pair of files for all scopes; what differs reaches the job by its environment file."""
    made = compiled(job(for_each=("eu", "a/b")))
    assert {"hostagent-backup@.service", "hostagent-backup@.timer"} <= made.files.keys()
    assert made.wants == (
        ("hostagent-backup@eu.timer", "timers.target"),
        ("hostagent-backup@a-b.timer", "timers.target"),
    )
    text = made.files["hostagent-backup@.timer"]
    assert values(text, "Timer", "Unit") == ["hostagent-backup@%i.service"]


def test_a_job_on_boot_has_a_service_alone() -> None:
    """The agent starts it, so there is nothing to enable."""
    made = compiled(job(schedule=ON_BOOT, run_on=RunOn.EACH))
    assert made.files.keys() == {
        "hostagent-backup.service",
        "hostagent-normal.slice",
        "hostagent.slice",
    }
    assert made.wants == ()


def test_all_that_cannot_be_compiled_is_said_at_once() -> None:
    """Each under its key, for every job; nothing is compiled then."""
    with pytest.raises(InputError) as raised:
        compiled(
            job("a", command=("/bin/true", "a\0b"), environment=(("HOSTAGENT_JOB", "x"),)),
            job("b", working_directory="srv", credentials=(("x:y", "/a"),)),
            job("c", for_each=("x" * 300,)),
            job("d", passthrough=(("service", "Nice=5\nUser", ("root",)),)),
            job("e", passthrough=(("unit", "After", ("a\nb",)),)),
        )
    assert [problem.key for problem in raised.value.problems] == [
        "job.a.command",
        "job.a.environment.HOSTAGENT_JOB",
        "job.b.working_directory",
        "job.b.credentials.x:y",
        "job.c",
        "job.d.systemd.service.Nice=5\nUser",
        "job.e.systemd.unit.After",
    ]


PROGRAM = """
import sys
from tests.unit.compile.builders import *
from hostagent.model import Lane, Sandbox
jobs = [job(f"j{n}", lane=list(Lane)[n % 3], sandbox=list(Sandbox)[n % 3]) for n in range(9)]
made = compiled(*jobs)
sys.stdout.write(repr(list(made.files.items())) + repr(made.wants) + repr(made.notes))
"""


def test_compiling_is_deterministic_to_the_byte() -> None:
    """Neither hash seed nor process changes a byte, or every apply would find changes."""
    hashes = set()
    for seed in ("0", "1", "4711"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", PROGRAM]
        printed = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
        assert len(printed) > 5000
        hashes.add(hashlib.sha256(printed).hexdigest())
    assert len(hashes) == 1


def test_files_are_in_the_order_of_their_names() -> None:
    """Whatever the order of the jobs was."""
    names_of = list(compiled(job("z"), job("a")).files)
    assert names_of == sorted(names_of)
    assert compiled(job("z"), job("a")).files == compiled(job("a"), job("z")).files
