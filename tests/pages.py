"""The pages that people read: their code blocks, and what is typed in them.

A command line is a line of a ``console`` block with a prompt: ``# `` (root), ``$ `` (anybody) or
``cluster> `` (the tutorial's own). What stands behind two spaces or more is said, not typed. The
lines below it are what it shows.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

_PROMPT = re.compile(r"(# |\$ |cluster> )(.*)")


@dataclass(frozen=True)
class Block:
    """A code block, in which language, and the text between it and the block before."""

    page: Path
    line: int
    language: str
    text: str
    before: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


@dataclass(frozen=True)
class Typed:
    """A command line with its prompt, and the lines that it shows."""

    prompt: str
    command: str
    shown: tuple[str, ...]


def name_of(page: Path) -> str:
    """The page as a person names it."""
    return str(page.relative_to(CHECKOUT))


def blocks(page: Path) -> Iterator[Block]:
    """Every code block of a page, those in lists too."""
    text, end = page.read_text(), 0
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page, line, found[2], textwrap.dedent(found[3]), text[end : found.start()])
        end = found.end()


def typed(block: Block) -> Iterator[Typed]:
    """The command lines of a ``console`` block."""
    prompt, command, shown = "", "", list[str]()
    for line in [*block.text.splitlines(), "# "]:
        if not (begun := _PROMPT.fullmatch(line)):
            shown.append(line)
            continue
        if command:
            yield Typed(prompt, command, tuple(filter(str.strip, shown)))
        prompt, command, shown = begun[1], re.split(r" {2,}", begun[2])[0], []
