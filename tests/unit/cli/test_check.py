"""What ``hostagent check`` says (cli.writing)."""

from __future__ import annotations

import json
from pathlib import Path

from hostagent.cli.writing import check
from hostagent.host.paths import Paths
from tests.unit.cli.conftest import asked

DOUBTFUL = '[job.relative]\ncommand = "backup"\ncalendar = "daily"\n'
BROKEN = '[job.broken]\ncommand = "dump"\ncalender = "daily"\nretries = -1\n'


def written(paths: Paths, text: str) -> Path:
    """The user's jobs.toml."""
    paths.jobs_toml.parent.mkdir(parents=True)
    paths.jobs_toml.write_text(text)
    return paths.jobs_toml


def test_errors_and_warnings_are_told_at_once_and_counted(paths: Paths) -> None:
    """The warnings of sound jobs first, then what is wrong; a broken job is not warned of."""
    file = written(paths, DOUBTFUL + BROKEN)
    told = asked(check)
    assert (told.exit_code, told.stdout) == (2, "")
    lines = [line for line in told.stderr.splitlines() if not line.startswith("  hint: ")]
    assert [line.removeprefix("warning: ").split(" ")[0] for line in lines[:-1]] == [
        f"{file}:2:11:",
        f"{file}:6:1:",
        f"{file}:7:11:",
    ]
    assert lines[-1] == "2 errors, 1 warning; nothing was changed"
    said = json.loads(asked(check, "--json").stdout)
    assert not said["ok"]
    assert [w["code"] for w in said["warnings"]] == ["HA105"]
    assert len(said["problems"]) == 2


def test_one_of_a_kind_is_one(paths: Paths) -> None:
    """Not "1 jobs, 1 warnings"."""
    file = written(paths, DOUBTFUL)
    assert asked(check).stdout == f"{file}: 1 job, 1 warning\n"


def test_a_program_that_is_not_there_is_told_with_a_way_out(paths: Paths) -> None:
    """Where it is looked for: on the host itself."""
    written(paths, DOUBTFUL.replace("backup", "/nowhere/backup"))
    hint = "it would fail at each occurrence: write the right path, or install it"
    assert f"  hint: {hint}\n" in asked(check).stderr
