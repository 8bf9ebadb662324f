"""The how-tos show what the import really writes."""

from __future__ import annotations

import re
from pathlib import Path

from hostagent.importing.timers import Pair, import_timers
from hostagent.importing.units import read
from tests.unit.importing.loading import system

HOW_TO = Path(__file__).parents[3] / "docs/how-to"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL
    )


def test_the_crontab_of_the_how_to_becomes_the_jobs_beside_it() -> None:
    """To the letter, the warning too."""
    page = "from-cron.md"
    crontab, warning = blocks(page, "text")
    found = system(crontab, "/etc/crontab", "Europe/Berlin")
    assert found.toml("Written by hostagent import cron.") == blocks(page, "toml")[0]
    assert "".join(f"warning: {each}\n" for each in found.warnings) == warning


def test_the_units_of_the_how_to_become_the_job_beside_them() -> None:
    """To the letter, the warning too."""
    page = "from-systemd-timers.md"
    timer, service = (
        read(name, [(f"/etc/systemd/system/{name}", text)], [])
        for name, text in zip(("backup.timer", "backup.service"), blocks(page, "ini"), strict=True)
    )
    found = import_timers([Pair(timer, service)], "Europe/Berlin")
    assert found.toml("Written by hostagent import timers.") == blocks(page, "toml")[0]
    assert "".join(f"warning: {each}\n" for each in found.warnings) == blocks(page, "text")[0]
