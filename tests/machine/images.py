"""Debian roots for container machines: built once by mmdebstrap, cached outside the checkout.

``python3 tests/machine/images.py bookworm [trixie sid bookworm+postgres]`` prints the path of each
root, after building what is missing. Standard library only, so that it runs before there is a
virtual environment. A root holds a bootable Debian with the dependencies of the project in
/opt/hostagent/venv, but nothing of the project itself: that is laid over it (``layer.py``).

The settings of the build host are honoured (mirror and proxy of its apt, index and certificates
of its pip); no host is spelled here but Debian's own, for build hosts that are no Debian.
"""

from __future__ import annotations

import configparser
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HOSTAGENT_CACHE", "/var/cache/hostagent"))
RELEASES = {"bookworm": 252, "trixie": 257, "sid": 262}
"""Debian's releases and the major version of their systemd; sid moves on, 262 is its least."""

VARIANTS = {
    "bookworm+postgres": ("postgresql", "libfaketime"),
    "sid+cron": ("systemd-cron",),
}
"""A root with more in it, named RELEASE+WHAT: the packages that come on top."""

VENV = "/opt/hostagent/venv"
UNUSED_DAYS = 14

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "dbus-user-session",  # with libpam-systemd: what `systemctl --user` needs
    "libpam-systemd",
    "libpq5",  # what psycopg calls
    "passwd",
    "procps",
    "python3",
    "tzdata",
)
BUILD_PACKAGES = ("python3-venv", "python3-dev", "gcc", "libc6-dev", "pkg-config", "libsystemd-dev")

# Runs inside, with the host's network. The build packages go again: a job's machine has no gcc.
INSTALL = f"""
set -eu
python3 -m venv {VENV}
{VENV}/bin/pip install --quiet --disable-pip-version-check --no-cache-dir "$@"
{VENV}/bin/pip uninstall --quiet --yes pip
apt-mark auto {" ".join(BUILD_PACKAGES)} >/dev/null
apt-get -qq autoremove --purge >/dev/null
mkdir -p /opt/hostagent/src /var/log/journal
rm -rf /var/lib/apt/lists/* /root/.cache
! systemctl is-enabled --quiet postgresql || systemctl disable --quiet postgresql
useradd --create-home --uid 1000 --shell /bin/bash alice
systemctl mask --quiet console-getty.service getty.target dev-hugepages.mount
systemctl list-unit-files --no-legend --type=timer | cut -d' ' -f1 | xargs -r systemctl mask --quiet
"""

FILES = {
    # A test that floods the journal wants to read all of it.
    "etc/systemd/journald.conf.d/machine.conf": "[Journal]\nRateLimitIntervalSec=0\n",
    "etc/hostname": "machine\n",
    "etc/locale.conf": "LANG=C.UTF-8\n",
}


class BuildError(Exception):
    """A root could not be built; the message says at which step and what it printed."""


def root(name: str) -> Path:
    """The cached root of a release or variant, built first if there is none for this recipe.

    Raises:
        BuildError: mmdebstrap, pip or apt failed.
    """
    dependencies, packages = _dependencies(), PACKAGES + VARIANTS.get(name, ())
    recipe = [name, packages, BUILD_PACKAGES, INSTALL, FILES, dependencies]
    return cached(name, recipe, lambda new: _build(name, packages, dependencies, new))


def cached(name: str, recipe: object, build: Callable[[Path], None]) -> Path:
    """The cached directory that ``build`` made; built first if there is none for this ``recipe``.

    Raises:
        BuildError: as ``build`` does.
    """
    key = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    path, new = CACHE / f"{name}-{key}", CACHE / f".new-{name}"
    if not path.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with _lock(name):
            if not path.is_dir():
                shutil.rmtree(new, ignore_errors=True)
                try:
                    build(new)
                    new.rename(path)
                finally:
                    shutil.rmtree(new, ignore_errors=True)
            _prune(name, keep=path)
    os.utime(path)
    return path


def mmdebstrap(release: str, target: Path, packages: Iterable[str], *options: str) -> None:
    """Make a Debian tree in ``target``. Raises BuildError."""
    command = ["mmdebstrap", "--variant=apt", "--mode=root", "--quiet", "--components=main"]
    command += [f"--include={','.join(packages)}"]
    command += [f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("doc", "man", "locale")]
    command += [f"--aptopt={line}" for line in _apt_settings()]
    if release == "sid":
        command += ['--aptopt=Acquire::Check-Valid-Until "false"']  # mirrors and caches lag
    run("mmdebstrap", [*command, *options, release, str(target), _mirror()])


