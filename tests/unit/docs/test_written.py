"""What people copy out of the docs works: TOML loads, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.generate.commands import tree
from hostagent.spec.load import load

CHECKOUT = Path(__file__).parents[3]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`(hostagent [^`\n]+)`")
_LINK = re.compile(r"\[[^]]+\]\(([^)#:]+)(?:#[^)]*)?\)")


def name_of(page: Path) -> str:
    """The page as a person names it."""
    return str(page.relative_to(CHECKOUT))


def blocks(language: str) -> list[Any]:
    """Every code block in this language, named by page and line."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in _FENCE.finditer(text):
            if block[1] == language:
                line = text.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[2], id=f"{name_of(page)}:{line}"))
    return found


def command_lines() -> list[Any]:
    """Every hostagent command line, in code blocks and in the running text, once."""
    found: dict[str, str] = {}
    for page in PAGES:
        text = page.read_text()
        for block in _FENCE.finditer(text):
            if block[1] in {"console", "sh"}:
                for line in block[2].splitlines():
                    for part in re.split(r"&&|\||;", re.split(r" {2,}", line)[0]):
                        if typed := re.match(r"[#$ ]*(?:\S*/)?(hostagent\s.*)", part):
                            found.setdefault(typed[1].strip(), name_of(page))
        for span in _SPAN.finditer(_FENCE.sub("", text)):
            found.setdefault(span[1].strip(), name_of(page))
    return [pytest.param(line, id=f"{page}: {line}") for line, page in found.items()]


def parsed(line: str) -> None:
    """Parse a command line as the program would, without running anything.

    Raises what the parser raises; LookupError for a command that there is not.
    """
    words, command = shlex.split(_filled_in(line))[1:], tree()
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise LookupError(f"there is no command {words[0]}")
        command = command.commands[words.pop(0)]
    if words and {"-h", "--help", "--version"}.isdisjoint(words):
        command.make_context("hostagent", words)


def _filled_in(line: str) -> str:
    """A usage as one of its uses: options without their brackets, a number where one is meant."""
    text = re.sub(r"\[([^]\[]+)\]…?", r"\1", line)
    text = re.sub(r"(-n|--count|--limit|--systemd) [A-Z]+", r"\1 300", text)
    text = re.sub(r"--days [A-Z]+", "--days 7", text)
    return re.sub(r"\bGENERATION\b", "3", text)


@pytest.mark.parametrize("toml", blocks("toml"))
def test_a_jobs_toml_in_the_docs_loads(toml: str, tmp_path: Path) -> None:
    """Nobody copies a jobs.toml that is refused."""
    path = tmp_path / "jobs.toml"
    path.write_text(toml)
    assert load(path, check_host=False).spec.jobs


@pytest.mark.parametrize("line", command_lines())
def test_a_command_in_the_docs_exists(line: str) -> None:
    """With all its options, and nothing that is needed left out."""
    parsed(line)


@pytest.mark.parametrize(
    "line",
    ["hostagent frobnicate", "hostagent plan --frob", "hostagent run --wait", "hostagent --user"],
)
def test_a_command_that_does_not_exist_would_be_found(line: str) -> None:
    """The test above can fail."""
    with pytest.raises(Exception, match=r"no command|[Nn]o such option|[Mm]issing"):
        parsed(line)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_to_a_file(page: Path) -> None:
    """Links between pages do not dangle."""
    text = _FENCE.sub("", page.read_text())
    for target in _LINK.findall(text):
        assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_index() -> None:
    """A page that nothing links to is not read. Decisions are reached by their directory."""

    def targets(page: Path) -> Iterator[Path]:
        for target in _LINK.findall(page.read_text()):
            yield (page.parent / target).resolve()

    linked = {CHECKOUT / "README.md", *(target for page in PAGES for target in targets(page))}
    lost = [p for p in PAGES if p not in linked and p.parent.name != "decisions"]
    assert not lost
