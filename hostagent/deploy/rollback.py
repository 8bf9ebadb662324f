"""Back to an earlier generation: what it deployed is deployed again, as a new generation."""

from __future__ import annotations

from dataclasses import replace

from hostagent.deploy import generations
from hostagent.deploy.apply import Applied, Site, apply, is_same
from hostagent.deploy.generations import Generation
from hostagent.errors import InputError


def stored(site: Site, number: int) -> Generation:
    """Generation ``number``, ready to be applied again.

    Raises:
        InputError: there is no such generation.
        RefusedError: it is damaged.
    """
    found = generations.read(site.paths, number)
    return replace(found, manifest=replace(found.manifest, generation=0))


def rollback(site: Site, number: int | None = None, *, prune_all: bool = False) -> Applied:
    """Deploy generation ``number`` (default: the one before the current one) by ``apply``.

    It is compared with what stands, re-armed without starting a job, and registered, as any other
    apply; jobs.toml is not touched, so the next ``apply`` goes forward again. Raises what
    ``stored`` and ``apply`` raise, and InputError where there is none before the current one.
    """
    if number is None:
        number = earlier(site)[-1]
    return apply(site, stored(site, number), prune_all=prune_all, back_to=number)


def last_other(site: Site) -> int | None:
    """The last generation before the current one that deployed something else; None: none kept."""
    current = generations.current(site.paths)
    for number in reversed(generations.numbers(site.paths)):
        if current is None or number >= current.generation:
            continue
        if not is_same(current, generations.manifest_of(site.paths, number)):
            return number
    return None


def earlier(site: Site) -> list[int]:
    """The generations before the current one, ascending; at least one.

    Raises:
        InputError: there is none.
    """
    current = generations.current_number(site.paths)
    found = [n for n in generations.numbers(site.paths) if current and n < current]
    if not found:
        raise InputError("there is no earlier generation to go back to")
    return found
