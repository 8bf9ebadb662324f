"""Beats and revocations: the owner of a session and who ends it compete for one name.

``SESSION/BEAT``: the owner links its file once more, under the next number. That takes no block,
so it works on a full volume. Who revokes links a file that says so under the same next number:
one of them gets it. When a beat was made is told by the file server, which stamps a file when it
is given a name (st_ctime); nobody can set that, and whatever else moves it makes a beat look
younger. A lease that has passed by it is half over: the observer's own clock must agree.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from hostagent.errors import StoreError, StoreUnavailable
from hostagent.store.directory.calls import ID
from hostagent.store.directory.place import drafted, linked, names, numbers, read
from hostagent.store.directory.strict import text_of, value_of
from hostagent.store.port import Over

_FORMAT = 1
"""The version since which beats say what they do; those of any later one can be read."""

_DIGITS = 12
_TRIES = 100
_MOST = 1024 * 1024
Ttl = timedelta | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a beat's file says: how long it holds. ``revoked``: it is no beat, but the end."""

    ttl: timedelta | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Beat:
    """A session's last beat, and when it was linked, by the file server's clock.

    ``is_final``: the session was revoked, no other beat follows.
    """

    number: int
    at: datetime
    ttl: timedelta | None
    is_final: bool = False

    def has_expired(self, now: datetime) -> bool:
        """Whether its deadline has passed at ``now``, of the same clock."""
        return self.ttl is not None and self.at + self.ttl <= now


class Sessions:
    """The directories of all sessions. One thread at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, session_id: str, ttl: timedelta | None) -> Beat:
        """Make a session's directory with its first beat, number 0."""
        directory = self._of(session_id)
        directory.mkdir(mode=0o750)
        with _file(directory, Terms(ttl)) as source:
            linked(source, _name(directory, 0))
        beat = self.last(session_id)
        if beat is None:
            raise StoreUnavailable(f"{directory}: the first beat could not be made")
        return beat

    def last(self, session_id: str) -> Beat | None:
        """The last beat; None where there is no such session."""
        if not ID.fullmatch(session_id):
            return None
        directory = self._of(session_id)
        for _ in range(_TRIES):
            found = numbers(directory, _DIGITS)
            if not found:
                return None
            if beat := _read(directory, found[-1]):  # else the owner has gone on
                return beat
        raise StoreUnavailable(f"{directory} changes faster than it can be read")

    def beat(self, session_id: str, change: Callable[[Ttl], Ttl]) -> Beat | Over:
        """Make the next beat; it holds for what ``change`` makes of the last one's TTL.

        Raises:
            StoreUnavailable: whether it was made is not known.
        """
        directory, last = self._of(session_id), self.last(session_id)
        for _ in range(_TRIES):
            if last is None or last.is_final:
                return Over()
            ttl = change(last.ttl)
            before = _name(directory, last.number) if ttl == last.ttl else None
            with _file(directory, Terms(ttl), before) as source:
                is_ours = linked(source, _name(directory, last.number + 1))
            # A live one that is there already is of a reply that was lost, or of the process
            # before us: it may be older than this call, so the number after it is tried.
            number, last = last.number, self._after(directory, last)
            if is_ours and last is not None and not last.is_final:
                _drop_below(directory, number)
                return last
        raise StoreUnavailable(f"{directory}: another process beats for this session")

    def revoke(self, session_id: str, number: int) -> bool:
        """Take the number after beat ``number`` for a revocation; False when a beat has it.

        True, too, where one stands already, or the session's directory is gone.
        """
        directory, last = self._of(session_id), self.last(session_id)
        if last is None or last.is_final:
            return True
        if last.number != number:
            return False
        with _file(directory, Terms(revoked=True)) as source:
            is_ours = linked(source, _name(directory, number + 1))
        # Who was frozen between look and link may have got a name anew that the owner had passed:
        # only the last name counts.
        last = self.last(session_id) if is_ours else self._after(directory, last)
        return last is None or last.is_final

    def all(self) -> list[str]:
        """The ids of those that have a directory."""
        return [name for name in names(self.root) if ID.fullmatch(name)]

    def drop(self, session_id: str) -> None:
        """Remove a session's directory; no beat of it can be made from then on."""
        directory = self._of(session_id)
        with contextlib.suppress(FileNotFoundError):
            for path in directory.iterdir():
                path.unlink(missing_ok=True)
            directory.rmdir()

    def _after(self, directory: Path, last: Beat) -> Beat | None:
        """What is last once a link of the next number was tried.

        That name is opened, not looked for: a client may remember the listing from before.
        """
        if beat := _read(directory, last.number + 1):
            return beat
        found = self.last(directory.name)
        if found is not None and not found.is_final and found.number <= last.number:
            raise StoreUnavailable(f"{directory}: the next beat could not be made")
        return found

    def _of(self, session_id: str) -> Path:
        if not ID.fullmatch(session_id):
            raise StoreError(f"{self.root}: no session has such an id")
        return self.root / session_id


def _read(directory: Path, number: int) -> Beat | None:
    """The beat of that name, or, where it is a revocation, the one before it."""
    path = _name(directory, number)
    try:
        content = read(path, _MOST)
    except FileNotFoundError:
        return None
    terms, _ = value_of(Terms, content.data, path)
    if not terms.revoked:
        return Beat(number, content.linked_at, terms.ttl)
    before = _read(directory, number - 1) if number else None
    return replace(before or Beat(number - 1, content.linked_at, None), is_final=True)


@contextlib.contextmanager
def _file(directory: Path, terms: Terms, same: Path | None = None) -> Iterator[Path]:
    """A file of these terms to link: ``same``, which says so already, or a private one."""
    if same is not None:
        yield same
        return
    with drafted(directory) as draft:
        draft.fill([text_of(terms, _FORMAT)])
        yield draft.path


def _drop_below(directory: Path, number: int) -> None:
    for below in numbers(directory, _DIGITS):
        if below < number:
            _name(directory, below).unlink(missing_ok=True)


def _name(directory: Path, number: int) -> Path:
    return directory / f"{number:0{_DIGITS}d}"
