"""What stands in the directory of unit files: read, judged as ours or foreign, and written whole.

Ours is a regular file that a manifest of ours names and that carries our marker. Nothing else is
ever overwritten or deleted.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MARKER = b"\nX-Hostagent="
"""A line that every unit we make has in its [Unit] section."""

_STAGED = ".hostagent-new-"


class Kind(StrEnum):
    """What a path holds."""

    MISSING = "missing"
    FILE = "file"
    MASK = "mask"  # a link to /dev/null, or an empty file
    OTHER = "other"  # another link, a directory, a device


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a unit's path; ``data`` is a file's content."""

    kind: Kind
    data: bytes = b""

    @property
    def sha256(self) -> str:
        """The content's digest, as in a manifest."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def is_marked(self) -> bool:
        """Whether the content carries our marker."""
        return MARKER in self.data


MISSING = Found(Kind.MISSING)


def look(units: Path, name: str) -> Found:
    """What stands at ``name`` in the directory ``units``."""
    path = f"{units}/{name}"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return MISSING
    except OSError:
        return Found(Kind.MASK if _is_null(path) else Kind.OTHER)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return Found(Kind.OTHER)
        if status.st_size == 0:
            return Found(Kind.MASK)
        data = bytearray()
        while block := os.read(fd, max(status.st_size, 4096) + 1):
            data += block
        return Found(Kind.FILE, bytes(data))
    finally:
        os.close(fd)


def look_at_all(units: Path, names: Iterable[str]) -> dict[str, Found]:
    """``look`` for each name."""
    return {name: look(units, name) for name in names}


def links(units: Path, targets: Iterable[str]) -> set[tuple[str, str]]:
    """The ``(unit, target)`` pairs that ``TARGET.wants`` enables."""
    found = set()
    for target in targets:
        try:
            found |= {(path.name, target) for path in (units / f"{target}.wants").iterdir()}
        except FileNotFoundError:
            continue
    return found


def link(units: Path, wants: Iterable[tuple[str, str]]) -> None:
    """Enable each ``(unit, target)``, as ``systemctl enable`` does. Idempotent."""
    made = set()
    for unit, target in wants:
        folder = f"{units}/{target}.wants"
        if target not in made:
            Path(folder).mkdir(mode=0o755, exist_ok=True)
            made.add(target)
        with suppress(FileExistsError):
            os.symlink(f"../{file_of(unit)}", f"{folder}/{unit}")  # noqa: PTH211 -- 1,000 times


def unlink(units: Path, wants: Iterable[tuple[str, str]]) -> None:
    """Disable each ``(unit, target)``. Idempotent."""
    for unit, target in wants:
        (units / f"{target}.wants" / unit).unlink(missing_ok=True)


def file_of(unit: str) -> str:
    """The file that defines a unit: an instance's template, else its own name."""
    prefix, at, rest = unit.partition("@")
    return f"{prefix}@.{rest.rpartition('.')[2]}" if at else unit


def stage(units: Path, texts: Mapping[str, str]) -> None:
    """Write new files beside the old ones under names that systemd ignores; durable after.

    Writing back starts for each file as soon as it is written, so that the first fsync commits
    them all: 0.1 s for 2,000 files instead of 0.36 s (measured on ext4).
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    for name, text in texts.items():
        fd = os.open(f"{units}/{_STAGED}{name}", flags, 0o644)
        try:
            data = memoryview(text.encode())
            while data:
                data = data[os.write(fd, data) :]
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
    for name in texts:
        sync(f"{units}/{_STAGED}{name}")


def put_in_place(units: Path, names: Iterable[str]) -> None:
    """Rename staged files to their names: each is the old one whole, or the new one whole."""
    for name in names:
        os.replace(f"{units}/{_STAGED}{name}", f"{units}/{name}")  # noqa: PTH105 -- 2,000 times


def sweep(units: Path) -> None:
    """Remove what an interrupted apply had staged."""
    for path in units.glob(f"{_STAGED}*"):
        path.unlink(missing_ok=True)


def sync(path: str | Path) -> None:
    """fsync a file or a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _is_null(path: str) -> bool:
    try:
        return str(Path(path).readlink()) == os.devnull
    except OSError:
        return False
