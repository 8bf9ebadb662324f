"""The crontabs that Debian's packages ship: all of them come over, nothing is lost unnamed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hostagent.importing.cron import Kind, Source, import_cron
from hostagent.importing.jobs import Imported
from tests.unit.importing.loading import jobs_of, said

DATA = Path(__file__).parents[2] / "data/crontabs"
FILES = sorted(path for path in DATA.rglob("*") if path.is_file() and path.parent != DATA)


def imported(path: Path) -> Imported:
    """The import of one of the files, under the path that it has in its package."""
    kind = Kind.ANACRON if path.name == "anacrontab" else Kind.SYSTEM
    shown = "/" + path.relative_to(DATA).as_posix().partition("/")[2]
    return import_cron([Source(shown, path.read_text(), kind)], "Europe/Berlin")


def name_of(path: Path) -> str:
    """Package and file."""
    return f"{path.relative_to(DATA).parts[0]}:{path.name}"


def test_there_are_crontabs_of_some_thirty_packages() -> None:
    """The test below can fail."""
    assert len({path.relative_to(DATA).parts[0] for path in FILES}) >= 29


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_line_becomes_a_job(path: Path) -> None:
    """As the user and at the times that the line names, through the same shell."""
    jobs = list(jobs_of(imported(path)).values())
    lines = [
        line
        for line in path.read_text().splitlines()
        if line.strip() and not re.match(r"\s*(#|[A-Z_]+\s*=)", line)
    ]
    assert len(jobs) == len(lines)
    for job, line in zip(jobs, lines, strict=True):
        if path.name == "anacrontab":
            assert line.endswith(job.command[-1])
            continue
        fields = line.split(None, 2 if line.startswith("@") else 6)
        assert job.user == fields[-2]
        command = fields[-1].replace("\\%", "%")
        assert job.command == ("/bin/sh", "-c", command) or " ".join(job.command) == command
        when = " ".join(fields[:-2])
        assert when in {job.schedule.text, "@reboot"}


def test_what_is_not_carried_over_of_them_is_this() -> None:
    """Mail, daemons and what a package's own timer does; each with its line."""
    found = [line for path in FILES for line in said(imported(path))]
    kinds = {
        "MAILTO is not carried over": 5,
        "asks whether systemd runs": 9,
        "@reboot: ": 2,
        "ends in &": 1,
        "anacron names no time of day": 1,
    }
    assert {kind: sum(kind in line for line in found) for kind in kinds} == kinds
    assert len(found) == sum(kinds.values())
