"""Installing the agent's own units, and taking them away: what a package does by itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hostagent.agent.config import load
from hostagent.deploy import install as units
from hostagent.errors import RefusedError
from hostagent.host.paths import Paths


def install(paths: Paths) -> None:
    """Write the units, enable and start the agent."""
    for path in units.install(paths, exec_path=_command(), store=load(paths).store):
        print(f"wrote {path}")
    paths.config.mkdir(parents=True, exist_ok=True)
    units.start(paths)
    print(f"The agent is up. Next: write {paths.jobs_toml}, then: hostagent plan")


def uninstall(paths: Paths) -> None:
    """Stop the agent and remove its units. Jobs that run go on; no more are started."""
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
