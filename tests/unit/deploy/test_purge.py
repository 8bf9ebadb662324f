"""What a purge of the package takes and leaves: its own script, on an image with jobs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hostagent.cli.app import app
from hostagent.cli.commands import register

SCRIPT = Path(__file__).parents[3] / "debian/hostagent.postrm"
UNITS = "etc/systemd/system"
JOBS = """
[job.backup]
command = "/bin/true"
calendar = "daily"

[job.report]
command = "/bin/true"
every = "36h"
for_each = ["east", "west side"]

[job.warm]
command = "/bin/true"
on_boot = true
run_on = "each"
"""
WRITTEN = (
    "etc/hostagent/jobs.toml",
    f"{UNITS}/hostagent-backup.service.d/mine.conf",
    f"{UNITS}/hostagent-mine.service",
    f"{UNITS}/timers.target.wants/hostagent-mine.timer",
)
"""What a person wrote, be it beside a job or called as one."""


def files(root: Path) -> set[str]:
    """Every file and link below a root."""
    found = (path for path in root.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(root)) for path in found}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image on which jobs were applied, and which a person has written to."""
    for name in WRITTEN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(JOBS if name.endswith(".toml") else "[Unit]\n")
    register(app)
    with pytest.raises(SystemExit) as done:
        app(["apply", f"--root={tmp_path}", "--systemd=252", str(tmp_path / WRITTEN[0])])
    assert done.value.code == 0
    return tmp_path


def purge(root: Path, how: str) -> None:
    """Run the script as dpkg does."""
    environment = {**os.environ, "DPKG_ROOT": str(root)}
    subprocess.run(["sh", SCRIPT, how], env=environment, check=True)


def test_a_purge_leaves_what_a_person_wrote(image: Path) -> None:
    """Units of jobs with their links and stamps, the ledger and the generations are gone."""
    stamps = image / "var/lib/systemd/timers"
    stamps.mkdir(parents=True, exist_ok=True)
    for name in "hostagent-backup", "hostagent-report@east", "hostagent-mine", "other":
        (stamps / f"stamp-{name}.timer").touch()
    assert len(files(image / UNITS)) > len(WRITTEN) + 6
    purge(image, "purge")
    others = {f"var/lib/systemd/timers/stamp-{name}.timer" for name in ("hostagent-mine", "other")}
    assert files(image) == {*WRITTEN, *others}


def test_a_removal_leaves_all_of_it(image: Path) -> None:
    """Without a purge, no file of the jobs is touched."""
    before = files(image)
    purge(image, "remove")
    assert files(image) == before
