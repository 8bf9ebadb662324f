"""Broken files: each is refused with every problem at its place, in words that help.

``tests/golden/errors/NN-name`` holds a jobs.toml and what must be said about it, to the letter.
After a deliberate change of a message: ``HOSTAGENT_ACCEPT=1 pytest tests/unit/spec``, and read
the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hostagent.errors import InputError
from hostagent.spec.load import load

CORPUS = Path(__file__).parents[2] / "golden" / "errors"
CASES = sorted(CORPUS.iterdir())


def refusal(directory: Path, monkeypatch: pytest.MonkeyPatch) -> InputError:
    """The error that ``load`` raises for the jobs.toml in that directory."""
    monkeypatch.chdir(directory)
    with pytest.raises(InputError) as caught:
        load(Path("jobs.toml"))
    return caught.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_broken_file_is_refused_in_these_words(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problems are those that are expected, in the order of files and lines."""
    error = refusal(case, monkeypatch)
    expected = case / "expected"
    if os.environ.get("HOSTAGENT_ACCEPT"):
        expected.write_text(f"{error}\n", encoding="utf-8")
    assert f"{error}\n" == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_problem_stands_at_a_place(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line and column lie inside the file, and no message has a line break in it."""
    error = refusal(case, monkeypatch)
    assert error.exit_code == 2
    for problem in error.problems:
        lines = Path(problem.path).read_text(encoding="utf-8").split("\n")
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert not re.search(r"[\x00-\x1f]", problem.message + (problem.hint or ""))
        assert len(str(problem)) < 500


def test_the_corpus_has_sixty_cases() -> None:
    """Fewer would mean that cases got lost."""
    assert len(CASES) >= 60
