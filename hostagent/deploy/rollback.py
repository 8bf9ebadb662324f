"""Back to an earlier generation: what it deployed is deployed again, as a new generation."""

from __future__ import annotations

from dataclasses import replace

from hostagent.deploy import generations
from hostagent.deploy.apply import Applied, Site, apply
from hostagent.deploy.generations import Generation
from hostagent.errors import InputError


def stored(site: Site, number: int | None = None) -> Generation:
    """Generation ``number``, or the one before the current one, ready to be applied again.

    Raises:
        InputError: there is no such generation, or none before the current one.
        RefusedError: it is damaged.
    """
    if number is None:
        current = generations.current_number(site.paths)
        earlier = [n for n in generations.numbers(site.paths) if current and n < current]
        if not earlier:
            raise InputError("there is no earlier generation to go back to")
        number = earlier[-1]
    found = generations.read(site.paths, number)
    return replace(found, manifest=replace(found.manifest, generation=0))


def rollback(site: Site, number: int | None = None, *, prune_all: bool = False) -> Applied:
    """Deploy generation ``number`` (default: the one before the current one) by ``apply``.

    It is compared with what stands, re-armed without starting a job, and registered, as any other
    apply; jobs.toml is not touched, so the next ``apply`` goes forward again. Raises what
    ``stored`` and ``apply`` raise.
    """
    return apply(site, stored(site, number), prune_all=prune_all)
