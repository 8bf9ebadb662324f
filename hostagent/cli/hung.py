"""What this host's agent says of runs that do not seem to move, beside what the ledger says."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from hostagent.report.runs import Hung

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostagent.host.paths import Paths


def hung_now(paths: Paths) -> dict[str, Hung]:
    """The marks, by run id. Where the agent cannot say, there are none: ``status`` tells why."""
    from hostagent.cli.client import call
    from hostagent.errors import RefusedError

    try:
        return marks(call(paths, lambda proxy: proxy.Status()))
    except RefusedError:
        return {}


def marks(told: Mapping[str, Any]) -> dict[str, Hung]:
    """The marks in an agent's ``Status``, by run id."""
    found = zip(told["hung"], told["hung_since"], told["hung_because"], strict=True)
    return {run: Hung(datetime.fromisoformat(since), why) for run, since, why in found}
