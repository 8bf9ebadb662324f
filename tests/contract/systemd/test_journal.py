"""What the journal tells of runs, on each release; runs inside the machine, where journalctl is."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import Any

import pytest

from tests.machine import images
from tests.machine.machine import Machine

PYTHON = f"{images.VENV}/bin/python"


def inside(machine: Machine, code: str, *, user: str = "") -> Any:
    """Run ``code`` with our package in the machine; the JSON that it prints."""
    script = "import json\nfrom hostagent.systemd.journal import *\n" + textwrap.dedent(code)
    become = f"runuser -u {user} -- env XDG_RUNTIME_DIR=/run/user/1000 " if user else ""
    return json.loads(machine.succeed(f"{become}{PYTHON} -", stdin=script))


def run(machine: Machine, name: str, *lines: str) -> str:
    """Run a oneshot service to its end, whatever it is; its InvocationID."""
    text = "\n".join(["[Service]", "Type=oneshot", "RemainAfterExit=no", *lines, ""])
    machine.write(f"/run/systemd/system/{name}.service", text)
    machine.write(f"/run/systemd/system/{name}.timer", "[Timer]\nOnActiveSec=9h\n")
    # A loaded timer keeps PID 1 from forgetting the service.
    machine.run(f"systemctl daemon-reload; systemctl start {name}.timer {name}.service")
    return machine.succeed(f"systemctl show -P InvocationID {name}.service").strip()


@pytest.mark.parametrize(
    ("line", "result", "exit_code", "signal"),
    [
        ("ExecStart=/bin/true", "success", None, None),
        ("ExecStart=/bin/sh -c 'exit 3'", "exit-code", 3, None),
        ("ExecStart=/bin/sh -c 'kill -9 $$$$'", "signal", None, "KILL"),
        ("TimeoutStartSec=200ms\nExecStart=/bin/sleep 60", "timeout", None, "TERM"),
        ("ExecCondition=/bin/false\nExecStart=/bin/true", "exec-condition", None, None),
        ("EnvironmentFile=/nonexistent\nExecStart=/bin/true", "resources", None, None),
        ("ExecStart=/bin/true\nExecStopPost=/bin/sh -c 'exit 7'", "exit-code", None, None),
    ],
)
def test_the_end_of_a_run_is_found_in_the_journal(
    any_machine: Machine, line: str, result: str, exit_code: int | None, signal: str | None
) -> None:
    """The same result, exit code and signal that PID 1 would have told."""
    invocation_id = run(any_machine, "ended", line)
    end = inside(
        any_machine,
        f"""
        end = Journal().end_of("{invocation_id}")
        print(json.dumps([end.invocation_id, end.result, end.exit_code, end.signal]))
        """,
    )
    assert end == [invocation_id, result, exit_code, signal]


@pytest.mark.parametrize("how", ["kill -9 $$$$", "kill -TERM $$$$", "exit 255"])
def test_a_start_whose_admission_was_torn_down_executed_nothing(
    any_machine: Machine, how: str
) -> None:
    """PID 1 calls it a signal or an exit code; the command had neither."""
    line = f"ExecCondition=/bin/sh -c '{how}'\nExecStart=/bin/true"
    invocation_id = run(any_machine, "unadmitted", line)
    code = f'e = Journal().end_of("{invocation_id}"); '
    code += "print(json.dumps([e.result, e.exit_code, e.signal]))"
    assert inside(any_machine, code) == ["exec-condition", None, None]


def test_a_run_that_has_not_ended_has_no_end(any_machine: Machine) -> None:
    """Neither a running service nor an unknown InvocationID has one."""
    any_machine.succeed("systemd-run --unit=long sleep 1000")
    running = any_machine.succeed("systemctl show -P InvocationID long").strip()
    code = f'print(json.dumps(len(Journal().ends_of(["{running}", "{"ab" * 16}"]))))'
    assert inside(any_machine, code) == 0


def test_a_job_cannot_forge_its_end(any_machine: Machine) -> None:
    """Records with PID 1's fields, written by the job itself, are not believed."""
    any_machine.write(
        "/run/forge",
        "printf 'MESSAGE=x\\nMESSAGE_ID=7ad2d189f7e94e70a38c781354912448\\n"
        'INVOCATION_ID=%s\\n\' "$INVOCATION_ID" | logger --journald; exit 9',
    )
    invocation_id = run(any_machine, "forger", "ExecStart=/bin/sh /run/forge")
    any_machine.succeed(f"journalctl --sync; journalctl INVOCATION_ID={invocation_id} | grep -q x$")
    code = f'e = Journal().end_of("{invocation_id}"); print(json.dumps([e.result, e.exit_code]))'
    assert inside(any_machine, code) == ["exit-code", 9]


