"""What ``--help`` shows, as whoever reads it at night sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from docs.generate.commands import tree
from hostagent.cli.commands import TASKS


def groups(group: Any = None, words: str = "hostagent") -> Iterator[Any]:
    """Every command that has others below it."""
    group = group or tree()
    yield pytest.param(group, words, id=words)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from groups(command, f"{words} {name}")


def shown(command: Any, words: str) -> str:
    """Its --help, at 80 columns."""
    context = command.make_context(words, [], resilient_parsing=True, terminal_width=80)
    return f"{command.get_help(context)}\n"


@pytest.mark.parametrize(("group", "words"), list(groups()))
def test_what_a_command_does_is_said_in_one_line_and_not_cut(group: Any, words: str) -> None:
    """A sentence that ends in dots says nothing."""
    text = shown(group, words)
    for name in group.commands:
        (line,) = re.findall(rf"^  {name} .*$\n(?:   +.*\n)?", text, re.MULTILINE)
        assert line.rstrip().count("\n") == 0, line
        assert line.rstrip().endswith("."), line
        assert "..." not in line


def test_every_command_stands_under_its_task_and_exit_codes_below() -> None:
    """Once."""
    text = shown(tree(), "hostagent")
    assert [text.index(f"{task}:") for task in TASKS] == sorted(
        text.index(f"{task}:") for task in TASKS
    )
    assert sorted(tree().list_commands(None)) == sorted(tree().commands)
    assert "Exit codes: 0 done; 1 " in text
