"""A root and a kernel with an NFS server and client, built once and cached beside the others."""

from __future__ import annotations

import sys
from pathlib import Path

import kernel
from kernel import Kernel

from tests.machine import images

PACKAGES = ("nfs-kernel-server", "nfs-common")

SERVER = "[nfsd]\ngrace-time=5\nlease-time=5\n"
"""After a restart NFSv4 makes its clients wait for a lease; the default is 90 s."""


def system() -> tuple[Kernel, Path]:
    """The kernel, and the tree that holds its modules and NFS: to lie over a machine's root.

    They are of one build: modules fit their own kernel only.

    Raises:
        BuildError: mmdebstrap failed.
    """
    recipe = [kernel.RELEASE, images.PACKAGES, kernel.PACKAGES, kernel.SETTINGS, PACKAGES, SERVER]
    place = images.cached("nfs", recipe, _build)
    return Kernel(place / "vmlinuz", place / "initrd.img"), place / "root"


def _build(new: Path) -> None:
    print(f"building a root with NFS in {images.CACHE} (once, a minute)", file=sys.stderr)
    packages = (*images.PACKAGES, *kernel.PACKAGES, *PACKAGES)
    new.mkdir()
    images.mmdebstrap(kernel.RELEASE, new / "root", packages, *kernel.hooks())
    (new / "root/etc/nfs.conf.d").mkdir(exist_ok=True)
    (new / "root/etc/nfs.conf.d/vm.conf").write_text(SERVER)
    kernel.take_out(new)
