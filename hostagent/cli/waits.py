"""What this host's agent says of jobs that wait until others have succeeded (``after``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hostagent.host.paths import Paths


def tell_waits(paths: Paths, jobs: Collection[str]) -> None:
    """Print a line for each of ``jobs`` that waits now; an agent that is away is told elsewhere."""
    from hostagent.cli.client import call
    from hostagent.errors import RefusedError

    try:
        found = waits(call(paths, lambda proxy: proxy.Status()))
    except RefusedError:
        return
    for name, why in found.items():
        if name.partition("@")[0] in jobs:
            print(f"{name} {why}")


def waits(told: Mapping[str, Any]) -> dict[str, str]:
    """What waits by an agent's ``Status``, by job or job@scope, with why."""
    return dict(zip(told["waits"], told["waits_because"], strict=True))
