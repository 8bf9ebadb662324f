"""The agent's own units on this machine: written, enabled, started, removed again.

For what pip installed. A distribution's package carries the same files in its own places
(``ship``); beside it, only what this host's store asks for is written, and what would hide the
package's units is removed. Jobs' units are ``apply``'s and are never touched here, nor is
anything that a person wrote: configuration, ledger, generations.
"""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from hostagent.deploy.reach import drop_in
from hostagent.errors import InputError, RefusedError, SystemdError
from hostagent.host.files import write_atomically
from hostagent.host.paths import Paths

SERVICE, SOCKET = "hostagent.service", "hostagent.socket"
FENCE = ("hostagentd-once.target", "hostagentd-fence.target", "hostagentd-fence@.service")
"""What PID 1 stops jobs with when the lease has run out; not for a user's manager."""

SLEEP = "hostagentd-sleep.service"
"""While the host falls asleep and wakes up, no job starts; not for a user's manager."""

_OF_THE_SYSTEM = {"multi-user.target": SERVICE, "sleep.target": SLEEP}

FENCE_TIMERS = "hostagentd-fence@*.timer"
"""One of them stands while the host holds runs of the cluster."""

_CONF = "hostagent.conf"
"""How the files for sysusers.d and tmpfiles.d are called."""

_COMMAND = "/usr/bin/hostagent"
"""What the shipped units call."""


@dataclass(frozen=True, slots=True)
class _Places:
    """The directories of an installation's files."""

    units: Path
    libexec: Path
    sysusers: Path
    tmpfiles: Path
    catalog: Path


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    mode: int = 0o644


def is_packaged(paths: Paths) -> bool:
    """Whether a distribution's package brought the agent's units."""
    return not paths.user and (_vendor(paths.root).units / SERVICE).exists()


def ship(root: str) -> None:
    """Write below ``root`` the files that a distribution's package carries."""
    for file in _files(_vendor(Path(root)), _COMMAND):
        _write(file)


def install(paths: Paths, *, exec_path: str, store: str = "") -> list[Path]:
    """Write and enable the agent's units; returns what was changed, in order. Idempotent.

    ``exec_path`` is the hostagent command as the units shall call it; ``store`` is the URL that
    the agent must reach. Each file is replaced whole. Nothing is started: ``start`` does that, on
    the machine itself. Beside a package, its units are left to be the only ones.

    Raises:
        InputError: ``exec_path`` cannot stand in a unit.
        OSError: as writing does.
    """
    if not exec_path.startswith("/") or set(exec_path) & set(" \t\n\"'\\%$;"):
        raise InputError(f"{exec_path!r} cannot be called from a unit", "install it elsewhere")
    if is_packaged(paths):
        return _remove_own(paths) + _let_reach(paths, store)
    changed = [file.path for file in _own(paths, exec_path) if _write(file)]
    changed += _let_reach(paths, store)
    for link, unit in _links(paths).items():
        if _is_own(link, unit):
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / unit)
        changed.append(link)
    return changed


def uninstall(paths: Paths) -> list[Path]:
    """Remove what ``install`` wrote; returns what was there. Idempotent."""
    removed = _remove_own(paths)
    if _drop_in(paths).exists():
        _drop_in(paths).unlink()
        removed.append(_drop_in(paths))
    for place in (paths.libexec, _drop_in(paths).parent):
        with contextlib.suppress(OSError):
            place.rmdir()  # stays when something else lies in it
    return removed


def _remove_own(paths: Paths) -> list[Path]:
    """Remove the files and links of an installation without a package; returns what was there."""
    files = [file.path for file in _own(paths, _COMMAND)]
    packaged = is_packaged(paths)
    if packaged:  # it has these in the same place
        files = [path for path in files if path.parent != paths.libexec]
    links = [link for link, unit in _links(paths).items() if not packaged or _is_own(link, unit)]
    removed = [path for path in (*links, *files) if path.is_symlink() or path.exists()]
    for path in removed:
        path.unlink()
    return removed


def _is_own(link: Path, unit: str) -> bool:
    """Whether ``install`` made the link; a package's leads to where its units are."""
    return link.is_symlink() and link.readlink() == Path("..") / unit


def _drop_in(paths: Paths) -> Path:
    return paths.units / f"{SERVICE}.d" / "store.conf"


def _let_reach(paths: Paths, store: str) -> list[Path]:
    """The drop-in that opens the unit towards its store, as far as that is needed."""
    path, text = _drop_in(paths), drop_in(store)
    if text is None:
        if not path.exists():
            return []
        path.unlink()
        return [path]
    return [path] if _write(_File(path, text)) else []


def start(paths: Paths) -> None:
    """Make systemd take up what ``install`` wrote, and (re)start the agent.

    A restart stops no job and loses no start: the socket stays, and askers wait.

    Raises:
        SystemdError: a step failed; the message is what it printed.
    """
    if not paths.user:
        _run("systemd-sysusers", _CONF)
        _run("systemd-tmpfiles", "--create", _CONF)
        _run("journalctl", "--update-catalog")
    _systemctl(paths, "daemon-reload")
    _systemctl(paths, "start", SOCKET)
    _systemctl(paths, "restart", SERVICE)


