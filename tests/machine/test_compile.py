"""Compiled units under real managers: each reads what was written, and warns of nothing."""

from __future__ import annotations

import io
import json
import random
import re
import shlex
import string
import tarfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hostagent.compile.draft import Target
from hostagent.compile.units import Compiled, compile_spec
from hostagent.model import Form, Job, Sandbox, Schedule, Spec
from hostagent.spec.load import load
from tests.machine.machine import Machine
from tests.strategies import specs
from tests.unit.compile.builders import spec_of

DAILY = Schedule(Form.CALENDAR, "daily", calendar=("*-*-* 00:00:00",))
GOLDEN = Path(__file__).parents[1] / "golden" / "units"
UNITS = "/etc/systemd/system"

# What a job got, as JSON: bytes are written as Latin-1, so that any byte can be compared.
DUMP = """#!/usr/bin/python3 -IS
import json, os, sys
text = lambda raw: raw.decode("latin-1")
place = os.environ.get("CREDENTIALS_DIRECTORY")
seen = {
    "argv": [text(os.fsencode(word)) for word in sys.argv[2:]],
    "environment": {text(key): text(value) for key, value in os.environb.items()},
    "directory": text(os.getcwdb()),
    "credentials": {name: open(f"{place}/{name}").read() for name in os.listdir(place or "/nil")}
    if place else {},
}
with open(sys.argv[1], "w") as file:
    json.dump(seen, file)
"""

NASTY = [
    *("", " ", "a b", " lead and trail ", "tab\there", "line\nline", "\n", "\r", "a\r\nb"),
    *("%", "%%", "%n", "%h %i %I %t", "100%", "$", "$$", "$$$", "$HOME", "${HOME}", "$HOME/x"),
    *("'", '"', "''", '""', "a\"b'c", "\\", "\\\\", "a\\", "\\n", "\\x41", '\\"', "`id`", "$(id)"),
    *(";", "\\;", "|", "&", "&&", ">", "#", "# x", "-", "--", "@x", "+x", "!x", ":x", "~", "*"),
    *(
        "é",
        "日本語",
        "😀",
        "\u2028",
        "\u0085",
        "\ufeff",
        "e\u0301",
        "\ufffe",
        "\ufdd0",
        "\U0010ffff",
    ),
    *("[Service]", "User=root", "\nUser=root", "\\\nUser=root", "x\n[Service]\nUser=root"),
    *(chr(code) for code in range(1, 32)),
    *("\x7f", "".join(map(chr, range(1, 128)))),
]
LONG = 100_000


def job(name: str, **changes: Any) -> Job:
    """A daily job with changes."""
    fields: dict[str, Any] = {
        "name": name,
        "command": ("/usr/bin/true",),
        "schedule": DAILY,
        "timeout": timedelta(minutes=1),
    }
    return Job(**(fields | changes))


def version_of(machine: Machine) -> int:
    """The major version of the machine's systemd."""
    return int(machine.succeed("systemctl --version").split()[1].partition("~")[0])


def installed(machine: Machine, *jobs: Job) -> Compiled:
    """The jobs' units, compiled for the machine, loaded, and admitted whenever they start."""
    compiled = compile_spec(Spec(jobs), Target(version_of(machine), "machine"))
    for name, text in compiled.files.items():
        machine.write(f"{UNITS}/{name}", text)
    # An agent that is up and says yes: what it decides is not what is tried here.
    machine.write("/run/hostagent/up/ready", "")
    machine.write("/usr/lib/hostagent/admit", "#!/bin/sh\nexit 0\n", mode=0o755)
    machine.succeed("systemctl daemon-reload")
    return compiled


def dumped(machine: Machine, *jobs: Job) -> dict[str, Any]:
    """Run jobs, each of whose commands is DUMP's, and return what each of them got."""
    compiled = installed(machine, *jobs)
    services = [unit.service for unit in compiled.units]
    machine.succeed(f"systemctl start {shlex.join(services)}", timeout=120)
    return {job.name: json.loads(machine.read(f"/tmp/{job.name}.json")) for job in jobs}


def latin(text: str) -> str:
    """The UTF-8 bytes of a text, as DUMP writes them."""
    return text.encode().decode("latin-1")


def random_texts(seed: int, count: int) -> list[str]:
    """Texts of what a TOML file can hold, most of it meaning something to systemd."""
    source = random.Random(seed)
    alphabet = string.printable * 2 + "%$\"'\\;\n\t #" * 9 + "éß日😀\u2028\x01\x1b\x7f\x80\ufffd"
    return ["".join(source.choices(alphabet, k=source.randrange(40))) for _ in range(count)]


