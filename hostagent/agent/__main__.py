"""``python -m hostagent.agent [--user]``: the daemon alone, without the command line's weight."""

import sys

from hostagent.agent.wiring import run_agent
from hostagent.errors import HostagentError
from hostagent.host import paths


def main() -> int:
    """Be the agent; the exit status."""
    try:
        run_agent(paths.user() if "--user" in sys.argv[1:] else paths.system())
    except HostagentError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"hostagent: {error.message}{hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
