"""The agent's own units on this machine: written, enabled, started, removed again.

For what pip installed; a distribution's package ships the same files in its own places and does
not need this. Jobs' units are ``apply``'s and are never touched here, nor is anything that a
person wrote: configuration, ledger, generations.
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

FENCE_TIMERS = "hostagentd-fence@*.timer"
"""One of them stands while the host holds runs of the cluster."""

_EXEC_START = "ExecStart=/usr/bin/hostagent "
"""How the shipped units call the command; the rest of the line are its arguments."""


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    mode: int = 0o644


def install(paths: Paths, *, exec_path: str, store: str = "") -> list[Path]:
    """Write and enable the agent's units; returns what was changed, in order. Idempotent.

    ``exec_path`` is the hostagent command as the units shall call it; ``store`` is the URL that
    the agent must reach. Each file is replaced whole. Nothing is started: ``start`` does that, on
    the machine itself.

    Raises:
        InputError: ``exec_path`` cannot stand in a unit.
        OSError: as writing does.
    """
    if not exec_path.startswith("/") or set(exec_path) & set(" \t\n\"'\\%$;"):
        raise InputError(f"{exec_path!r} cannot be called from a unit", "install it elsewhere")
    changed = []
    for file in _files(paths, exec_path):
        if _stands(file):
            continue
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file.path, file.text.encode(), file.mode)
        changed.append(file.path)
    changed += _let_reach(paths, store)
    for link, unit in _links(paths).items():
        if link.is_symlink() and link.readlink() == Path("..") / unit:
            continue
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..") / unit)
        changed.append(link)
    return changed


def uninstall(paths: Paths) -> list[Path]:
    """Remove what ``install`` wrote; returns what was there. Idempotent."""
    removed = []
    files = [file.path for file in _files(paths, "/")]
    for path in (*_links(paths), *files, _drop_in(paths)):
        if path.is_symlink() or path.exists():
            path.unlink()
            removed.append(path)
    for place in (paths.libexec, _drop_in(paths).parent):
        with contextlib.suppress(OSError):
            place.rmdir()  # stays when something else lies in it
    return removed


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
    file = _File(path, text)
    if _stands(file):
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode(), file.mode)
    return [path]


def start(paths: Paths) -> None:
    """Make systemd take up what ``install`` wrote, and (re)start the agent.

    A restart stops no job and loses no start: the socket stays, and askers wait.

    Raises:
        SystemdError: a step failed; the message is what it printed.
    """
    if not paths.user:
        _run("systemd-sysusers", str(_sysusers(paths)))
        _run("systemd-tmpfiles", "--create", str(_tmpfiles(paths)))
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
        if (paths.units / unit).exists():
            _systemctl(paths, "stop", unit)


def forget(paths: Paths) -> None:
    """Make systemd forget what ``uninstall`` removed.

    Raises:
        SystemdError: systemd could not be reached.
    """
    _systemctl(paths, "daemon-reload")
    if not paths.user:
        _run("journalctl", "--update-catalog")


def _files(paths: Paths, exec_path: str) -> list[_File]:
    """Everything that belongs to an installation, but for the links that enable it."""
    shipped = _shipped()
    units = shipped / "user" if paths.user else shipped
    service = (units / SERVICE).read_text(encoding="utf-8")
    files = [
        _File(paths.units / SERVICE, service.replace(_EXEC_START, f"ExecStart={exec_path} ")),
        _File(paths.units / SOCKET, (units / SOCKET).read_text(encoding="utf-8")),
        _File(paths.libexec / "admit", _admission_client(), 0o755),
    ]
    if not paths.user:
        fence = (shipped / "hostagentd-fence.sh").read_text(encoding="utf-8")
        files.append(_File(paths.libexec / "fence", fence, 0o755))
        for source, place in {
            **{unit: paths.units / unit for unit in FENCE},
            "hostagent.sysusers": _sysusers(paths),
            "hostagent.tmpfiles": _tmpfiles(paths),
            # The one directory that journalctl reads besides the packages' own.
            "hostagent.catalog": paths.root / "usr/local/lib/systemd/catalog/hostagent.catalog",
        }.items():
            files.append(_File(place, (shipped / source).read_text(encoding="utf-8")))
    return files


def _links(paths: Paths) -> dict[Path, str]:
    """What ``systemctl enable`` makes of the units' [Install] sections."""
    target = "default.target" if paths.user else "multi-user.target"
    return {
        paths.units / f"{target}.wants" / SERVICE: SERVICE,
        paths.units / "sockets.target.wants" / SOCKET: SOCKET,
    }


def _sysusers(paths: Paths) -> Path:
    return paths.root / "etc/sysusers.d/hostagent.conf"


def _tmpfiles(paths: Paths) -> Path:
    return paths.root / "etc/tmpfiles.d/hostagent.conf"


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
