"""Commands of services as commands of jobs: the process gets the same arguments."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostagent.compile import escape
from hostagent.importing.execline import command, joined, specifiers
from hostagent.spec.values import WrongValueError
from tests.strategies import nasty

KNOWN = specifiers("backup.service")
PRINT = "/usr/bin/printf"
VARIABLES = {"ONE": "1", "TWO": "1 2", "EMPTY": ""}


def job(*lines: str) -> str | list[str]:
    """The command of a job."""
    return joined([command(line, KNOWN) for line in lines])


def arguments(script: str | list[str]) -> list[str]:
    """What a printf in the command prints, where each argument ends in a NUL."""
    assert isinstance(script, list)
    done = subprocess.run(script, env=VARIABLES, capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("/bin/x -a  --b=c", "/bin/x -a --b=c"),
        ("/bin/x 'a b' \"c\\td\"", ["/bin/x", "a b", "c\td"]),
        (
            "/bin/x $$HOME %% %n %N %h",
            ["/bin/x", "$HOME", "%", "backup.service", "backup", "/root"],
        ),
        (":/bin/x $HOME ${A}", ["/bin/x", "$HOME", "${A}"]),
        ("/bin/x a$HOME", ["/bin/x", "a$HOME"]),
        ("@/bin/x y z", "/bin/x z"),
        ("-/bin/x y", ["/bin/sh", "-c", "/bin/x y || :"]),
        ("/bin/x $A a${B}c", ["/bin/sh", "-c", 'exec /bin/x $A a"${B}"c']),
        ("/bin/x ''", ["/bin/x", ""]),
    ],
)
def test_one_command_stays_one(line: str, wanted: str | list[str]) -> None:
    """A shell comes in only for variables, and for a command that may fail."""
    assert job(line) == wanted


def test_several_commands_run_until_one_fails() -> None:
    """As in a oneshot; those with a - may fail."""
    script = job("-/bin/false", "/bin/echo a;b", "/bin/echo 'c d'")
    assert script == ["/bin/sh", "-c", "{ /bin/false || :; } && /bin/echo 'a;b' && /bin/echo 'c d'"]
    assert isinstance(script, list)
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert done.stdout == "a;b\nc d\n"
    stopped = job("/bin/false", "/bin/echo no")
    assert isinstance(stopped, list)
    assert subprocess.run(stopped, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("${ONE} x${TWO}x", ["1", "x1 2x"]),
        ("$TWO ${TWO}", ["1", "2", "1 2"]),
        ("${EMPTY} $EMPTY ${NONE} '$x'", ["", ""]),
        ("'it''s' \"${ONE}\\\"\" $$${ONE}", ["its", '1"', "$1"]),
        ("$ONE$ONE ${A-b} ${ONE}'*'", ["$ONE$ONE", "${A-b}", "1*"]),
    ],
)
def test_variables_are_replaced_as_systemd_does(line: str, wanted: list[str]) -> None:
    """systemd.service(5): braced ones within words, others as words that are split."""
    script = job(f"{PRINT} %%s\\\\0 ${{ONE}} {line}")
    assert arguments(script) == ["1", *wanted]


@settings(max_examples=150, deadline=None)
@given(st.lists(nasty.filter(lambda word: len(word) < 1000), max_size=4))
def test_whatever_stands_in_a_unit_comes_over(words: list[str]) -> None:
    """What apply writes into a unit is read back, through a shell too."""
    line = escape.command_line(["/bin/x", *words])
    read = job(line)
    assert read == ["/bin/x", *words] or read == " ".join(["/bin/x", *words])
    marked = escape.command_line([PRINT, "%s\\0", "-", *words])
    assert arguments(job("/bin/true", marked)) == ["-", *words]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/bin/x %H", '"%H" has no like in a job'),
        ("/bin/x ; /bin/y", 'a ";" of its own'),
        ("/bin/x 'a", "is not closed"),
        ("-", "is no command"),
    ],
)
def test_what_no_job_can_run_is_refused(line: str, message: str) -> None:
    """What the host is called is known on the host only."""
    with pytest.raises(WrongValueError, match=message):
        command(line, KNOWN)


def test_prefixes_that_give_rights_are_kept_to_be_named() -> None:
    """A job has one user for all it does."""
    assert command("+!-/bin/x", KNOWN).lost == "!+"
