"""The entry point. What must be light or quick is started without the command line's weight.

That is the daemon, the question that jobs ask while they work, and a plain ``apply``: typer
takes 10 MB and, with what it imports for the smallest option, 0.15 s.
"""

from __future__ import annotations

import gc
import sys

_MANY = 100_000
"""Objects between two collections: a command makes little garbage that refers to itself, and
looking for it is a tenth of the time that 1,000 jobs take to be read."""


def is_plain(arguments: list[str]) -> bool:
    """Whether they are a FILE at most, and no option."""
    return len(arguments) <= 1 and not any(word.startswith("-") for word in arguments)


def main() -> None:
    """Run ``hostagent``; the exit code is what the command's documentation says."""
    if sys.argv[1:3] == ["agent", "run"] and set(sys.argv[3:]) <= {"--user"}:
        from hostagent.agent.__main__ import main as be_agent

        sys.exit(be_agent())
    if sys.argv[1:] == ["token", "check"]:
        from hostagent.token import main as check_token

        sys.exit(check_token())
    gc.set_threshold(_MANY)
    if sys.argv[1:2] == ["apply"] and is_plain(sys.argv[2:]):
        from hostagent.cli.applying import main as apply

        apply(*sys.argv[2:])
        return
    from hostagent.cli.app import run

    run()
