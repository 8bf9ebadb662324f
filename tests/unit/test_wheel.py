"""The wheel and the sdist hold all that hostagent needs where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
ELSEWHERE = {"templates": "hostagent/_templates", "units": "hostagent/_units"}
"""What lies at the checkout's top level, and in the wheel among the code."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist, as ``./package python`` builds them."""
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(place)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel brings to site-packages."""
    (wheel,) = built.glob("*.whl")
    place = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def files(below: Path, name: str) -> set[str]:
    """The files in a directory, but for what Python leaves there."""
    found = (path for path in (below / name).rglob("*") if path.is_file())
    return {str(path.relative_to(below / name)) for path in found if path.suffix != ".pyc"}


def test_the_wheel_holds_every_file(unpacked: Path) -> None:
    """Code, migrations, templates and units are in it, and nothing else."""
    expected = files(CHECKOUT, "hostagent")
    for name, place in ELSEWHERE.items():
        there = {f"{place.partition('/')[2]}/{file}" for file in files(CHECKOUT, name)}
        assert there
        expected |= there
    assert files(unpacked, "hostagent") == expected
    others = {path.name.partition("-")[0] for path in unpacked.iterdir()}
    assert others == {"hostagent"}


def test_the_wheel_works_outside_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    """Units are compiled and the agent's own are found by what the wheel alone has."""
    (tmp_path / "jobs.toml").write_text('[job.a]\ncommand = "/bin/true"\ncalendar = "daily"\n')
    script = f"""
import hostagent
from hostagent.compile import templates
from hostagent.deploy import install
from hostagent.store.sql import schema

assert hostagent.__file__.startswith({str(unpacked)!r}), hostagent.__file__
assert str(templates._folder()).startswith({str(unpacked)!r})
install.ship({str(tmp_path)!r})
assert [file.name for file in schema.FILES.iterdir()]
"""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    compiling = ["-m", "hostagent", "compile", "--systemd=252", "--out=units", "jobs.toml"]
    for words in (["-c", script], compiling):
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "ExecStart=/bin/true" in (tmp_path / "units/hostagent-a.service").read_text()
    assert (tmp_path / "usr/lib/systemd/system/hostagent.service").exists()


def test_the_sdist_makes_the_wheel(built: Path) -> None:
    """What the wheel is made of is in the sdist."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("hostagent", *ELSEWHERE):
        assert {f"{name}/{file}" for file in files(CHECKOUT, name)} <= names
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
