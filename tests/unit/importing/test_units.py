"""Reading unit files."""

from __future__ import annotations

from hostagent.errors import Problem
from hostagent.importing.units import read

MAIN = """\
# A comment
[Unit]
Description = Nightly  backup
; another
[Service]
ExecStart=/bin/x \\
# within
   --all \\
  --now
Environment=A=1
Environment=B=2
Nice=5
Nice=7
"""
DROP_IN = "[Service]\nEnvironment=\nEnvironment=C=3\nNice=9\n"


def test_values_come_with_the_lines_they_begin_at() -> None:
    """Comments and blank lines do not count, continued lines are one."""
    problems: list[Problem] = []
    unit = read("x.service", [("/x.service", MAIN)], problems)
    command = unit.last("Service", "ExecStart")
    assert command
    assert (command.text.split(), command.line) == (["/bin/x", "--all", "--now"], 6)
    said = unit.last("Unit", "Description")
    assert said
    assert (said.text, said.path, said.line) == ("Nightly  backup", "/x.service", 3)
    assert [value.text for value in unit.all("Service", "Environment")] == ["A=1", "B=2"]
    assert not problems


def test_a_drop_in_adds_replaces_and_resets() -> None:
    """An empty value empties the list, the last of plain values counts."""
    unit = read("x.service", [("/x.service", MAIN), ("/x.d/a.conf", DROP_IN)], [])
    assert [(v.text, v.path) for v in unit.all("Service", "Environment")] == [
        ("C=3", "/x.d/a.conf")
    ]
    nice = unit.last("Service", "Nice")
    assert nice
    assert nice.text == "9"
    assert unit.path == "/x.service"


def test_lines_that_are_none_are_told() -> None:
    """Each with its place."""
    problems: list[Problem] = []
    read("x.timer", [("x.timer", "A=1\n[Timer]\n\nwhat\n=1\n[Timer\n")], problems)
    assert list(map(str, problems)) == [
        'x.timer:1:1: "A" stands before the first [Section]',
        'x.timer:4:1: "what" is neither a [Section] nor Directive=value',
        'x.timer:5:1: "=1" is neither a [Section] nor Directive=value',
        'x.timer:6:1: "[Timer" is neither a [Section] nor Directive=value',
    ]
