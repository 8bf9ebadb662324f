"""A user's place of its own, where ``--user`` leads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from hostagent.host.paths import Paths, user


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    """Empty."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return user()


def asked(command: Callable[..., None], *words: str) -> Result:
    """Call one command, for the user."""
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, [*words, "--user"])
