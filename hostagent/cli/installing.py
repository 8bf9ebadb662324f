"""Installing the agent's own units, and taking them away; a package's scripts call it, too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hostagent.agent.config import load
from hostagent.deploy import install as units
from hostagent.errors import RefusedError
from hostagent.host.paths import Paths


def install(paths: Paths, *, from_package: bool = False) -> None:
    """Write the units, enable and start the agent; a package's scripts do the latter themselves."""
    for path in units.install(paths, exec_path=_command(), store=load(paths).store):
        print(f"{'wrote' if path.exists() else 'removed'} {path}")
    if from_package:
        return
    paths.config.mkdir(parents=True, exist_ok=True)
    units.start(paths)
    print(f"The agent is up. Next: write {paths.jobs_toml}, then: hostagent plan")


def uninstall(paths: Paths, *, from_package: bool = False) -> None:
    """Stop the agent and remove its units. Jobs that run go on; no more are started."""
    if units.is_packaged(paths) and not from_package:
        raise RefusedError(
            "a package installed hostagent on this host; nothing was changed",
            "remove the package: apt remove hostagent",
        )
    units.stop(paths)
    for path in units.uninstall(paths):
        print(f"removed {path}")
    units.forget(paths)


def _command() -> str:
    """This very hostagent, as a unit can call it."""
    called = Path(sys.argv[0])
    found = called if called.is_absolute() else shutil.which("hostagent")
    if found is None or not Path(found).exists():
        raise RefusedError("cannot tell where hostagent is installed", "call it by its full path")
    return str(found)