def _dependencies() -> list[str]:
    """What pyproject.toml asks for at run time, a store on PostgreSQL included."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {})
    return sorted(project["dependencies"] + extras.get("postgres", []))


def _build(name: str, packages: tuple[str, ...], dependencies: list[str], new: Path) -> None:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:5.1f} s] {name}: {what}", file=sys.stderr, flush=True)

    say(f"building a Debian root in {CACHE} (once, a minute or two)")
    mmdebstrap(name.partition("+")[0], new, packages + BUILD_PACKAGES)
    say("installing the project's dependencies")
    run("pip", inside(new, ["/bin/sh", "-c", INSTALL, "install", *dependencies]))
    _remove_mount_points(new)
    for path, text in FILES.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_text(text)
    for path in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf"):
        (new / path).unlink(missing_ok=True)
    say("done")


def _apt_settings() -> list[str]:
    """How this host's apt reaches a mirror: proxies, certificates, retries, date checks."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    wanted = re.compile(r'Acquire::(https?::|Retries|Check-)[^ ]* "[^"]+";')
    return [line for line in dump.stdout.splitlines() if wanted.fullmatch(line)]


def _mirror() -> str:
    """This host's Debian mirror, else Debian's own."""
    etc = Path("/etc/apt")
    files = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.[ls]*"))]
    for file in files:
        if file.suffix in {".list", ".sources"} and file.is_file():
            lines = (line.partition("#")[0] for line in file.read_text().splitlines())
            for word in " ".join(lines).split():
                if re.fullmatch(r"https?://.*/debian/?", word):
                    return word
    return "http://deb.debian.org/debian"


def inside(target: Path, command: list[str], *more: str) -> list[str]:
    """``command`` run inside ``target`` with the host's network, pip settings and certificates.

    ``more`` are further options for systemd-nspawn.
    """
    options = ["--quiet", "--register=no", "--keep-unit", "--pipe", "--as-pid2", "--timezone=off"]
    options += ["--resolv-conf=replace-host", f"--directory={target}", *more]
    settings = _passed()
    options += [f"--setenv={name}={value}" for name, value in settings.items()]
    options += ["--setenv=LC_ALL=C.UTF-8", "--setenv=DEBIAN_FRONTEND=noninteractive"]
    for source, place in _pip_files(settings):
        options += [f"--bind-ro={source}:{place}"]
    # On a /run that is no tmpfs, nspawn leaves directories behind: give it a private one.
    private = "mkdir -p /run/systemd/nspawn; mount -t tmpfs nspawn /run/systemd/nspawn"
    script = f'{private}; exec systemd-nspawn "$@"'
    return ["unshare", "--mount", "/bin/sh", "-c", script, "inside", *options, *command]


def _passed() -> dict[str, str]:
    """The environment that tells pip where and how to find packages."""
    wanted = re.compile(r"PIP_.*|SSL_CERT_.*|.*_CA_BUNDLE|(https?|no|all)_proxy", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if wanted.fullmatch(name)}


def _pip_files(settings: dict[str, str]) -> list[tuple[Path, str]]:
    """The host's pip configuration, certificates, and every local path that these name."""
    home = Path.home()
    found = {
        Path(name): name
        for name in (
            "/etc/ssl/certs",
            "/usr/share/ca-certificates",
            "/usr/local/share/ca-certificates",
        )
        if Path(name).is_dir()
    }
    values = list(settings.values())
    configs = {
        Path("/etc/pip.conf"): "/etc/pip.conf",
        home / ".pip/pip.conf": "/root/.pip/pip.conf",
        home / ".config/pip/pip.conf": "/root/.config/pip/pip.conf",
    }
    if "PIP_CONFIG_FILE" in settings:
        configs[Path(settings["PIP_CONFIG_FILE"])] = settings["PIP_CONFIG_FILE"]
    for file, place in configs.items():
        if file.is_file():
            found[file] = place
            parser = configparser.RawConfigParser()
            parser.read(file)
            values += [value for section in parser.sections() for _, value in parser.items(section)]
    for word in " ".join(values).split():
        local = Path(word.removeprefix("file://"))
        if local.is_absolute() and local.exists():
            # The pages of an index on disk may point to files beside it.
            local = local.parent if word.startswith("file://") else local
            found.setdefault(local, str(local))
    return sorted(found.items())


def _remove_mount_points(root: Path) -> None:
    """What nspawn made in ``root`` to bind the host's files to, and left there, empty."""
    for _, place in _pip_files(_passed()):
        point = root / place.lstrip("/")
        if point.is_file() and point.stat().st_size == 0:
            point.unlink()
        elif point.is_dir() and not any(point.iterdir()):
            point.rmdir()


def run(step: str, command: list[str]) -> None:
    """Run a command that says nothing unless it fails. Raises BuildError."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise BuildError(f"{step} failed with exit status {done.returncode}:\n{tail}")


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    with (CACHE / f".lock-{name}").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: waiting for another builder", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(name: str, keep: Path) -> None:
    """Remove what nobody used for a while (``cached`` touches what it gives)."""
    for old in CACHE.glob(f"{name}-*"):
        if old != keep and time.time() - old.stat().st_mtime > UNUSED_DAYS * 86400:
            shutil.rmtree(old)


def main() -> int:
    """Build (or find) the roots named on the command line; all of them when none is."""
    known = [*RELEASES, *VARIANTS]
    for name in sys.argv[1:] or known:
        if name not in known:
            print(f"unknown root {name!r}; known: {', '.join(known)}", file=sys.stderr)
            return 2
        try:
            print(root(name), flush=True)
        except BuildError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
