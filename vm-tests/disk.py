"""The disk that VMs boot from: a machine's root, the checkout's code, and the tests' way in."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.machine import images

HERE = Path(__file__).parent
PORT = "/dev/vport0p1"
SIZE = "3G"  # sparse

PORTAL = f"""\
# The tests' root shell: up before everything else, gone after it, and never out of memory.
[Unit]
DefaultDependencies=no
After=-.mount
[Service]
ExecStart=/usr/bin/python3 -I -S /usr/local/lib/portal.py {PORT}
Environment=HOME=/root LANG=C.UTF-8 TERM=dumb
WorkingDirectory=/
OOMScoreAdjust=-1000
TasksMax=infinity
KillMode=process
[Install]
WantedBy=sysinit.target
"""

# $1: the disk; $2: a mount point; $3: the lower directories.
MAKE = f"""
set -eu
mount -t overlay -o "lowerdir=$3" disk "$2"
mkfs.ext4 -q -L root -E assume_storage_prezeroed=1 -d "$2" "$1" {SIZE}
"""


def make(place: Path, lower: Sequence[Path]) -> Path:
    """Write a disk with the file system of ``lower`` (topmost first) into ``place``.

    Raises:
        BuildError: mkfs failed.
    """
    portal, units = place / "portal", place / "portal/etc/systemd/system"
    (portal / "usr/local/lib").mkdir(parents=True)
    shutil.copy(HERE / "portal.py", portal / "usr/local/lib")
    (units / "sysinit.target.wants").mkdir(parents=True)
    (units / "portal.service").write_text(PORTAL)
    (units / "sysinit.target.wants/portal.service").symlink_to("../portal.service")
    disk, mount = place / "disk.img", place / "mount"
    mount.mkdir()
    layers = ":".join(map(str, [portal, *lower]))
    done = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", MAKE, "make", str(disk), str(mount), layers],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise images.BuildError(f"the VMs' disk could not be made:\n{done.stdout}{done.stderr}")
    return disk
