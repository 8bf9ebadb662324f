"""How what stands on this host differs from what was deployed, and the way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hostagent.deploy import disk, generations, overrides
from hostagent.deploy.apply import Site
from hostagent.deploy.disk import MISSING, Found, Kind
from hostagent.errors import InputError
from hostagent.host.paths import Paths
from hostagent.model import Manifest


class What(StrEnum):
    """The ways in which a unit can differ."""

    EDITED = "edited"
    MISSING = "missing"
    MASKED = "masked"
    FOREIGN = "replaced"
    DISABLED = "disabled"
    DROP_IN = "drop-in"
    SHADOWED = "shadowed"
    NOT_LOADED = "not loaded"
    NOT_ACTIVE = "not active"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. ``path`` is the file it lies in; ``fix`` is a command or a sentence.

    ``is_repaired`` says whether the next ``apply`` mends it by itself.
    """

    unit: str
    what: What
    path: str
    fix: str
    is_repaired: bool

    @property
    def is_meant(self) -> bool:
        """Whether a person may well want it so: nobody is alarmed of that."""
        return self.what is What.DROP_IN


_APPLY = "hostagent apply puts it back"


def drift(site: Site) -> list[Drift]:
    """Every difference, by unit; empty when what stands is what was deployed.

    Raises:
        InputError: nothing has been deployed.
        SystemdError: PID 1 cannot be reached.
    """
    manifest = generations.current(site.paths)
    if manifest is None:
        raise InputError("nothing has been deployed here", "run: hostagent apply")
    found = [
        *_interrupted(site.paths),
        *_files(site.paths, manifest),
        *_wants(site.paths, manifest),
        *_around(site.paths, manifest),
        *_timers(site, manifest),
    ]
    return sorted(found, key=lambda item: (item.unit, item.what))


def _interrupted(paths: Paths) -> Iterator[Drift]:
    if generations.pending(paths):
        path = str(paths.generations / "pending")
        yield Drift("", What.INTERRUPTED, path, "hostagent apply finishes what was begun", True)


def _files(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    for name, digest in manifest.files:
        found, path = disk.look(paths.units, name), str(paths.units / name)
        if found == MISSING:
            yield Drift(name, What.MISSING, path, _APPLY, True)
        elif found.kind is Kind.MASK:
            yield Drift(name, What.MASKED, path, f"rm {path} && hostagent apply", False)
        elif found.sha256 != digest:
            yield _edited(name, path, found)


def _edited(name: str, path: str, found: Found) -> Drift:
    if found.kind is Kind.FILE and found.is_marked:
        fix = f"{_APPLY}; what it is to say belongs into jobs.toml"
        return Drift(name, What.EDITED, path, fix, True)
    fix = "it is not ours any more: move it away, then hostagent apply"
    return Drift(name, What.FOREIGN, path, fix, False)


def _wants(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    enabled = disk.links(paths.units, {target for _, target in manifest.wants})
    for unit, target in manifest.wants:
        if (unit, target) not in enabled:
            path = str(paths.units / f"{target}.wants" / unit)
            yield Drift(unit, What.DISABLED, path, "hostagent apply enables it again", True)


def _around(paths: Paths, manifest: Manifest) -> Iterator[Drift]:
    for unit, path in overrides.drop_ins(paths, manifest):
        fix = f"rm {path} && systemctl daemon-reload, or say it in jobs.toml"
        yield Drift(unit, What.DROP_IN, str(path), fix, False)
    for unit, path in overrides.shadows(paths, manifest):
        fix = f"rm {path} && systemctl daemon-reload: it takes the place of ours"
        yield Drift(unit, What.SHADOWED, str(path), fix, False)


def _timers(site: Site, manifest: Manifest) -> Iterator[Drift]:
    if site.systemd is None:
        return
    loaded = site.systemd.loaded("hostagent-*.timer")
    for unit in manifest.units:
        if unit.timer is None:
            continue
        path = str(site.paths.units / disk.file_of(unit.timer))
        if unit.timer not in loaded:
            fix = "hostagent apply loads and arms it"
            yield Drift(unit.timer, What.NOT_LOADED, path, fix, True)
        elif loaded[unit.timer] != "active":
            fix = "hostagent apply arms it; nothing starts"
            yield Drift(unit.timer, What.NOT_ACTIVE, path, fix, True)
