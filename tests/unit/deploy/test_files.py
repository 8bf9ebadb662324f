"""Generations, the lock and unit files on a real file system."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hostagent.deploy import disk, generations, lock
from hostagent.deploy.disk import MISSING, Kind
from hostagent.deploy.generations import Generation
from hostagent.deploy.overrides import drop_ins, search_path, shadows
from hostagent.errors import InputError, LockedError, RefusedError
from hostagent.host import paths
from hostagent.host.paths import Paths
from tests.unit.deploy.builders import generation, job


@pytest.fixture
def places(tmp_path: Path) -> Paths:
    """The places of an image."""
    made = paths.system(tmp_path)
    made.units.mkdir(parents=True)
    made.generations.mkdir(parents=True)
    return made


def store(places: Paths, number: int, *names: str) -> Generation:
    """A stored generation of jobs."""
    made = generation(*(job(name) for name in names), number=number)
    generations.write(places, made)
    return made


def test_a_generation_reads_back_as_it_was_written(places: Paths) -> None:
    """Manifest and texts, to the byte."""
    made = store(places, 3, "a", "b")
    assert generations.read(places, 3) == made
    assert generations.numbers(places) == [3]
    assert generations.current(places) is None


def test_flip_changes_the_current_one(places: Paths) -> None:
    """``current`` is a link to one number, replaced in one step; the agent reads through it."""
    first, second = store(places, 1, "a"), store(places, 2, "b")
    generations.flip(places, 1)
    assert generations.current(places) == first.manifest
    generations.flip(places, 2)
    assert generations.current(places) == second.manifest
    assert places.manifest.read_bytes() == (places.generations / "2/manifest.json").read_bytes()


def test_ten_generations_are_kept_and_the_current_one(places: Paths) -> None:
    """The oldest go first; one that is in force stays, however old."""
    for number in range(1, 14):
        store(places, number, "a")
    generations.flip(places, 2)
    generations.finish(places)
    assert generations.numbers(places) == [2, *range(4, 14)]


def test_what_was_begun_is_remembered_until_it_is_finished(places: Paths) -> None:
    """Several interrupted applies are all remembered: files of each may stand."""
    assert generations.pending(places) == ()
    generations.begin(places, 4)
    generations.begin(places, 5)
    assert generations.pending(places) == (4, 5)
    generations.finish(places)
    assert generations.pending(places) == ()


@pytest.mark.parametrize("name", ["manifest.json", "units.json"])
@pytest.mark.parametrize("damage", ["", "{", "[]", '{"x": 1}'])
def test_damage_is_noticed(places: Paths, name: str, damage: str) -> None:
    """A damaged generation is refused with its number, never a traceback."""
    store(places, 1, "a")
    (places.generations / "1" / name).write_text(damage)
    with pytest.raises(RefusedError, match="generation 1"):
        generations.read(places, 1)


def test_a_text_that_is_not_the_manifests_is_damage(places: Paths) -> None:
    """Each unit's digest is checked."""
    made = store(places, 1, "a")
    text = (places.generations / "1/units.json").read_text()
    (places.generations / "1/units.json").write_text(text.replace("true", "evil"))
    with pytest.raises(RefusedError, match="damaged"):
        generations.read(places, 1)
    assert generations.manifest_of(places, 1) == made.manifest


def test_a_missing_generation_names_those_that_are_kept(places: Paths) -> None:
    """So that a person can choose."""
    store(places, 7, "a")
    with pytest.raises(InputError) as caught:
        generations.read(places, 5)
    assert caught.value.hint == "kept are: 7"


def test_a_half_written_generation_does_not_count(places: Paths) -> None:
    """It gets its number by a rename, when it is whole."""
    (places.generations / ".1").mkdir()
    (places.generations / ".1/manifest.json").write_text("{")
    assert generations.numbers(places) == []
    store(places, 1, "a")
    assert generations.numbers(places) == [1]


