"""The project's own code as a thin layer over a cached root: made anew for each test session."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from hostagent.deploy import install
from hostagent.host.paths import system
from tests.machine import images

COMMAND = f"""#!{images.VENV}/bin/python3
import sys

from hostagent.cli.main import main

sys.exit(main())
"""


def lay(root: Path, layer: Path) -> Path:
    """Write the checkout's code into the empty directory ``layer``, to lie over ``root``.

    ``hostagent`` is on the PATH of a machine made of both; its code is in /opt/hostagent/src, the
    agent's units and the admission client are installed, and the agent is not enabled.
    """
    source = layer / "opt/hostagent/src"
    for name in ("hostagent", "templates", "units"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(images.CHECKOUT / name, source / name, ignore=ignored)
    command = layer / images.VENV.lstrip("/") / "bin/hostagent"
    command.parent.mkdir(parents=True)
    command.write_text(COMMAND)
    command.chmod(0o755)
    (layer / "usr/bin").mkdir(parents=True)
    (layer / "usr/bin/hostagent").symlink_to(f"{images.VENV}/bin/hostagent")
    (packages,) = root.glob(f"{images.VENV.lstrip('/')}/lib/python3.*/site-packages")
    link = layer / packages.relative_to(root) / "hostagent.pth"
    link.parent.mkdir(parents=True)
    link.write_text("/opt/hostagent/src\n")
    install.install(system(layer), exec_path="/usr/bin/hostagent")
    for link in layer.glob("etc/systemd/system/*.wants/*"):
        link.unlink()  # a test that wants the agent starts it
    _compile(root, source)
    return layer


def _compile(root: Path, source: Path) -> None:
    """Byte-compile with the root's own Python: a daemon start would otherwise pay for it."""
    inside = "/opt/hostagent/src"
    script = (
        f'mount --bind "$2" "$1{inside}" && '
        f'exec chroot "$1" {images.VENV}/bin/python3 -m compileall -q {inside}'
    )
    command = ["unshare", "--mount", "/bin/sh", "-c", script, "compile", str(root), str(source)]
    subprocess.run(command, check=True)
