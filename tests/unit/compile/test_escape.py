"""Values: what systemd reads back is what was meant, or compile says no.

Whether real managers agree is shown by tests/machine/test_units.py; here, that no text whatever
leaves its line, and that the arguments come back from the other direction's code.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hostagent.compile import escape
from hostagent.spec import command

ANY = st.text(st.characters())
ARGUMENT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NASTY = ("a\nExecStart=/bin/evil", "a\\", "a\\ ", "a\rX=y", "\0", "%n%", "\ufffe", "\ud800", " a")

SPELLINGS: tuple[Callable[[str], str], ...] = (
    escape.word,
    escape.plain,
    escape.raw,
    escape.sentence,
    escape.exit_status,
    escape.umask,
    lambda text: escape.command_line(["/bin/true", text]),
    lambda text: escape.command_line([text]),
    lambda text: escape.assignment("A", text),
    lambda text: escape.assignment(text, "a"),
    lambda text: escape.path(f"/{text}"),
    escape.directory,
    lambda text: escape.environment_file(f"-/{text}"),
    lambda text: escape.credential("a", f"/{text}"),
    lambda text: escape.credential(text, "/a"),
)


@pytest.mark.parametrize("spell", SPELLINGS)
@given(ANY)
@example(NASTY[0])
@example(NASTY[1])
@example(NASTY[2])
@example(NASTY[3])
@example(NASTY[4])
@example(NASTY[6])
@example(NASTY[7])
@example(NASTY[8])
def test_no_value_leaves_its_line(spell: Callable[[str], str], text: str) -> None:
    """A spelt value has no line end and no backslash at its end, and is UTF-8 to systemd."""
    try:
        spelt = spell(text)
    except ValueError:
        return
    assert not re.search(r"[\n\r\0]", spelt)
    assert not spelt.rstrip().endswith("\\")
    assert not re.search("[\ufdd0-\ufdef\ufffe\uffff]", spelt)
    spelt.encode()


@pytest.mark.parametrize("spell", [s for s in SPELLINGS if s is not escape.raw])
@given(ANY)
@example(NASTY[5])
def test_no_value_holds_a_specifier(spell: Callable[[str], str], text: str) -> None:
    """Every % is doubled: %n, %h and the like mean nothing in what an administrator wrote."""
    try:
        spelt = spell(text)
    except ValueError:
        return
    assert "%" not in spelt.replace("%%", "")


@given(st.lists(ARGUMENT, min_size=1))
@example([";"])
@example(["$HOME", "${A}", "$$", "'", '"', "\\", "\\n", "", "#x", "é"])
def test_arguments_come_back_from_systemds_splitting(arguments: list[str]) -> None:
    """Splitting a line as systemd.service(5) says gives back the arguments it was made of."""
    line = escape.command_line(["/bin/true", *arguments])
    program, *rest = command.split(line)
    assert program.removeprefix(":") == "/bin/true"
    assert [word.replace("%%", "%") for word in rest] == arguments


@given(ARGUMENT, ARGUMENT)
def test_a_command_with_a_dollar_is_exempt_from_substitution(before: str, after: str) -> None:
    """The prefix ``:`` stands exactly where a $ would otherwise mean a variable."""
    line = escape.command_line(["/bin/true", before, after])
    assert line.startswith(":") == ("$" in before + after)


def test_plain_words_are_not_quoted() -> None:
    """A unit reads as a person would have written it."""
    line = escape.command_line(["/usr/bin/backup", "--to=s3://b/c", "a b", "", "50%", 'x"y'])
    assert line == '/usr/bin/backup --to=s3://b/c "a b" "" "50%%" "x\\"y"'


@pytest.mark.parametrize(
    "program",
    [
        "",
        "-x",
        "@x",
        ":x",
        "+x",
        "!x",
        "|x",
        "a/b",
        "./a",
        "/a/",
        "/a/..",
        ".",
        "a\tb",
        "a\\b",
        'a"b',
    ],
)
def test_what_systemd_cannot_take_for_a_program_is_refused(program: str) -> None:
    """No prefix by accident, no relative path, no character that systemd refuses there."""
    with pytest.raises(ValueError, match=r"program|prefix|absolute path|directory"):
        escape.command_line([program])


def test_an_argument_and_a_variable_have_the_kernels_length() -> None:
    """131,071 bytes go, one more is E2BIG; bytes count, not characters."""
    assert len(escape.word("x" * 131_071)) == 131_071
    assert len(escape.assignment("L", "é" * 65_534)) == 65_534 + len('"L="')
    for text in ("x" * 131_072, "é" * 65_536):
        with pytest.raises(ValueError, match="131071"):
            escape.word(text)
    with pytest.raises(ValueError, match="131071"):
        escape.assignment("L", "x" * 131_070)


def test_a_line_that_systemd_would_not_load_is_refused() -> None:
    """A unit with a line of 1 MiB does not load; escapes count."""
    assert escape.command_line(["/bin/true", *["x" * 100_000] * 10])
    for arguments in (["x" * 100_000] * 11, ["\x01" * 131_071] * 2 + ["\x01" * 20_000]):
        with pytest.raises(ValueError, match="on one line"):
            escape.command_line(["/bin/true", *arguments])


def test_more_than_the_kernel_can_execute_is_refused() -> None:
    """Arguments and environment share 2 MiB, less what the agent and systemd add."""
    environment = [(f"V{n}", "y" * 100_000) for n in range(18)]
    escape.check_exec_size(["/bin/true", "x" * 100_000], environment)
    with pytest.raises(ValueError, match="command and environment"):
        escape.check_exec_size(["/bin/true", "x" * 100_000, "x" * 100_000], environment)


@pytest.mark.parametrize("text", ["a", "", "../etc", "/a/../b", "/a/..", "/" + "x" * 4095, "/a "])
def test_a_path_that_systemd_would_refuse_is_refused(text: str) -> None:
    """Paths are absolute, free of .., and no longer than the kernel takes."""
    with pytest.raises(ValueError, match=r"absolute|\.\.|4095|white space"):
        escape.path(text)


def test_a_path_is_spelt_without_detours() -> None:
    """262 refuses a credential's path that is not normalised; for the others it is the same."""
    assert escape.path("//srv/./a//b/") == "/srv/a/b"
    assert escape.credential("key", "/srv//k") == "key:/srv/k"
    assert escape.path("/") == "/"


