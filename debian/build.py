"""Builds the .deb of each Debian release, in a container of that release.

``python -m debian.build [bookworm trixie]`` leaves ``dist/hostagent_VERSION+debN_ARCH.deb`` and
says so. What the package holds and how that is made is said in ``rules``, what it asks for in
``control``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

from hostagent import __version__
from tests.machine import images

RELEASES = {"bookworm": 12, "trixie": 13}
"""Debian's releases with a package, and their numbers."""

SOURCES = ("hostagent", "templates", "units", "debian", "examples", "docs/man")
FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
MAINTAINER = "hostagent maintainers <maintainers@hostagent.invalid>"

BUILD_PACKAGES = (
    *images.BUILD_PACKAGES,
    "build-essential",
    "debhelper",
    "lintian",
    "pandoc",  # the man pages
    "python3",
)

# Runs inside: the sources are at /src, read-only; what is built goes to /out.
BUILD = """
set -eu
exec 2>&1
cp -r /src /build
cd /build
dpkg-buildpackage --build=binary --no-sign --unsigned-changes
cp ../hostagent_*.deb /out/
lintian --allow-root --fail-on=none --tag-display-limit=0 ../hostagent_*.changes >/out/lintian
"""


def build(release: str, version: str, out: Path) -> Path:
    """Build the package of ``version`` for a release; returns its file in ``out``.

    Beside it lies what lintian says of it, in a file that ends in ``.lintian``.

    Raises:
        images.BuildError: a step failed; the message ends with what it printed.
    """
    root = images.cached(
        f"{release}+build",
        [release, BUILD_PACKAGES],
        lambda new: images.mmdebstrap(release, new, BUILD_PACKAGES),
    )
    with tempfile.TemporaryDirectory(prefix="hostagent-deb-") as place:
        source, made = Path(place, "src"), Path(place, "out")
        _lay_sources(source, f"{version}+deb{RELEASES[release]}", release)
        made.mkdir()
        binds = (f"--bind-ro={source}:/src", f"--bind={made}:/out", "--volatile=overlay")
        command = images.inside(root, ["/bin/sh", "-c", BUILD], *binds)
        images.run("the package's build", command)
        (package,) = made.glob("hostagent_*.deb")
        out.mkdir(exist_ok=True)
        shutil.copy(made / "lintian", out / f"{package.stem}.lintian")
        return Path(shutil.copy(package, out))


def _lay_sources(source: Path, version: str, release: str) -> None:
    """What the package is built from, with a changelog that names this build."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        shutil.copytree(images.CHECKOUT / name, source / name, ignore=ignored)
    for name in FILES:
        shutil.copy(images.CHECKOUT / name, source / name)
    (source / "hostagent/__init__.py").write_text(f'__version__ = "{version.partition("+")[0]}"\n')
    (source / "debian/changelog").write_text(
        f"hostagent ({version}) {release}; urgency=medium\n\n"
        "  * What is new: /usr/share/doc/hostagent/CHANGELOG.md\n\n"
        f" -- {MAINTAINER}  {formatdate(_changed_at())}\n"
    )


def _changed_at() -> float:
    """When the sources were last changed: the same sources make the same dates."""
    if "SOURCE_DATE_EPOCH" in os.environ:
        return float(os.environ["SOURCE_DATE_EPOCH"])
    command = ["git", "-C", str(images.CHECKOUT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout or time.time())


def main() -> int:
    """Build what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m debian.build", description="Build the .deb.")
    parser.add_argument("release", nargs="*", choices=[*RELEASES, []], default=list(RELEASES))
    for release in parser.parse_args().release:
        try:
            print(build(release, __version__, images.CHECKOUT / "dist"), flush=True)
        except images.BuildError as error:
            print(f"{release}: {error}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
