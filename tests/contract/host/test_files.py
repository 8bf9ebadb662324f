"""Whole files and trusted files, on a real file system."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hostagent.host.files import distrust, is_trusted, write_atomically

ME = os.getuid()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory that only we can write, below one that everybody can but is sticky (/tmp)."""
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_replaced_with_its_mode(place: Path, sync: bool) -> None:
    """Content and mode are those asked for, whatever was there and whatever the umask."""
    path = place / "file"
    path.write_bytes(b"old")
    before = os.umask(0o077)
    try:
        write_atomically(path, b"new", 0o644, sync=sync)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in place.iterdir()] == ["file"]


def test_a_reader_finds_old_or_new_and_nothing_between(place: Path) -> None:
    """However often it is written and read at once."""
    path = place / "file"
    contents = [bytes([letter]) * 50_000 for letter in b"ab"]
    write_atomically(path, contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                write_atomically(path, content, sync=False)

    writer = threading.Thread(target=write)
    writer.start()
    seen = {path.read_bytes() for _ in range(2000)}
    stop.set()
    writer.join()
    assert seen <= set(contents)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(place: Path) -> None:
    """A full disk (here: a limit on the size of files) changes nothing."""
    path = place / "file"
    path.write_bytes(b"old")
    code = f"""
import resource, signal
from pathlib import Path
from hostagent.host.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    write_atomically(Path({str(path)!r}), b"x" * 10_000)
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "27", resource.RLIMIT_FSIZE
    assert path.read_bytes() == b"old"
    assert [p.name for p in place.iterdir()] == ["file"]


def test_a_file_of_ours_is_trusted(place: Path) -> None:
    """Below a sticky /tmp, too: nobody else can replace what is ours there."""
    path = place / "jobs.toml"
    path.write_text("")
    assert distrust(path, ME) is None
    assert is_trusted(path, ME)
    assert is_trusted(Path("/usr/bin/env"), 4711)


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o602])
def test_a_file_that_others_may_write_is_not(place: Path, mode: int) -> None:
    """Everybody or a group; the reason names file and mode."""
    path = place / "jobs.toml"
    path.write_text("")
    path.chmod(mode)
    assert f"{path} can be written by" in str(distrust(path, ME))
    assert f"(mode {mode:04o})" in str(distrust(path, ME))


def test_nor_one_below_a_directory_that_others_may_write(place: Path) -> None:
    """Any directory on the way counts; a sticky one only if the file could be made there."""
    directory = place / "open"
    (directory / "deep").mkdir(parents=True)
    path = directory / "deep" / "jobs.toml"
    path.write_text("")
    directory.chmod(0o777)
    assert str(distrust(path, ME)).startswith(f"{directory} can be written by everybody")
    directory.chmod(0o1777)
    assert is_trusted(path, ME)
    assert not is_trusted(directory / "missing.toml", ME)
    assert is_trusted(directory / "deep" / "missing.toml", ME)


def test_the_way_of_a_symbolic_link_counts(place: Path) -> None:
    """Where a link stands, and where it leads, over ``..`` too; loops are no trust."""
    open_place = place / "open"
    open_place.mkdir()
    (open_place / "target").write_text("")
    open_place.chmod(0o777)
    (place / "link").symlink_to("open/target")
    assert str(distrust(place / "link", ME)).startswith(str(open_place))
    (place / "inner").mkdir()
    (place / "inner" / "up").symlink_to("../open")
    assert not is_trusted(place / "inner" / "up" / ".." / "open" / "target", ME)
    (place / "good").write_text("")
    (place / "to-good").symlink_to(place / "good")
    assert is_trusted(place / "to-good", ME)
    (place / "loop").symlink_to("loop")
    assert "loop" in str(distrust(place / "loop", ME))


@pytest.mark.skipif(os.getuid() != 0, reason="giving files away needs root")
def test_a_file_of_another_user_is_not_trusted(place: Path) -> None:
    """Only root and the named user may own anything on the way; root may always."""
    path = place / "jobs.toml"
    path.write_text("")
    os.chown(path, 4711, 4711)
    assert str(distrust(path, 0)) == f"{path} belongs to uid 4711"
    assert is_trusted(path, 4711)
    os.chown(place, 4712, 4712)
    assert not is_trusted(path, 4711)