def test_many_ends_are_read_at_once(any_machine: Machine) -> None:
    """One reading of the journal for more runs than fit one command line of matches."""
    any_machine.write(
        "/run/systemd/system/many@.service",
        "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit %i'\n",
    )
    units = " ".join(f"many@{number}.service" for number in range(1, 251))
    any_machine.run(f"systemctl daemon-reload; systemctl start {units}")
    show = f"systemctl show -P InvocationID {units} | grep ."
    ids = any_machine.succeed(show).split()
    code = f"""
    ends = Journal().ends_of({ids!r})
    print(json.dumps([ends[one].exit_code for one in {ids!r}]))
    """
    assert inside(any_machine, code) == list(range(1, 251))


def test_usage_worth_telling_is_told(any_machine: Machine) -> None:
    """The CPU time of a run that used some."""
    burn = "i=0; while [ $i -lt 2000000 ]; do i=$((i+1)); done"
    invocation_id = run(any_machine, "burner", f"ExecStart=/bin/sh -c '{burn}'")
    code = f'print(json.dumps(Journal().end_of("{invocation_id}").usage.cpu_s))'
    assert inside(any_machine, code) > 0.3


SAY = "ExecStart=/bin/sh -c 'echo early; echo first; echo second >&2; exit 1'"


def test_the_last_lines_are_the_job_s_and_pid_1_s(any_machine: Machine) -> None:
    """``tail`` and the command line for people show what the job printed, and how it ended."""
    invocation_id = run(any_machine, "talker", SAY)
    asked = f'"{invocation_id}", "talker.service"'
    tail = inside(any_machine, f"print(json.dumps(Journal().tail({asked}, 100)))")
    said = [line for line in tail if line in {"early", "first", "second"}]
    assert said == ["early", "first", "second"]
    assert any("Failed with result 'exit-code'" in line for line in tail)
    last = inside(any_machine, f"print(json.dumps(Journal().tail({asked}, 1)))")
    assert last == tail[-1:]
    code = f"""
    from datetime import datetime, timedelta, UTC
    now = datetime.now(UTC)
    window = {{"since": now - timedelta(minutes=1), "until": now}}
    command = Journal().command("{invocation_id}", "-qocat", unit="talker.service", **window)
    print(json.dumps(command))
    """
    shown = any_machine.succeed(shlex.join(inside(any_machine, code))).splitlines()
    assert sorted(shown) == sorted(tail)


def test_why_a_command_could_not_be_executed_is_shown(any_machine: Machine) -> None:
    """PID 1's child says it, and journald does not always see whose child that is."""
    invocation_id = run(any_machine, "nosuch", "ExecStart=/usr/local/bin/nosuch")
    command = inside(any_machine, f'print(json.dumps(Journal().command("{invocation_id}", "-q")))')
    assert "Failed at step EXEC spawning /usr/local/bin/nosuch" in any_machine.succeed(
        shlex.join(command)
    )


