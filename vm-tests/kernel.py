"""Debian's cloud kernel with a small initrd, built once and cached beside the machines' roots."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.machine import images

RELEASE = "bookworm"
PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "busybox", "kmod")
MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
"""All that stands between the kernel and its root; the rest of Debian's modules is left out."""

SETTINGS = {
    "etc/initramfs-tools/conf.d/vm": "MODULES=list\\nCOMPRESS=gzip\\n",
    "usr/share/initramfs-tools/modules.d/vm": "\\n".join(MODULES) + "\\n",
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """What qemu boots."""

    image: Path
    initrd: Path


def kernel() -> Kernel:
    """The cached kernel, built first if there is none.

    Raises:
        BuildError: mmdebstrap failed.
    """
    place = images.cached("kernel", [RELEASE, PACKAGES, SETTINGS], _build)
    return Kernel(place / "vmlinuz", place / "initrd.img")


def _build(new: Path) -> None:
    print(f"building Debian's cloud kernel in {images.CACHE} (once, a minute)", file=sys.stderr)
    new.mkdir()
    images.mmdebstrap(RELEASE, new / "root", PACKAGES, *hooks())
    take_out(new)
    shutil.rmtree(new / "root")


def hooks() -> list[str]:
    """Options of mmdebstrap, for the initrd's settings to be there before it is made."""
    return [
        f'--essential-hook=mkdir -p "$(dirname "$1/{name}")"; printf "{text}" >"$1/{name}"'
        for name, text in SETTINGS.items()
    ]


def take_out(new: Path) -> None:
    """Move kernel and initrd from ``new``/root to ``new``."""
    for name in ("vmlinuz", "initrd.img"):
        (found,) = (new / "root/boot").glob(f"{name}-*")
        found.rename(new / name)