def stop(paths: Paths) -> None:
    """Stop the agent, if it runs; to be called before ``uninstall``. A host's own jobs run on.

    Raises:
        RefusedError: the cluster's jobs run here. Without these units nothing would stop them when
            others take them over.
        SystemdError: systemd could not be reached.
    """
    if not paths.user and _systemctl(paths, "list-units", "--legend=no", FENCE_TIMERS):
        raise RefusedError(
            "jobs of the cluster run on this host, and PID 1 needs hostagent's units to stop them "
            "in time; nothing was changed",
            "wait for them: hostagent drain --wait",
        )
    for unit in (SERVICE, SOCKET):
        if is_packaged(paths) or (paths.units / unit).exists():
            _systemctl(paths, "stop", unit)


def forget(paths: Paths) -> None:
    """Make systemd forget what ``uninstall`` removed.

    Raises:
        SystemdError: systemd could not be reached.
    """
    _systemctl(paths, "daemon-reload")
    if not paths.user:
        _run("journalctl", "--update-catalog")


def _own(paths: Paths, exec_path: str) -> list[_File]:
    """What an installation without a package has, but for the links that enable it."""
    places = _Places(
        units=paths.units,
        libexec=paths.libexec,
        sysusers=paths.root / "etc/sysusers.d",
        tmpfiles=paths.root / "etc/tmpfiles.d",
        # The one directory that journalctl reads besides the packages' own.
        catalog=paths.root / "usr/local/lib/systemd/catalog",
    )
    return _files(places, exec_path, user=paths.user)


def _vendor(root: Path) -> _Places:
    """Where a distribution's package has its files."""
    lib = root / "usr/lib"
    return _Places(
        units=lib / "systemd/system",
        libexec=lib / "hostagent",
        sysusers=lib / "sysusers.d",
        tmpfiles=lib / "tmpfiles.d",
        catalog=lib / "systemd/catalog",
    )


def _files(places: _Places, exec_path: str, *, user: bool = False) -> list[_File]:
    shipped = _shipped()
    units = shipped / "user" if user else shipped
    service = (units / SERVICE).read_text(encoding="utf-8")
    started = service.replace(f"ExecStart={_COMMAND} ", f"ExecStart={exec_path} ")
    files = [
        _File(places.units / SERVICE, started),
        _File(places.units / SOCKET, (units / SOCKET).read_text(encoding="utf-8")),
        _File(places.libexec / "admit", _admission_client(), 0o755),
    ]
    if not user:
        fence = (shipped / "hostagentd-fence.sh").read_text(encoding="utf-8")
        files.append(_File(places.libexec / "fence", fence, 0o755))
        for source, place in {
            **{unit: places.units / unit for unit in (*FENCE, SLEEP)},
            "hostagent.sysusers": places.sysusers / _CONF,
            "hostagent.tmpfiles": places.tmpfiles / _CONF,
            "hostagent.catalog": places.catalog / "hostagent.catalog",
        }.items():
            files.append(_File(place, (shipped / source).read_text(encoding="utf-8")))
    return files


def _links(paths: Paths) -> dict[Path, str]:
    """What ``systemctl enable`` makes of the units' [Install] sections."""
    wanted = {"sockets.target": SOCKET}
    wanted |= {"default.target": SERVICE} if paths.user else _OF_THE_SYSTEM
    return {paths.units / f"{target}.wants" / unit: unit for target, unit in wanted.items()}


def _write(file: _File) -> bool:
    """Replace the file, unless it stands as it should; whether it was replaced."""
    if _stands(file):
        return False
    file.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file.path, file.text.encode(), file.mode)
    return True


def _stands(file: _File) -> bool:
    try:
        return (
            not file.path.is_symlink()
            and file.path.read_bytes() == file.text.encode()
            and file.path.stat().st_mode & 0o7777 == file.mode
        )
    except OSError:
        return False


def _admission_client() -> str:
    """The source of the ExecCondition client: one self-contained file, run on its own."""
    return (resources.files("hostagent") / "agent/admit.py").read_text(encoding="utf-8")


def _shipped() -> Traversable:
    """The units as shipped: in the installed package, or at the checkout's top level."""
    packaged = resources.files("hostagent") / "_units"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "units"


def _systemctl(paths: Paths, *arguments: str) -> str:
    return _run("systemctl", *(("--user",) if paths.user else ()), *arguments)


def _run(*command: str) -> str:
    """Run it; returns what it printed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemdError(f"{command[0]} could not be run: {error.strerror}") from error
    if done.returncode:
        raise SystemdError(f"{' '.join(command)} failed: {done.stderr.strip() or done.returncode}")
    return done.stdout