def test_the_lock_keeps_a_second_apply_out_and_names_the_first(tmp_path: Path) -> None:
    """The pid is that of the process that holds it, and the lock goes with it."""
    script = (
        "import sys; from pathlib import Path; from hostagent.deploy.lock import held\n"
        "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "state/apply.lock"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match=rf"pid {holder.pid}\b"), lock.held(path):
            pass
        holder.kill()
    with lock.held(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_staged_files_are_put_in_place_whole(places: Paths) -> None:
    """Until then the old content stands, and systemd sees no file of ours besides."""
    (places.units / "hostagent-a.service").write_text("old")
    disk.stage(places.units, {"hostagent-a.service": "new", "hostagent-b.service": "other"})
    assert (places.units / "hostagent-a.service").read_text() == "old"
    assert not [p.name for p in places.units.iterdir() if p.name.startswith("hostagent-b")]
    disk.put_in_place(places.units, ["hostagent-a.service"])
    assert (places.units / "hostagent-a.service").read_text() == "new"
    disk.sweep(places.units)
    assert [path.name for path in places.units.iterdir()] == ["hostagent-a.service"]


def test_files_have_the_mode_that_systemd_expects(places: Paths) -> None:
    """0644, whatever the umask of the one who applies takes away from others only."""
    disk.stage(places.units, {"x": "text"})
    disk.put_in_place(places.units, ["x"])
    assert (places.units / "x").stat().st_mode & 0o777 == 0o644


def test_what_stands_is_told_apart(places: Paths) -> None:
    """Missing, a file, a mask (a link to /dev/null or an empty file), something else."""
    units = places.units
    (units / "file").write_bytes(b"[Unit]\nX-Hostagent=a\n")
    (units / "empty").touch()
    (units / "null").symlink_to("/dev/null")
    (units / "link").symlink_to("file")
    (units / "folder").mkdir()
    os.mkfifo(units / "fifo")
    assert disk.look(units, "nothing") == MISSING
    assert disk.look(units, "file").is_marked
    kinds = {name: disk.look(units, name).kind for name in ("file", "empty", "null", "link")}
    assert kinds == {"file": Kind.FILE, "empty": Kind.MASK, "null": Kind.MASK, "link": Kind.OTHER}
    assert disk.look(units, "folder").kind is disk.look(units, "fifo").kind is Kind.OTHER


def test_links_are_made_and_removed_like_systemctls(places: Paths) -> None:
    """Relative, to the file that defines the unit; twice is once."""
    wants = [("hostagent-a.timer", "timers.target"), ("hostagent-b@eu.timer", "timers.target")]
    for _ in range(2):
        disk.link(places.units, wants)
    folder = places.units / "timers.target.wants"
    assert str((folder / "hostagent-b@eu.timer").readlink()) == "../hostagent-b@.timer"
    assert disk.links(places.units, ["timers.target", "other.target"]) == set(wants)
    for _ in range(2):
        disk.unlink(places.units, wants[:1])
    assert disk.links(places.units, ["timers.target"]) == set(wants[1:])


def test_drop_ins_and_shadows_are_found_by_systemds_rules(places: Paths) -> None:
    """Everything that applies to a unit of ours, and nothing else."""
    manifest = generation(job("a-b", for_each=("eu",))).manifest
    folders = {
        "hostagent-a-b@eu.service.d": True,
        "hostagent-a-b@.timer.d": True,
        "hostagent-a-.service.d": True,
        "hostagent-.timer.d": True,
        "hostagent-normal.slice.d": True,
        "hostagent-a-b@us.service.d": False,
        "hostagent-b-.service.d": False,
        "hostagent-a-b.service.d": False,
        "service.d": False,
        "hostagent.service.d": False,
    }
    for folder in folders:
        (places.units / folder).mkdir()
        (places.units / folder / f"{folder}.conf").touch()
        (places.units / folder / "README").touch()
    found = {f"{unit}.d" for unit, _ in drop_ins(places, manifest)}
    assert found == {folder for folder, applies in folders.items() if applies}
    control = places.root / "etc/systemd/system.control"
    control.mkdir()
    (control / "hostagent-a-b@.service").touch()
    (control / "hostagent-other.service").touch()
    assert list(shadows(places, manifest)) == [
        ("hostagent-a-b@.service", control / "hostagent-a-b@.service")
    ]


@pytest.mark.parametrize("kind", ["system", "user"])
def test_the_search_path_is_systemds(kind: str) -> None:
    """``systemd-analyze unit-paths`` is the oracle (what this systemd has, in its order)."""
    asked = subprocess.run(
        ["systemd-analyze", f"--{kind}", "unit-paths"], capture_output=True, text=True, check=False
    )
    if asked.returncode or (kind == "user" and "XDG_RUNTIME_DIR" not in os.environ):
        pytest.skip("no systemd-analyze, or no user session")
    ours = [str(path) for path in search_path(paths.system() if kind == "system" else paths.user())]
    theirs = [line for line in asked.stdout.split() if line in ours]
    assert theirs
    assert [path for path in ours if path in theirs] == theirs


def test_rollback_needs_an_earlier_generation(places: Paths) -> None:
    """The one before the current one, or the one that is named."""
    from hostagent.deploy.apply import Site  # noqa: PLC0415
    from hostagent.deploy.rollback import earlier, stored  # noqa: PLC0415

    site = Site(places, "host")
    with pytest.raises(InputError, match="no earlier generation"):
        earlier(site)
    for number in (1, 2, 3):
        store(places, number, f"job{number}")
    generations.flip(places, 3)
    assert [j.name for j in stored(site, earlier(site)[-1]).manifest.jobs] == ["job2"]
    assert [j.name for j in stored(site, 1).manifest.jobs] == ["job1"]
    generations.flip(places, 1)
    with pytest.raises(InputError, match="no earlier generation"):
        earlier(site)
    assert replace(stored(site, 2).manifest, generation=2) == generations.read(places, 2).manifest
