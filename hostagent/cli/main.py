"""The entry point. What must be light is started without the command line's weight (10 MB of it).

That is the daemon, and the question that jobs ask while they work.
"""

from __future__ import annotations

import gc
import sys

_MANY = 100_000
"""Objects between two collections: a command makes little garbage that refers to itself, and
looking for it is a tenth of the time that 1,000 jobs take to be read."""


def main() -> None:
    """Run ``hostagent``; the exit code is what the command's documentation says."""
    if sys.argv[1:3] == ["agent", "run"] and set(sys.argv[3:]) <= {"--user"}:
        from hostagent.agent.__main__ import main as be_agent

        sys.exit(be_agent())
    if sys.argv[1:] == ["token", "check"]:
        from hostagent.token import main as check_token

        sys.exit(check_token())
    gc.set_threshold(_MANY)
    from hostagent.cli.app import run

    run()
