"""``python -m hostagent.deploy.drifted [--user]``: what differs from what was applied, in one line.

Run by PID 1 beside the agent, which tells people of it. It prints nothing when the units are as
applied, or nothing is deployed. Exit status 0: it has looked; else the last line says why not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from hostagent.deploy import drift, generations
from hostagent.deploy.apply import Site
from hostagent.deploy.drift import Drift, What
from hostagent.errors import HostagentError
from hostagent.host import paths as places
from hostagent.host.paths import Paths
from hostagent.systemd.manager import Manager

TRIES, PAUSE_S = 15, 2.0
"""An apply that is at work is waited for so often, for so long; then it was cut short."""


def in_words(found: Sequence[Drift]) -> str:
    """The first one, and how many more; empty: nothing that people should be told of."""
    told = [one for one in found if not one.is_meant]
    if not told:
        return ""
    first, more = told[0], len(told) - 1
    unit = first.unit or "the last apply"
    return f"{unit} is {first.what}" + (f", and {more} more" if more else "")


def settled(
    paths: Paths, look: Callable[[], list[Drift]], pause: Callable[[], None]
) -> list[Drift]:
    """What ``look`` finds while no apply is at work: half of one looks like drift.

    Raises:
        HostagentError: what ``look`` raises.
    """
    for _ in range(TRIES):
        before = generations.current_number(paths)
        found = look() if before is not None else []
        is_at_rest = not generations.pending(paths) and generations.current_number(paths) == before
        if is_at_rest and all(one.what is not What.INTERRUPTED for one in found):
            break
        pause()
    return found


def main() -> int:
    """Look, and print; the exit status."""
    paths = places.user() if "--user" in sys.argv[1:] else places.system()
    try:
        with closing(Manager(user=paths.user)) as manager:
            site = Site(paths, "", manager)
            found = settled(paths, lambda: drift.drift(site), lambda: time.sleep(PAUSE_S))
    except HostagentError as error:
        print(error.message, file=sys.stderr)
        return error.exit_code
    print(in_words(found), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
