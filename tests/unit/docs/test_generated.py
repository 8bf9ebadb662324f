"""What the docs take from the code is current, and the man pages can be built."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from docs import generate
from docs.generate import commands, lint
from hostagent.spec.lint import CODES
from hostagent.spec.schema import File, JobTable, NotifyTable, PoolTable

PAGES = list(generate.pages())
MAN = sorted((generate.DOCS / "man").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_generated_part_is_current(page: Path) -> None:
    """A changed key, warning or command changes the page: run ``python -m docs.generate``."""
    text = page.read_text()
    assert text == generate.refreshed(text), "run: .venv/bin/python -m docs.generate"


@pytest.mark.parametrize("name", ["reference/jobs.toml.md", "man/jobs.toml.5.md"])
def test_every_key_of_every_table_has_its_entry(name: str) -> None:
    """No group of keys is left out of the reference or the man page."""
    text = (generate.DOCS / name).read_text()
    tables = (JobTable, PoolTable, NotifyTable)
    for key in (key for table in tables for key in table.model_fields):
        assert f"\n### {key}\n" in text or f"\n`{key}`\n:   " in text, key
    for table in set(File.model_fields) - {"defaults"}:
        assert f"[{table}.NAME" in text or f"[{table}." in text, table


def test_every_warning_has_an_example_that_raises_it() -> None:
    """And no note is left over from a warning that is gone."""
    assert set(lint.NOTES) == set(CODES)
    with pytest.raises(LookupError, match="raises"):
        lint.raised("HA101", '[job.x]\ncommand = "/bin/true"\ncalendar = "daily"\n')


def test_every_command_is_in_reference_and_man_page() -> None:
    """As is every option of it."""
    page = (generate.DOCS / "reference/commands.md").read_text()
    man = (generate.DOCS / "man/hostagent.1.md").read_text()
    found = list(commands.every())
    assert {"hostagent plan", "hostagent agent status"} <= {each.words for each in found}
    for each in found:
        assert f"\n## {each.words}\n\n`{each.usage}`\n" in page
        assert f"\n`{each.usage}`\n:   " in man


@pytest.mark.parametrize("page", MAN, ids=lambda page: page.name)
def test_a_man_page_builds_without_warnings(page: Path, tmp_path: Path) -> None:
    """pandoc makes roff of it, and its head names the page and its section."""
    if not shutil.which("pandoc"):
        pytest.skip("pandoc is not installed")
    out = tmp_path / page.stem
    command = ["pandoc", "-s", "-t", "man", "--fail-if-warnings", str(page), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    name, section = page.name.removesuffix(".md").rsplit(".", 1)
    assert f'.TH "{name.upper()}" "{section}"' in out.read_text().replace(r"\-", "-")
