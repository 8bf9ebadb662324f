"""Files as files: absent, odd, absurd, or open to hands that must not choose what runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostagent.errors import InputError
from hostagent.spec import tables
from hostagent.spec.load import load

JOB = '[job.a]\ncommand = "/usr/bin/true"\ncalendar = "daily"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A good jobs.toml in a directory of its own."""
    path = tmp_path / "etc" / "jobs.toml"
    path.parent.mkdir(mode=0o755)
    path.write_text(JOB)
    path.chmod(0o644)
    return path


def refused(path: Path, trusted_uid: int | None = None) -> str:
    """What is said about the file, without its path."""
    with pytest.raises(InputError) as caught:
        load(path, check_host=False, trusted_uid=trusted_uid)
    assert all(problem.line >= 1 for problem in caught.value.problems)
    return str(caught.value).replace(f"{path.parent}/", "").replace(str(path.parent), "DIR")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    assert "jobs.toml:1:1: cannot be read: No such file" in refused(tmp_path / "jobs.toml")


def test_what_is_no_regular_file_is_refused_at_once(file: Path) -> None:
    """Directories, FIFOs (which would block for ever), devices, links to nowhere."""
    for make in (Path.mkdir, os.mkfifo, lambda p: p.symlink_to("/dev/null")):
        file.unlink() if not file.is_dir() else file.rmdir()
        make(file)
        assert "is not a regular file" in refused(file)
    file.unlink()
    file.symlink_to("nowhere")
    assert "cannot be read" in refused(file)


def test_a_file_over_four_mebibytes_is_not_read(file: Path) -> None:
    """Its size is told."""
    file.write_text("#" * (4 * 1024 * 1024 + 1))
    assert "is 4194305 bytes long; at most 4194304" in refused(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = '\xff'\n", "jobs.toml:2:6: is not UTF-8 text"),
        (b"\xef\xbb\xbf" + JOB.encode(), "jobs.toml:1:1: begins with a byte order mark"),
        (b"\0", "jobs.toml:1:1: invalid statement"),
        (b"a = " + b"[" * 100_000, "jobs.toml:1:1: is nested absurdly deep"),
        (b"#\na" + b".a" * 2_000_000 + b" = 1\n", "jobs.toml:2:1: a key has more than 50 parts"),
        (b"[job.a]\nretries = " + b"1" * 5000, "jobs.toml:2:11: a number is absurdly long"),
    ],
)
def test_absurd_content_is_refused_with_its_place(file: Path, content: bytes, said: str) -> None:
    """No traceback, whatever the bytes are."""
    file.write_bytes(content)
    assert said in refused(file)


def test_too_many_jobs_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound counts all files together."""
    monkeypatch.setattr(tables, "MAX_JOBS", 1)
    file.with_suffix(".d").mkdir()
    (file.parent / "jobs.d" / "b.toml").write_text(JOB.replace("job.a", "job.b"))
    assert "2 jobs; at most 1 are read" in refused(file)


def test_drop_ins_are_read_by_name(file: Path) -> None:
    """*.toml in jobs.d; hidden files and others are left alone."""
    drop_ins = file.parent / "jobs.d"
    drop_ins.mkdir()
    for name in ("20.toml", "10.toml", ".hidden.toml", "old.toml~", "README"):
        job = f"j{name[:2]}" if name[0].isdigit() else "bad name"
        (drop_ins / name).write_text(JOB.replace("job.a", f"job.{job}"))
    loaded = load(file, check_host=False)
    assert [job.name for job in loaded.spec.jobs] == ["a", "j10", "j20"]
    assert [Path(path).name for path, _ in loaded.spec.sources] == [
        "jobs.toml",
        "10.toml",
        "20.toml",
    ]


def test_files_of_the_trusted_user_are_taken(file: Path) -> None:
    """Nobody else can write them."""
    assert load(file, check_host=False, trusted_uid=os.getuid()).spec.jobs


def test_what_others_can_write_is_refused(file: Path) -> None:
    """The file, its directory, and the drop-ins' directory; each with what to do."""
    uid = os.getuid()
    os.chown(file, uid, 12345) if uid == 0 else None
    file.chmod(0o664)
    assert "can be written by the group" in refused(file, uid)
    file.chmod(0o646)
    assert "jobs.toml:1:1: can be written by everybody\n  hint: chmod o-w" in refused(file, uid)
    file.chmod(0o644)
    file.parent.chmod(0o777)
    assert "DIR:1:1: can be written by everybody" in refused(file, uid)
    file.parent.chmod(0o755)
    drop_ins = file.parent / "jobs.d"
    drop_ins.mkdir()
    drop_ins.chmod(0o777)
    assert "jobs.d:1:1: can be written by everybody" in refused(file, uid)
    assert load(file, check_host=False).spec.jobs


def test_nobody_is_told_to_close_a_sticky_directory(file: Path) -> None:
    """Without its mode /tmp would not work for others; it is the file that must go elsewhere."""
    file.parent.chmod(0o1777)
    said = refused(file, os.getuid())
    assert "DIR:1:1: can be written by everybody\n  hint: move the file to where only root" in said
    assert "chmod" not in said


def test_a_symbolic_link_is_refused_where_trust_matters(file: Path, tmp_path: Path) -> None:
    """Its target may be anybody's; on a laptop it is fine."""
    link = tmp_path / "jobs.toml"
    link.symlink_to(file)
    assert "is a symbolic link" in refused(link, os.getuid())
    assert load(link, check_host=False).spec.jobs


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(file: Path) -> None:
    """Even if only its owner can write it."""
    os.chown(file, 12345, 0)
    assert "belongs to uid 12345, not to root" in refused(file, 0)