def test_arguments_and_variables_arrive_to_the_byte(any_machine: Machine) -> None:
    """Whatever can stand in jobs.toml reaches the process as it was written there."""
    machine = any_machine
    seed = random.randrange(10**6)
    print(f"SEED={seed}")
    texts = NASTY + random_texts(seed, 400)
    variables = [text for text in texts if not set(text) & {"\ufffe", "\ufdd0", "\U0010ffff"}]
    groups = {f"g{n}": texts[n::20] for n in range(20)}
    jobs = [
        job(
            name,
            command=("/usr/bin/dump", f"/tmp/{name}.json", *group),
            environment=tuple((f"V{n}", text) for n, text in enumerate(group) if text in variables),
        )
        for name, group in groups.items()
    ]
    machine.write("/usr/bin/dump", DUMP, mode=0o755)
    seen = dumped(machine, *jobs)
    for made in jobs:
        got = seen[made.name]
        assert got["argv"] == list(map(latin, made.command[2:]))
        for key, value in made.environment:
            assert got["environment"][key] == latin(value)


@pytest.mark.parametrize("filling", ["x", "%", "$", '"', "\\", "\n", "\x01", "é", "😀"])
def test_values_of_a_hundred_kilobytes_arrive(machine: Machine, filling: str) -> None:
    """100 kB of any one character, escapes and all, in an argument and in a variable."""
    text = filling * (LONG // len(filling.encode()))
    machine.write("/usr/bin/dump", DUMP, mode=0o755)
    command = ("/usr/bin/dump", "/tmp/long.json", text)
    seen = dumped(machine, job("long", command=command, environment=(("LONG", text),)))
    assert seen["long"]["argv"] == [latin(text)]
    assert seen["long"]["environment"]["LONG"] == latin(text)


def test_the_longest_values_that_compile_arrive(any_machine: Machine) -> None:
    """The limits are those of systemd and the kernel, not ours: what is not refused runs."""
    machine = any_machine
    machine.write("/usr/bin/dump", DUMP, mode=0o755)
    long = job(
        "long",
        command=("/usr/bin/dump", "/tmp/long.json", "x" * 131_071, *["y" * 100_000] * 9),
        environment=(("L", "z" * 131_069), *((f"E{n}", "e" * 100_000) for n in range(6))),
    )
    seen = dumped(machine, long)["long"]
    assert list(map(len, seen["argv"])) == [131_071, *[100_000] * 9]
    assert len(seen["environment"]["L"]) == 131_069


def test_programs_directories_files_and_titles_keep_their_characters(any_machine: Machine) -> None:
    """What stands unquoted in a unit is taken whole, specifiers and spaces included."""
    machine = any_machine
    place = "/srv/50%n of $HOME; \"a\" 'b' é #1"
    program = "/opt/a b%n $HOME;é/du$mp"
    machine.write(program, DUMP, mode=0o755)
    machine.write(f"{place}/back\\slash/env", 'FROM_FILE="a b"\nHOSTAGENT_JOB=forged\n')
    hidden = "/srv/50%n$HOME;\"a\"'b'#é"
    machine.write(hidden, "s3cret")
    machine.write("/run/hostagent/runs/hostagent-odd.env", "HOSTAGENT_JOB=odd\n")
    odd = job(
        "odd",
        command=(program, "/tmp/odd.json"),
        description="100%n of $HOME; \"a\" 'b' é \\x41 #1",
        working_directory=place,
        environment_file=(f"{place}/back\\slash/env", f"-{place}/missing"),
        credentials=(("key", hidden),),
    )
    seen = dumped(machine, odd)["odd"]
    assert seen["directory"] == latin(place)
    assert seen["credentials"] == {"key": "s3cret"}
    assert seen["environment"]["FROM_FILE"] == "a b"
    assert seen["environment"]["HOSTAGENT_JOB"] == "odd", "the agent's file comes last"
    title = machine.succeed("systemctl show -P Description hostagent-odd.service")
    assert title == f"{odd.description}\n"


def test_no_value_adds_a_directive(any_machine: Machine) -> None:
    """PID 1 sees one command, no other user and nothing else that a value tried to smuggle in."""
    machine = any_machine
    evil = "x\nUser=nobody\nExecStartPost=/usr/bin/touch /tmp/evil\n[Service]\nNice=7"
    smuggler = job(
        "evil",
        command=("/usr/bin/true", evil, f"\\{evil}"),
        description=evil,
        environment=(("A", evil), ("B", f"\\{evil}"), ("C", f'" {evil}')),
    )
    installed(machine, smuggler)
    machine.succeed("systemctl start hostagent-evil.service")
    shown = machine.succeed("systemctl show -p User,Nice,ExecStartPost hostagent-evil.service")
    assert set(shown.split()) <= {"User=", "Nice=0", "ExecStartPost="}
    machine.fail("test -e /tmp/evil")


def test_sandboxed_jobs_run_and_are_shut_in(any_machine: Machine) -> None:
    """Both profiles start here; strict leaves the report as the one place to write to."""
    machine = any_machine
    places = "/etc/x /var/x /run/x /run/hostagent/reports/x"
    script = f"for place in {places}; do (: >$place) 2>/dev/null && echo wrote $place; done; :"
    jobs = [job(str(box), command=("/bin/sh", "-c", script), sandbox=box) for box in Sandbox]
    machine.succeed("mkdir -p /run/hostagent/reports")
    installed(machine, *jobs)
    wrote = {}
    for box in Sandbox:
        machine.succeed(f"systemctl start hostagent-{box}.service")
        said = machine.journal(f"hostagent-{box}.service")
        wrote[box] = re.findall(r"^wrote (.+)$", said, re.MULTILINE)
    assert wrote[Sandbox.OFF] == places.split()
    assert wrote[Sandbox.DEFAULT] == places.split()[1:]
    assert wrote[Sandbox.STRICT] == ["/run/hostagent/reports/x"]


def test_a_manual_run_within_the_jitter_loses_no_elapse(any_machine: Machine) -> None:
    """Whatever directives a version gets: PID 1 still fires today what is due today."""
    machine = any_machine
    now = datetime.now(UTC)
    schedule = Schedule(
        Form.CALENDAR, "due", calendar=(f"*-*-* {now:%H:%M}:00",), jitter=timedelta(hours=6)
    )
    compiled = installed(machine, *(job(f"j{n}", schedule=schedule) for n in range(5)))
    timers = [unit.timer for unit in compiled.units if unit.timer]
    for timer in timers:
        stamp = f"/var/lib/systemd/timers/stamp-{timer}"
        machine.write(stamp, "")
        machine.succeed(f"touch -d '1 hour ago' {stamp}")
    machine.succeed(f"systemctl start {shlex.join(timers)}")
    ask = f"systemctl show -P NextElapseUSecRealtime {shlex.join(timers)}"
    before = machine.succeed(ask)
    assert before.strip()
    machine.succeed(f"systemctl start {shlex.join(unit.service for unit in compiled.units)}")
    assert machine.succeed(ask) == before


def verified(machine: Machine, files: dict[str, str]) -> str:
    """What ``systemd-analyze verify`` prints about units whose programs all exist."""
    with io.BytesIO() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        script = f"mkdir -p {UNITS} && tar -C {UNITS} -xf - && rm -f {UNITS}/NOTES"
        machine.succeed(script, stdin=packed.getvalue())
    machine.write("/usr/lib/hostagent/admit", "#!/bin/sh\nexit 1\n", mode=0o755)
    done = machine.run(f"cd {UNITS} && systemd-analyze verify --man=no hostagent*", timeout=300)
    return f"{done.stdout}{done.stderr}{done.returncode or ''}"


def runnable(spec: Spec) -> Spec:
    """The same jobs, each with a program that every machine has."""
    return replace(
        spec,
        jobs=tuple(replace(j, command=("/usr/bin/true", *j.command[1:])) for j in spec.jobs),
    )


def test_verify_prints_nothing_about_the_golden_jobs(any_machine: Machine) -> None:
    """``systemd-analyze verify`` exits 0 on unknown keys, so it is its silence that counts."""
    target = Target(version_of(any_machine), "machine")
    files: dict[str, str] = {}
    for case in sorted(GOLDEN.glob("*/jobs.toml")):
        files |= compile_spec(runnable(load(case, check_host=False).spec), target).files
    assert len(files) > 15
    assert verified(any_machine, files) == ""


@cache
def generated() -> tuple[Spec, ...]:
    """Two hundred jobs or more of every key and form, each of a name of its own."""
    made: list[Spec] = []

    @settings(
        max_examples=60,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(specs(min_jobs=4, max_jobs=8))
    def collect(table: dict[str, Any]) -> None:
        count = sum(len(spec.jobs) for spec in made)
        if count < 200:
            spec = runnable(spec_of(table))
            jobs = tuple(replace(job, name=f"g{count + n}") for n, job in enumerate(spec.jobs))
            made.append(replace(spec, jobs=jobs))

    collect()
    return tuple(made)


def test_verify_prints_nothing_about_two_hundred_generated_jobs(any_machine: Machine) -> None:
    """Every key and combination becomes directives that this version knows and likes."""
    target = Target(version_of(any_machine), "machine")
    assert sum(len(spec.jobs) for spec in generated()) >= 200
    files: dict[str, str] = {}
    for spec in generated():
        files |= compile_spec(spec, target).files
    assert verified(any_machine, files) == ""


def test_a_strict_job_starts_in_a_users_manager(any_machine: Machine) -> None:
    """What the profile keeps for users works for an unprivileged one, credentials included."""
    machine = any_machine
    box = job("box", sandbox=Sandbox.STRICT, credentials=(("key", "/etc/hostname"),))
    compiled = compile_spec(Spec((box,)), Target(version_of(machine), "machine", user=True))
    for name, text in compiled.files.items():
        machine.write(f"/etc/systemd/user/{name}", text)
    machine.succeed("systemctl start user@1000.service")
    machine.write("/run/user/1000/hostagent/up/ready", "")
    machine.write("/home/alice/.local/lib/hostagent/admit", "#!/bin/sh\nexit 0\n", mode=0o755)
    user = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user"
    machine.succeed("chown -R alice: /home/alice /run/user/1000/hostagent")
    machine.succeed(f"{user} daemon-reload && {user} start hostagent-box.service")
    said = machine.succeed(
        "journalctl --sync; journalctl -q -o cat --no-pager USER_UNIT=hostagent-box.service"
    )
    assert "Finished hostagent-box.service" in said
