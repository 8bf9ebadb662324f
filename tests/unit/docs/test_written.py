"""What people copy out of the docs works: TOML loads, commands exist, links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.generate.commands import tree
from hostagent.agent import config
from hostagent.host import paths
from hostagent.spec.load import load
from tests.pages import CHECKOUT, FENCE, PAGES, Block, blocks, name_of, typed

LANGUAGES = {"console", "ini", "json", "python", "sh", "text", "toml", "yaml"}
_SPAN = re.compile(r"`(hostagent [^`\n]+)`")
_LINK = re.compile(r"\[[^]]+\]\(([^)#:]*)(?:#([^)]*))?\)")

BLOCKS = [block for page in PAGES for block in blocks(page)]


def of_language(*languages: str) -> list[Any]:
    """Every code block in one of these languages, named by page and line."""
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language in languages]


def shell_lines(block: Block) -> list[str]:
    """What is typed in a block, as a shell would read it."""
    if block.language == "sh":
        return block.text.splitlines()
    lines = (line for line in typed(block))
    return [re.sub(r"^(host\d|all) ", "", line.command) for line in lines if _is_shell(line)]


def _is_shell(line: Any) -> bool:
    return line.prompt != "cluster> " or re.match(r"host\d |all ", line.command) is not None


def command_lines() -> list[Any]:
    """Every hostagent command line, in code blocks and in the running text, once."""
    found: dict[str, str] = {}
    for block in BLOCKS:
        if block.language in {"console", "sh"}:
            for line in shell_lines(block):
                for part in re.split(r"&&|\|+|;", line):
                    if run := re.match(r"\s*(?:\S*/)?(hostagent\s.*)", part):
                        found.setdefault(run[1].strip(), name_of(block.page))
    for page in PAGES:
        for span in _SPAN.finditer(FENCE.sub("", page.read_text())):
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


@pytest.mark.parametrize("block", of_language("toml"))
def test_a_toml_in_the_docs_loads(block: Block, tmp_path: Path) -> None:
    """Nobody copies a jobs.toml, or an agent.toml, that is refused."""
    if "[job." not in block.text:
        places = paths.system(tmp_path)
        places.config.mkdir(parents=True)
        places.agent_toml.write_text(block.text)
        config.load(places)
        return
    path = tmp_path / "jobs.toml"
    path.write_text(block.text)
    assert load(path, check_host=False).spec.jobs


def test_the_jobs_of_the_clusters_tutorial_are_those_in_its_file() -> None:
    """What the page shows is what it has the reader copy."""
    page = CHECKOUT / "docs/tutorial/cluster.md"
    shown = [block.text for block in blocks(page) if block.language == "toml"]
    assert shown == [page.with_suffix(".toml").read_text()]


@pytest.mark.parametrize("block", of_language("json"))
def test_a_json_in_the_docs_loads(block: Block) -> None:
    """Likewise."""
    json.loads(block.text)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block in no language, or an unknown one, would be checked by nobody."""
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_typed_is_shell(page: Path) -> None:
    """All quotes are closed; nothing that is copied waits for more."""
    lines = [
        line
        for block in blocks(page)
        if block.language in {"console", "sh"}
        for line in shell_lines(block)
    ]
    done = subprocess.run(
        ["bash", "-n"], input="\n".join(lines), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


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
    """Links between pages do not dangle, and the heading that one names is there."""
    for target, heading in _LINK.findall(FENCE.sub("", page.read_text())):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not heading or heading in headings(path), f"{target}#{heading}"


def headings(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    found = re.findall(r"(?m)^#+ (.*)$", FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_page_is_reached_from_the_index() -> None:
    """A page that nothing links to is not read. Decisions are reached by their directory."""

    def targets(page: Path) -> Iterator[Path]:
        for target, _ in _LINK.findall(page.read_text()):
            yield (page.parent / target).resolve()

    linked = {CHECKOUT / "README.md", *(target for page in PAGES for target in targets(page))}
    lost = [p for p in PAGES if p not in linked and p.parent.name != "decisions"]
    assert not lost
