"""``python -m hostagent.agent [--user]``: the daemon alone, without the command line's weight."""

import sys

# OpenSSL would be an eighth of all the memory that the agent takes, for TLS that it never speaks
# (libpq brings its own, and another process delivers messages) and hashes that Python has itself.
sys.modules["ssl"] = sys.modules["_hashlib"] = None  # type: ignore[assignment]

from hostagent.agent.wiring import run_agent  # noqa: E402
from hostagent.errors import HostagentError  # noqa: E402
from hostagent.host import paths  # noqa: E402


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
