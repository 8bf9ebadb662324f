"""Single values: durations, sizes, command lines."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.spec.command import check, split
from hostagent.spec.sizes import parse_percent, parse_size
from hostagent.spec.spans import format_span, parse_span
from hostagent.spec.values import WrongValueError

SPANS = {
    "90": 90,
    "5min 20s": 320,
    "1h30m": 5400,
    "1.5h": 5400,
    "2 weeks": 1_209_600,
    "1M": 2_629_800,
    "1y 12month": 63_115_200,
    " 3 d ": 259_200,
    "250ms": 0.25,
    "7us": 0.000007,
    "55s500ms": 55.5,
    "1h 30": 3630,
}
RECORDED = json.loads((Path(__file__).parent / "split.json").read_text())


@pytest.mark.parametrize(("text", "seconds"), SPANS.items())
def test_a_span_is_read_as_systemd_reads_it(text: str, seconds: float) -> None:
    """The values are what ``systemd-analyze timespan`` prints for the same texts."""
    assert parse_span(text) == timedelta(seconds=seconds)


@given(st.timedeltas(timedelta(0), timedelta(days=36525)))
def test_a_formatted_span_reads_back(span: timedelta) -> None:
    """format_span loses nothing."""
    assert parse_span(format_span(span)) == span


@pytest.mark.parametrize(
    "text", ["", "5 parsecs", "-1s", "infinity", "1..5h", "h", "1e3", "\u0661"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    """Neither empty nor negative nor endless nor in another unit."""
    with pytest.raises(WrongValueError):
        parse_span(text)


def test_sizes_are_base_1024() -> None:
    """As systemd.exec(5) has it; an integer is bytes."""
    assert parse_size("512M") == 512 * 1024**2
    assert parse_size("1.5G") == 3 * 512 * 1024**2
    assert parse_size(" 2 K ") == 2048
    assert parse_size("7B") == parse_size(7) == parse_size("7") == 7


@pytest.mark.parametrize(
    "value", ["", "1MB", "1g", "50%", "0", -1, 2**63, "8E", True, 1.5, "infinity"]
)
def test_what_is_no_size_is_refused(value: object) -> None:
    """A share of the memory is no size: it is another number on every host."""
    with pytest.raises(WrongValueError):
        parse_size(value)


def test_a_quota_is_percent_of_one_cpu() -> None:
    """With its sign, since 2 could be CPUs."""
    assert parse_percent("150%") == 150
    with pytest.raises(WrongValueError):
        parse_percent(2)


@pytest.mark.parametrize(("text", "words"), RECORDED)
def test_a_command_is_split_as_systemd_splits_it(text: str, words: list[str]) -> None:
    """The arguments are those that a process got from PID 1 (252) for the same ExecStart=."""
    assert split(f"/bin/x {text}")[1:] == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 'b c' \"d\\te\"", ["a", "b c", "d\te"]),
        ("a --x='y z'", ["a", "--x=y z"]),
        ("grep \\d+ '%h $HOME'", ["grep", "\\d+", "%h $HOME"]),
        ("a \\\n  b\n c", ["a", "b", "c"]),
        ("a '' \\;", ["a", "", ";"]),
        ("\\xc3\\xa9\\u00e9\\101", ["éé" + "A"]),
    ],
)
def test_quotes_and_escapes_are_those_of_unit_files(text: str, words: list[str]) -> None:
    """Lines may be continued; what systemd would expand stays as it is."""
    assert split(text) == words


@pytest.mark.parametrize(
    "text", ["a 'b", 'a "', "a ; b", "a \\xff", "a \\x00", "a \\ud800", "a \\"]
)
def test_a_command_that_cannot_be_meant_is_refused(text: str) -> None:
    """Unbalanced quotes, two commands, bytes that are no text."""
    with pytest.raises(WrongValueError):
        split(text)


@pytest.mark.parametrize("words", [[], [""], ["-/bin/x"], ["+x"], ["a b/c"], ["/a/"], ["/a'b"]])
def test_a_program_that_systemd_refuses_is_refused(words: list[str]) -> None:
    """Prefixes, relative paths, directories and quotes are no program's name."""
    with pytest.raises(WrongValueError):
        check(words)
