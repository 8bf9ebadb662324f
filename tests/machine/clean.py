"""Roots of a Debian on which nothing of hostagent was ever installed, not even a Python.

What its package asks for lies in apt's cache, so that apt installs it on a machine without network.
"""

from __future__ import annotations

from pathlib import Path

from tests.machine import images

PACKAGES = ("dbus", "libpam-systemd", "procps", "systemd-sysv", "tzdata")
ASKED_FOR = ("python3", "libpq5")

FETCH = f"""
set -eu
apt-get -qq update
apt-get -qq install --no-install-recommends --download-only {" ".join(ASKED_FOR)}
mkdir -p /var/log/journal
systemctl mask --quiet console-getty.service getty.target dev-hugepages.mount
systemctl list-unit-files --no-legend --type=timer | cut -d' ' -f1 | xargs -r systemctl mask --quiet
"""


def root(release: str) -> Path:
    """The cached root of a clean Debian.

    Raises:
        images.BuildError: mmdebstrap or apt failed.
    """
    recipe = [release, PACKAGES, FETCH]
    return images.cached(f"{release}+clean", recipe, lambda new: _build(release, new))


def _build(release: str, new: Path) -> None:
    images.mmdebstrap(release, new, PACKAGES)
    (new / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink()  # manuals are installed, too
    images.run("apt-get", images.inside(new, ["/bin/sh", "-c", FETCH]))
    for path in ("etc/apt/apt.conf.d/99mmdebstrap", "etc/resolv.conf"):
        (new / path).unlink(missing_ok=True)
