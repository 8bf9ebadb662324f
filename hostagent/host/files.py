"""Files that must be whole after a power cut, and files that nobody else may have written."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # the kernel's own bound


@dataclass(frozen=True, slots=True)
class Distrust:
    """Why a file is not trusted: what of the way to it, and the command that mends that."""

    reason: str
    fix: str


def write_atomically(path: Path, data: bytes, mode: int = 0o644, *, sync: bool = True) -> None:
    """Replace ``path`` so that every reader, and every boot, finds the old or the new content.

    ``sync`` waits for the disk (the file, then its directory's entry); leave it out in /run.

    Raises:
        OSError: as writing does; ``path`` is then untouched and nothing is left beside it.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:200]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            if sync:
                os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    if sync:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_trusted(path: Path, uid: int) -> bool:
    """Whether only root and ``uid`` can have written ``path``; see ``distrust``."""
    return distrust(path, uid) is None


def distrust(path: Path, uid: int) -> str | None:
    """Why somebody other than root and ``uid`` could change what ``path`` says; None: nobody can.

    Judged are the file and every directory from / down to it, on the way of each symbolic link
    too. A directory that others may write passes only if it is sticky (such as /tmp) and what
    we take from it is root's or ``uid``'s. A missing file is judged by its directories.
    """
    found = distrusted(path, uid)
    return found.reason if found else None


def distrusted(path: Path, uid: int) -> Distrust | None:
    """As ``distrust``, with the way out."""
    here, links, reason = Path("/"), 0, None
    pending = [*reversed((Path.cwd() / path).parts[1:]), "."]  # "." is / itself, looked at first
    while pending:
        name = pending.pop()
        if name == "..":
            here = here.parent  # looked at on the way down
            continue
        part = here / name
        quoted = shlex.quote(str(part))
        try:
            facts = part.lstat()
        except FileNotFoundError:
            return reason
        except OSError as error:
            return Distrust(f"{part} cannot be looked at: {error.strerror}", f"ls -ld {quoted}")
        if facts.st_uid not in {0, uid}:
            return Distrust(f"{part} belongs to uid {facts.st_uid}", f"chown -h {uid} {quoted}")
        if stat.S_ISLNK(facts.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return Distrust(f"{part} leads to a loop of symbolic links", f"rm {quoted}")
            target = part.readlink()
            here = Path("/") if target.is_absolute() else here
            pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        reason = _writers(part, facts)
        is_sticky = stat.S_ISDIR(facts.st_mode) and bool(facts.st_mode & stat.S_ISVTX)
        if reason and not (is_sticky and pending):
            return reason
        here = part
    return None


def _writers(part: Path, facts: os.stat_result) -> Distrust | None:
    mode, fix = f"(mode {stat.S_IMODE(facts.st_mode):04o})", f"chmod go-w {shlex.quote(str(part))}"
    if stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX:  # such as /tmp: meant to be so
        fix = f"move what is read from {shlex.quote(str(part))} to where only root can write"
    if facts.st_mode & stat.S_IWOTH:
        return Distrust(f"{part} can be written by everybody {mode}", fix)
    if facts.st_mode & stat.S_IWGRP:
        return Distrust(f"{part} can be written by group {facts.st_gid} {mode}", fix)
    return None