def test_a_directory_may_be_the_home_and_may_be_missing() -> None:
    """``~`` and ``-`` are WorkingDirectory='s own syntax and pass."""
    assert [escape.directory(text) for text in ("~", "-~", "-/a b", "/50%")] == [
        "~",
        "-~",
        "-/a b",
        "/50%%",
    ]


def test_an_environment_files_backslash_is_no_escape() -> None:
    """The path is a pattern to systemd, in which a backslash would vanish."""
    assert escape.environment_file("-/a b/c\\d*") == "-/a b/c\\\\d*"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a:b", "/a"),
        ("a/b", "/a"),
        ("..", "/a"),
        ("é", "/a"),
        ("a", "/a b"),
        ("a", "/a\\b"),
        ("a", ""),
    ],
)
def test_a_credential_that_systemd_would_garble_is_refused(name: str, source: str) -> None:
    """Its name is a file's; a path with a space breaks the start from 254 on (decision 0103)."""
    with pytest.raises(ValueError, match=r"credential|\.\."):
        escape.credential(name, source)


def test_a_description_becomes_one_line() -> None:
    """Text for people may span lines where it was written."""
    assert escape.sentence("  nightly\n\tbackup 100%\x07 \\") == "nightly backup 100%%"


@given(st.integers(0, 10**18))
def test_a_span_says_the_same_time(microseconds: int) -> None:
    """Adding up what stands in a span gives back the length, to the microsecond."""
    sizes = {"h": 3_600_000_000, "min": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1, "": 1}
    parts = re.findall(r"(\d+)([a-z]*)", escape.span(timedelta(microseconds=microseconds)))
    assert sum(int(count) * sizes[unit] for count, unit in parts) == microseconds


def test_a_span_that_would_mean_never_is_refused() -> None:
    """To systemd a timeout of 0 is no timeout."""
    with pytest.raises(ValueError, match="positive"):
        escape.positive_span(timedelta(0))


@pytest.mark.parametrize(("value", "text"), [(150.0, "150%"), (12.5, "12.5%"), (0.25, "0.25%")])
def test_a_percentage_keeps_its_hundredths(value: float, text: str) -> None:
    """CPUQuota= takes two decimals."""
    assert escape.percent(value) == text
