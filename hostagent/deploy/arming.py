"""Starting timers without firing them.

A persistent timer computes its next elapse from its stamp file's time, so that is set to now
first; one without a stamp must be unknown to PID 1 (``actions`` sees to that). All start in one
transaction, pulled in by a target that is gone again at once: a thousand calls of ``StartUnit``
take 1.1 s, one of a target that wants them 0.5 s (measured on 252).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hostagent.deploy import disk
from hostagent.deploy.actions import is_persistent
from hostagent.errors import SystemdError
from hostagent.host.paths import Paths
from hostagent.systemd.port import Systemd

_TARGET = "hostagentd-arm.target"


def stamp(
    paths: Paths,
    timers: Iterable[str],
    texts: Mapping[str, str],
    loaded: Collection[str],
    at: datetime,
) -> None:
    """Make persistent timers believe that they elapsed at ``at``.

    PID 1 makes the stamp of a timer that it does not know by itself, with the time of its start.
    """
    when = (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
    persistent = {name for name in {disk.file_of(t) for t in timers} if is_persistent(texts[name])}
    for timer in timers:
        if disk.file_of(timer) not in persistent:
            continue
        path = f"{paths.stamps}/stamp-{timer}"
        if timer in loaded:
            paths.stamps.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
        with suppress(FileNotFoundError):
            os.utime(path, ns=(when, when))


def start(systemd: Systemd, paths: Paths, timers: Sequence[str]) -> None:
    """Start timers and wait until they are up.

    Raises:
        SystemdError: some are not; the message names the first of them.
    """
    if not timers:
        return
    target = _runtime_units(paths) / _TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(_text(timers))
    try:
        systemd.start([_TARGET], no_block=False)
    finally:
        target.unlink(missing_ok=True)
    loaded = systemd.loaded("hostagent-*.timer")
    if down := [timer for timer in timers if loaded.get(timer) != "active"]:
        more = f" and {len(down) - 5} more" if len(down) > 5 else ""
        raise SystemdError(
            f"these timers did not start: {', '.join(down[:5])}{more}",
            f"ask why: systemctl status {down[0]}",
        )


def drop_stamps(paths: Paths, timers: Iterable[str]) -> None:
    """Remove the stamps of timers that are no more: a job of that name starts afresh one day."""
    for timer in timers:
        (paths.stamps / f"stamp-{timer}").unlink(missing_ok=True)


def _runtime_units(paths: Paths) -> Path:
    if paths.user:
        return paths.runtime.parent / "systemd/user"
    return paths.root / "run/systemd/system"


def _text(timers: Iterable[str]) -> str:
    """A target that wants the timers, is up when they are, and stops since nobody needs it."""
    pulls = "".join(f"Wants={timer}\nAfter={timer}\n" for timer in timers)
    return (
        "[Unit]\nDescription=hostagent apply arms timers\n"
        f"DefaultDependencies=no\nStopWhenUnneeded=yes\n{pulls}"
    )
