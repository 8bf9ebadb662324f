"""The shared directory itself: what is refused, how files get in, and the file server's clock.

Every file is whole when its name appears: written privately, synced, then hard-linked. Nothing
here knows what the files say.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from hostagent.errors import StoreError, StoreUnavailable

LARGEST = 64 * 1024 * 1024
"""Bytes: no file of ours is larger, but snapshots. A larger one is refused unread."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REFUSING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}
_PRIVATE = ".t"


class Draft:
    """A private file in ``directory``. ``at`` is the file server's clock as it was made.

    Raises:
        OSError: there is no room for a name, or no right to make one.
    """

    def __init__(self, directory: Path) -> None:
        self.nonce = os.urandom(16).hex()  # what secrets does, without OpenSSL
        self.path = directory / f"{_PRIVATE}{self.nonce}"
        # No O_TMPFILE: NFS has none.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.open(self.path, flags, 0o640)
        # At once: when it is written, a client may keep the time by itself.
        self.at = _instant(os.fstat(self._file).st_mtime_ns)

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Write all, and wait for the file server's disk. Once."""
        file, self._file = self._file, -1
        with open(file, "wb", buffering=1024 * 1024) as writer:  # noqa: PTH123 -- a descriptor
            writer.writelines(chunks)
            writer.flush()
            os.fsync(writer.fileno())

    def drop(self) -> None:
        """Take the private name away; what was linked to it stays."""
        self._close()  # first: NFS keeps an open file under another name
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@dataclass(frozen=True, slots=True)
class Content:
    """What a file says. ``linked_at`` is when its last name was made or dropped (its ctime)."""

    data: bytes
    linked_at: datetime


class Place:
    """A directory that hosts share.

    Raises:
        StoreUnavailable: it is not there; it may not be mounted yet.
        StoreError: it is no directory, or others than root and this user could have laid it out.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log, self.sessions, self.snapshots = (
            root / name for name in ("log", "sessions", "snapshots")
        )
        with errors(root):
            self._check()

    def set_up(self) -> None:
        """Make the layout, and try what all depends on: hard links.

        Raises:
            StoreError: the file system has no hard links.
        """
        with errors(self.root):
            for part in (self.log, self.sessions, self.snapshots):
                part.mkdir(mode=0o750, exist_ok=True)
            self._check()
            with drafted(self.root) as draft:
                _probe(draft)

    def is_set_up(self) -> bool:
        """Whether a writer has been here."""
        return self.log.is_dir()

    def require(self) -> None:
        """Tell an empty mount point from a store.

        Raises:
            StoreUnavailable: no writer has been here.
        """
        if not self.is_set_up():
            raise StoreUnavailable(
                f"{self.root} is not set up yet", "mount it, or run: hostagent apply"
            )

    def now(self) -> datetime:
        """The file server's clock, by a file just created: it needs no block of the volume."""
        with errors(self.root), drafted(self.root) as draft:
            return draft.at

    def _check(self) -> None:
        parts = (self.root, self.log, self.sessions, self.snapshots)
        for part in parts:
            try:
                facts = part.lstat()
            except FileNotFoundError:
                if part is self.root:
                    raise StoreUnavailable(
                        f"{part} does not exist", "mount it, or make it once on the share"
                    ) from None
                continue
            if reason := _distrust(facts):
                raise StoreError(
                    f"{part} {reason}",
                    "the directory must be root's, and nobody else's to write; "
                    "an NFS export needs no_root_squash",
                )


def _distrust(facts: os.stat_result) -> str | None:
    if not stat.S_ISDIR(facts.st_mode):
        return "is not a directory"
    if facts.st_uid not in {0, os.geteuid()}:
        return f"belongs to uid {facts.st_uid}"
    if facts.st_mode & (stat.S_IWOTH | stat.S_IWGRP) and not facts.st_mode & stat.S_ISVTX:
        return f"can be written by others (mode {stat.S_IMODE(facts.st_mode):04o})"
    return None


def _probe(draft: Draft) -> None:
    other = draft.path.with_name(draft.path.name + "-link")
    try:
        os.link(draft.path, other)
        links = other.stat().st_nlink
        other.unlink()
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise
        links = 1
    if links != 2:
        raise StoreError(
            f"the file system of {draft.path.parent} has no hard links",
            "use NFS or another POSIX file system, or the engine of PostgreSQL",
        )


@contextlib.contextmanager
def drafted(directory: Path) -> Iterator[Draft]:
    """A private file for the time of the block.

    It goes when the block fails, too: a link whose reply is in doubt cannot come true later
    without its source.
    """
    draft = Draft(directory)
    try:
        yield draft
    finally:
        draft.drop()


def linked(source: Path, name: Path) -> bool:
    """Give ``source`` the further name; False when there was no success to be seen.

    A False decides nothing: the reply of a link that was made can be lost, and the next try is
    then told that the name exists. Only what the name holds can tell.

    Raises:
        OSError: there is no room for a name, or no right to make one.
    """
    try:
        os.link(source, name)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.EIO, errno.ETIMEDOUT, errno.ENOENT, errno.ESTALE}:
            return False
        raise
    sync(name.parent)
    return True


def sync(directory: Path) -> None:
    """Make its names last."""
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def read(path: Path, most: int = LARGEST) -> Content:
    """What a file says now: opening it asks the file server again.

    Raises:
        OSError: as opening does.
        StoreError: it is no plain file, or larger than ``most`` bytes.
    """
    with opened(path) as reader:
        facts = os.fstat(reader.fileno())
        if facts.st_size > most:
            raise StoreError(f"{path} is no file of hostagent")
        return Content(reader.read(most + 1), _instant(facts.st_ctime_ns))


def opened(path: Path) -> IO[bytes]:
    """A plain file, open to read.

    Raises:
        OSError: as opening does.
        StoreError: it is a link, a pipe, a device.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    reader = open(os.open(path, flags), "rb")  # noqa: PTH123, SIM115 -- the caller closes it
    if not stat.S_ISREG(os.fstat(reader.fileno()).st_mode):
        reader.close()
        raise StoreError(f"{path} is no plain file")
    return reader


def sweep(directory: Path, before: datetime) -> None:
    """Remove the private files that processes left which were killed before then."""
    for path in directory.glob(f"{_PRIVATE}*"):
        with contextlib.suppress(FileNotFoundError):
            if _instant(path.lstat().st_ctime_ns) < before:
                path.unlink()


def names(directory: Path) -> list[str]:
    """The names in a directory, private files left out, sorted; none where there is none."""
    try:
        found = os.listdir(directory)  # noqa: PTH208 -- names are wanted, not paths
    except FileNotFoundError:
        return []
    return sorted(name for name in found if not name.startswith("."))


def numbers(directory: Path, digits: int) -> list[int]:
    """The names that are numbers of so many digits, as such."""
    return [
        int(name)
        for name in names(directory)
        if len(name) == digits and name.isascii() and name.isdigit()
    ]


def _instant(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


@contextlib.contextmanager
def errors(path: Path) -> Iterator[None]:
    """The kernel's errors as the port's."""
    try:
        yield
    except OSError as error:
        text = f"{error.filename or path}: {error.strerror}"
        if error.errno in _REFUSING:
            raise StoreError(text, "be root, or a member of the group hostagent") from error
        raise StoreUnavailable(text) from error
