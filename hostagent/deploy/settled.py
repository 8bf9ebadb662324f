"""Whether an apply would do nothing, without reading what jobs.toml says.

The manifest names what it was made of (the sources' digests, our version, systemd's, the host)
and what it made (the unit files' digests, the links). If all of that stands, compiling again
would make the same files again: 0.1 s instead of 0.6 s for 1,000 jobs. Any doubt is None.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import hostagent
from hostagent.deploy import disk, generations
from hostagent.deploy.apply import Applied, Site
from hostagent.host.files import distrust


def settled(site: Site, file: Path, *, systemd: int) -> Applied | None:
    """What ``apply`` of ``file`` for this version of systemd would return; None: it must be run.

    Raises:
        SystemdError: PID 1 cannot be reached.
    """
    try:
        manifest = json.loads(site.paths.manifest.read_bytes())
        is_settled = (
            not generations.pending(site.paths)
            and manifest["hostagent"] == hostagent.__version__
            and manifest["systemd"] == systemd
            and manifest["host"] == site.name
            and manifest.get("labels", []) == list(site.labels)
            and _same_sources(file, manifest["sources"])
            and _stands(site, manifest)
        )
    except (OSError, ValueError, KeyError):
        return None
    return Applied(manifest["generation"], is_unchanged=True) if is_settled else None


def _same_sources(file: Path, known: list[list[str]]) -> bool:
    """Whether the files that ``spec.load`` would read are, byte for byte, those of the manifest."""
    drop_ins = file.with_suffix(".d")
    files = [file]
    if drop_ins.is_dir():
        files += sorted(p for p in drop_ins.glob("*.toml") if not p.name.startswith("."))
    if [str(path) for path in files] != [path for path, _ in known]:
        return False
    trusted = all(distrust(path, os.geteuid()) is None for path in files)
    return trusted and all(
        hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest for path, digest in known
    )


def _stands(site: Site, manifest: dict[str, Any]) -> bool:
    """Whether the unit files, the links and the timers are what the manifest says."""
    units = site.paths.units
    if any(disk.look(units, name).sha256 != digest for name, digest in manifest.get("files", ())):
        return False
    wants = [(unit, target) for unit, target in manifest.get("wants", ())]
    if not disk.links(units, {target for _, target in wants}).issuperset(wants):
        return False
    if site.systemd is None:
        return True
    loaded = site.systemd.loaded("hostagent-*.timer")
    timers = [unit["timer"] for unit in manifest.get("units", ())]
    return all(timer is None or loaded.get(timer) == "active" for timer in timers)
