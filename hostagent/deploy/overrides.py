"""What else systemd reads about our units: drop-ins, and units of the same name in other places."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hostagent.host.paths import Paths
from hostagent.model import UNIT_PREFIX, Manifest

_SYSTEM = (
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "etc/systemd/system.attached",
    "run/systemd/system",
    "run/systemd/system.attached",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "run/systemd/generator.late",
)


def search_path(paths: Paths) -> list[Path]:
    """Where systemd looks for units and drop-ins, highest priority first (systemd.unit(5))."""
    if not paths.user:
        return [paths.root / place for place in _SYSTEM]
    config, run, data = paths.units.parent, paths.runtime.parent / "systemd", paths.stamps.parent
    return [
        config / "user.control",
        run / "user.control",
        run / "transient",
        run / "generator.early",
        paths.units,
        Path("/etc/systemd/user"),
        run / "user",
        Path("/run/systemd/user"),
        run / "generator",
        data / "user",
        Path("/usr/local/lib/systemd/user"),
        Path("/usr/lib/systemd/user"),
        run / "generator.late",
    ]


def drop_ins(paths: Paths, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """Each drop-in that applies to a unit of ours, and what it is for.

    That is a unit, or the beginning of several: ``hostagent-.service`` stands for all jobs. Those
    that apply to every unit of a type (``service.d``) are the host's own matter.
    """
    applying: set[str] | None = None
    for place in search_path(paths):
        for folder in sorted(_list(place)):
            if not (folder.startswith(UNIT_PREFIX) and folder.endswith(".d")):
                continue
            if applying is None:
                applying = {name for unit in _units(manifest) for name in _drop_in_names(unit)}
            unit = folder.removesuffix(".d")
            if unit in applying:
                files = sorted((place / folder).glob("*.conf"))
                yield from ((unit, path) for path in files if not _is_agents(path))


def shadows(paths: Paths, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """Units of our names in a place that comes before ours."""
    places = search_path(paths)
    units = _units(manifest)
    for place in places[: places.index(paths.units)]:
        for unit in sorted(_list(place) & units):
            yield unit, place / unit


def _units(manifest: Manifest) -> set[str]:
    files = {name for name, _ in manifest.files}
    return files | {name for u in manifest.units for name in (u.service, u.timer) if name}


def _drop_in_names(unit: str) -> Iterable[str]:
    """The names whose ``.d`` directory applies to a unit, but for the one of its whole type.

    For ``hostagent-a-b@eu.timer``: itself, ``hostagent-a-b@.timer``, ``hostagent-a-.timer`` and
    ``hostagent-.timer`` (systemd.unit(5)).
    """
    yield unit
    stem, _, kind = unit.rpartition(".")
    prefix, at, _ = stem.partition("@")
    if at:
        yield f"{prefix}@.{kind}"
    words = prefix.split("-")
    for length in range(1, len(words)):
        yield f"{'-'.join(words[:length])}-.{kind}"


def _is_agents(path: Path) -> bool:
    """The agent lowers a catch-up run's weight at run time, by ``SetUnitProperties``."""
    is_runtime = path.parent.parent.name.endswith(".control") and "run" in path.parts
    return is_runtime and path.name in {"50-CPUWeight.conf", "50-IOWeight.conf"}


def _list(place: Path) -> set[str]:
    try:
        return set(os.listdir(place))  # noqa: PTH208 -- names are all that is needed
    except (FileNotFoundError, NotADirectoryError):
        return set()
