"""What was deployed: ``generations/N`` holds one apply, ``current`` names the one in force.

A generation is a directory with ``manifest.json`` (a ``model.Manifest``) and ``units.json`` (the
text of every unit file by name), complete before it gets its number and never changed after.
``current`` is flipped by a rename. ``pending`` names the generations that an apply has begun to
deploy and not finished: while it exists, what stands on disk may be any mix of them and of the
current one, and the next apply makes it whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hostagent.codec import from_json, to_json
from hostagent.errors import InputError, RefusedError
from hostagent.host.files import sync_directory, write_atomically
from hostagent.host.paths import Paths
from hostagent.model import Manifest

KEEP = 10


@dataclass(frozen=True, slots=True)
class Generation:
    """One deployment: its manifest and the text of each of its unit files."""

    manifest: Manifest
    files: Mapping[str, str]


def sha256(text: str) -> str:
    """The digest that a manifest holds for a unit file's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def numbers(paths: Paths) -> list[int]:
    """The stored generations, ascending."""
    try:
        return sorted(
            int(path.name) for path in paths.generations.iterdir() if path.name.isdecimal()
        )
    except FileNotFoundError:
        return []


def current_number(paths: Paths) -> int | None:
    """The generation in force; None before the first apply.

    Raises:
        RefusedError: it is not this user's to see: addresses in jobs.toml may be secrets.
    """
    place = paths.generations / "current"
    try:
        return int(str(place.readlink()))
    except FileNotFoundError:
        return None
    except PermissionError as error:
        hint = "be root, or a member of the group hostagent"
        raise RefusedError(f"{place}: {error.strerror}", hint) from error


def current(paths: Paths) -> Manifest | None:
    """The manifest in force; None before the first apply.

    Raises:
        RefusedError: it cannot be read.
    """
    number = current_number(paths)
    return None if number is None else manifest_of(paths, number)


def manifest_of(paths: Paths, number: int) -> Manifest:
    """The manifest of one generation.

    Raises:
        InputError: there is no such generation.
        RefusedError: it cannot be read.
    """
    return _decode(_load(paths, number, "manifest.json"), number)


def read(paths: Paths, number: int) -> Generation:
    """One generation, whole: every text has the digest that its manifest names.

    Raises:
        InputError: there is no such generation.
        RefusedError: it cannot be read, or its files are not those of its manifest.
    """
    manifest = manifest_of(paths, number)
    files = _load(paths, number, "units.json")
    is_whole = isinstance(files, dict) and all(isinstance(text, str) for text in files.values())
    if not is_whole or {n: sha256(text) for n, text in files.items()} != dict(manifest.files):
        raise RefusedError(
            f"generation {number} is damaged: its unit files are not those of its manifest",
            f"choose another one of {paths.generations}",
        )
    return Generation(manifest, files)


def write(paths: Paths, generation: Generation) -> None:
    """Store a generation under its number; durable when this returns."""
    number = generation.manifest.generation
    staged = paths.generations / f".{number}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True, mode=0o755)
    manifest = json.dumps(to_json(generation.manifest)).encode()
    write_atomically(staged / "manifest.json", manifest)
    write_atomically(staged / "units.json", json.dumps(dict(generation.files)).encode())
    staged.rename(paths.generations / str(number))
    sync_directory(paths.generations)


def flip(paths: Paths, number: int) -> None:
    """Make a stored generation the current one, in one step."""
    link = paths.generations / ".current"
    link.unlink(missing_ok=True)
    link.symlink_to(str(number))
    link.rename(paths.generations / "current")
    sync_directory(paths.generations)


def pending(paths: Paths) -> tuple[int, ...]:
    """The generations that were begun and not finished, oldest first; empty: none."""
    try:
        text = (paths.generations / "pending").read_text()
    except FileNotFoundError:
        return ()
    return tuple(int(word) for word in text.split())


def begin(paths: Paths, number: int) -> None:
    """Mark a stored generation as being deployed, besides those that already were."""
    marked = sorted({*pending(paths), number})
    text = " ".join(map(str, marked)) + "\n"
    write_atomically(paths.generations / "pending", text.encode())


def finish(paths: Paths) -> None:
    """What is deployed is the current generation and nothing else; drop the oldest ones."""
    (paths.generations / "pending").unlink(missing_ok=True)
    sync_directory(paths.generations)
    for number in numbers(paths)[:-KEEP]:
        if number != current_number(paths):
            shutil.rmtree(paths.generations / str(number), ignore_errors=True)


def _load(paths: Paths, number: int, name: str) -> Any:
    try:
        return json.loads((paths.generations / str(number) / name).read_bytes())
    except FileNotFoundError:
        kept = ", ".join(map(str, numbers(paths))) or "none"
        raise InputError(f"there is no generation {number}", f"kept are: {kept}") from None
    except ValueError as error:
        raise RefusedError(f"generation {number}: {name} is damaged: {error}") from None


def _decode(data: Any, number: int) -> Manifest:
    try:
        return from_json(Manifest, data)
    except ValueError as error:
        raise RefusedError(
            f"generation {number}: manifest.json is damaged, or of a newer hostagent: {error}"
        ) from None