def test_no_line_of_a_short_run_is_lost_nor_given_to_another(any_machine: Machine) -> None:
    """journald misses the InvocationID of one line in twenty; each run still has its three."""
    text = f"[Service]\nType=oneshot\n{SAY}\n"
    any_machine.write("/run/systemd/system/short.service", text)
    any_machine.write("/run/systemd/system/short.timer", "[Timer]\nOnActiveSec=9h\n")
    ids = any_machine.succeed(
        "systemctl daemon-reload; systemctl start short.timer; for n in $(seq 60); do "
        "systemctl start short 2>/dev/null; systemctl reset-failed short; "
        "systemctl show -P InvocationID short; journalctl --sync; done"
    ).split()
    code = f"""
    journal = Journal()
    print(json.dumps([journal.tail(one, "short.service", 50) for one in {ids!r}]))
    """
    tails = inside(any_machine, code)
    assert len(set(ids)) == len(ids) == 60
    for tail in tails:
        said = [line for line in tail if line in {"early", "first", "second"}]
        assert said == ["early", "first", "second"]


def test_records_carry_fields_and_many_lines(any_machine: Machine) -> None:
    """Each field arrives as it was given: newlines, unicode, numbers, a long value."""
    fields = {
        "HOSTAGENT_JOB": "backup",
        "HOSTAGENT_REASON": "two\nlines = ü\n",
        "HOSTAGENT_LONG": "x" * 60_000,
        "MESSAGE_ID": "12345678123456781234567812345678",
    }
    code = f"print(json.dumps(send('it ran', priority=4, **{fields!r})))"
    assert inside(any_machine, code) is True
    match = f"MESSAGE_ID={fields['MESSAGE_ID']}"
    shown = any_machine.succeed(f"journalctl --sync; journalctl -q --all -o json {match}")
    record = json.loads(shown)
    assert {name: record[name] for name in fields} == fields
    assert (record["MESSAGE"], record["PRIORITY"]) == ("it ran", "4")


def test_without_journald_a_record_is_dropped(any_machine: Machine) -> None:
    """``send`` says so, and neither waits nor raises."""
    any_machine.succeed("mv /run/systemd/journal/socket /run/systemd/journal/away")
    assert inside(any_machine, "print(json.dumps(send('lost')))") is False


def test_a_user_reads_the_ends_of_own_runs(any_machine: Machine) -> None:
    """The records of the user's manager count with ``user=True``."""
    any_machine.succeed("systemctl start user@1000.service")
    start = (
        "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 "
        "systemd-run --user --unit=mine -p Type=oneshot -p RemainAfterExit=no -q --no-block "
        "--timer-property=AccuracySec=1us --on-active=300ms sh -c 'sleep 0.2; exit 6'"
    )
    any_machine.succeed(start)
    show = "runuser -u alice -- env XDG_RUNTIME_DIR=/run/user/1000 systemctl --user show -P "
    any_machine.wait_until(f'test "$({show} Result mine.service)" = exit-code')
    invocation_id = any_machine.succeed(f"{show} InvocationID mine.service").strip()
    code = f"""
    e = Journal(user=True).end_of("{invocation_id}")
    print(json.dumps([e.result, e.exit_code] if e else None))
    """
    any_machine.succeed("journalctl --sync")
    assert inside(any_machine, code, user="alice") == ["exit-code", 6]


@pytest.mark.parametrize("name", ["lower", "_TRUSTED", "A" * 65, "A=B", ""])
def test_a_field_that_journald_would_drop_is_refused(name: str) -> None:
    """Names must be upper case and start with a letter: others vanish without a word."""
    from hostagent.systemd.journal import send  # noqa: PLC0415 -- the rest runs in machines

    with pytest.raises(ValueError, match="no name of a journal field"):
        send("x", priority=6, **{name: "y"})


@pytest.mark.parametrize("text", ["", "x" * 32, "--help", "ab" * 15, "AB" * 16])
def test_only_an_invocation_id_reaches_journalctl(text: str) -> None:
    """What is no InvocationID is a ValueError: it cannot become another match or option."""
    from hostagent.systemd.journal import Journal  # noqa: PLC0415 -- the rest runs in machines

    with pytest.raises(ValueError, match="no InvocationID"):
        Journal().command(text)
