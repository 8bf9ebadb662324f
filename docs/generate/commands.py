"""Every command and option for the docs: from the command line's own tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import typer
from typer.core import TyperArgument

from docs.generate.text import wrapped
from hostagent.cli import commands
from hostagent.cli.app import app


@dataclass(frozen=True)
class Command:
    """One command: its words, its parameters as (how it is written, what it means)."""

    words: str
    help: str
    usage: str
    parameters: tuple[tuple[str, str], ...]


@cache
def tree() -> Any:
    """The group at the top, as Typer makes it."""
    commands.register(app)
    return typer.main.get_command(app)


def for_page() -> str:
    """Every command, a heading for each."""
    return "\n\n".join(
        "\n".join(
            [
                f"## {command.words}",
                "",
                f"`{command.usage}`",
                "",
                *map(wrapped, command.help.split("\n\n")),
                *_options(command),
            ]
        )
        for command in every()
    )


def for_man() -> str:
    """Every command as a definition list."""
    return "\n\n".join(
        "\n".join(
            [
                f"`{command.usage}`",
                wrapped(f":   {command.help}", "    "),
                *(
                    f"\n{wrapped(f'    - `{way}`: {what}', '      ')}"
                    for way, what in command.parameters
                ),
            ]
        )
        for command in every()
    )


def every(group: Any = None, words: str = "hostagent") -> Iterator[Command]:
    """All commands, in the order of ``--help``."""
    group = group or tree()
    for name, command in ((name, group.commands[name]) for name in group.list_commands(None)):
        if hasattr(command, "commands"):
            yield from every(command, f"{words} {name}")
        elif not command.hidden:
            yield _command(f"{words} {name}", command)


def _command(words: str, command: Any) -> Command:
    usage, parameters = [words], []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        way = _way(parameter)
        parameters.append((way, _meaning(parameter)))
        often = "…" * (parameter.multiple or parameter.nargs < 0)
        is_needed = parameter.required
        usage.append(f"{way.split(', ')[-1]}" if is_needed else f"[{way.split(', ')[-1]}]{often}")
    return Command(words, _quoted(command.help), " ".join(usage), tuple(parameters))


def _way(parameter: Any) -> str:
    """How the parameter is written, as in ``-n, --limit LIMIT``."""
    if isinstance(parameter, TyperArgument):
        return str(parameter.name).upper()
    names = ", ".join(parameter.opts)
    return names if parameter.is_flag else f"{names} {parameter.opts[-1].strip('-').upper()}"


def _meaning(parameter: Any) -> str:
    """Its help, with its default where that is a value."""
    text = _quoted(parameter.help or "")
    default = parameter.default
    is_value = default not in {None, "", False} and not parameter.is_flag
    return f"{text} [default: {default}]" if is_value else text


def _options(command: Command) -> Iterator[str]:
    if not command.parameters:
        return
    yield from ("", "| option | meaning |", "|---|---|")
    for way, what in command.parameters:
        yield f"| `{way}` | {what} |"


def _quoted(text: str) -> str:
    """In one line, its options as code: else pandoc makes dashes of them."""
    return re.sub(r"(?<![\w`])(--[a-z][a-z-]*)", r"`\1`", " ".join(text.split()))
