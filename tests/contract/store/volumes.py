"""Small file systems that can be filled."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@contextmanager
def mounted(at: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=0750", "tmpfs", at], check=True)
    yield at
    subprocess.run(["umount", at], check=True)


def fill(filler: Path) -> None:
    """Until not one byte more goes in."""
    with filler.open("wb", buffering=0) as out:
        try:
            while out.write(bytes(4096)):
                pass
        except OSError:
            pass
