"""Fills in the parts of the docs that the code knows better: keys, warnings, commands.

``python -m docs.generate`` rewrites, in every page below docs/, what stands between
``<!-- generated: BLOCK -->`` and ``<!-- end -->``; the rest of a page is written by hand. A test
fails while a page is not current. Blocks:

    keys GROUP          the keys of a group of jobs.toml, for Markdown
    key-list GROUP      the same for a man page; so are the other -lists
    table NAME          the keys of another table of jobs.toml
    commands            every command with its options
    warnings            every warning of ``hostagent check``, with an example of it
    gate EXAMPLE        what the catch-up gate says of an example
    refused             the directives that are not passed through to systemd
    section-list FILE TITLE  a section of another page below docs/, its tables made lists
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.generate import commands, gate, keys, lint
from docs.generate.text import wrapped

DOCS = Path(__file__).parents[1]
_BLOCK = re.compile(r"(<!-- generated: (?P<name>.+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")


def pages() -> Iterator[Path]:
    """Every page that has a generated part."""
    for path in sorted(DOCS.rglob("*.md")):
        if _BLOCK.search(path.read_text(encoding="utf-8")):
            yield path


def refreshed(text: str) -> str:
    """A page's text with all its generated parts as they should be."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{block(found['name'])}\n\n{found[3]}", text)


def block(name: str) -> str:
    """The text of one block."""
    kind, _, argument = name.partition(" ")
    return BLOCKS[kind](argument).strip("\n")


def _section(argument: str) -> str:
    """A section without its heading, up to the next heading; tables and links as a man page can.

    Raises:
        LookupError: there is none.
    """
    file, _, title = argument.partition(" ")
    lines, inside, in_code = [], False, False
    for line in (DOCS / file).read_text(encoding="utf-8").splitlines():
        in_code ^= line.startswith("```")
        if line.startswith("#") and not in_code:
            inside = line.lstrip("# ") == title
        elif inside:
            lines.append(line)
    if not lines:
        raise LookupError(f"{file} has no section {title}")
    return _LINK.sub(r"\1", "\n".join(_listed(lines)))


def _listed(lines: list[str]) -> Iterator[str]:
    """The lines, each table a definition list: the first column is the term, the last its text."""
    headings: list[str] = []
    for line in lines:
        if not line.startswith("|"):
            headings = []
            yield line
        elif not headings:
            headings = _cells(line)
        elif not line.startswith("|---"):
            term, *others, text = _cells(line)
            named = zip(headings[1:-1], others, strict=True)
            notes = "".join(f" ({heading}: {cell})" for heading, cell in named)
            yield from (f"{term}{notes}", wrapped(f":   {text}", "    "), "")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


BLOCKS: dict[str, Callable[[str], str]] = {
    "keys": keys.for_page,
    "key-list": keys.for_man,
    "table": keys.table_for_page,
    "table-list": keys.table_for_man,
    "gate": gate.for_page,
    "refused": lambda _: keys.refused(),
    "commands": lambda _: commands.for_page(),
    "command-list": lambda _: commands.for_man(),
    "warnings": lambda _: lint.for_page(),
    "warning-list": lambda _: lint.for_man(),
    "section-list": _section,
}
