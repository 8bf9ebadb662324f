"""Linters are tests like the others: one place says whether the tree is clean."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SCRIPTS = [
    *("test", "quickstart", "package", ".ci/run", ".ci/setup.sh", "units/hostagentd-fence.sh"),
    *(f"debian/hostagent.{name}" for name in ("postinst", "prerm", "postrm")),
]


def clean(*command: str | Path) -> None:
    """Run a linter in the checkout; what it complains about is the failure."""
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)


def test_code_is_formatted() -> None:
    """``ruff format`` would change nothing."""
    clean(BIN / "ruff", "format", "--check", ".")


def test_code_has_no_lint() -> None:
    """``ruff check`` finds nothing."""
    clean(BIN / "ruff", "check", ".")


def test_types_are_right() -> None:
    """``mypy --strict`` finds nothing (its settings are in pyproject.toml)."""
    clean(BIN / "mypy")


def test_imports_point_down() -> None:
    """No module imports from a room above it (the contracts are in pyproject.toml)."""
    clean(BIN / "lint-imports")


@pytest.mark.parametrize("script", SCRIPTS)
def test_shell_scripts_parse(script: str) -> None:
    """Every shell script parses, and has no lint where shellcheck is installed."""
    clean("bash", "-n", script)
    if shutil.which("shellcheck"):
        clean("shellcheck", "-x", script)
