"""``python -m hostagent.agent [--user]``: the daemon alone, without the command line's weight."""

import sys

# OpenSSL would be an eighth of all the memory that the agent takes: for TLS that its loop never
# speaks, and for hashes that Python has itself. Who needs it later still gets it.
OPENSSL = ("ssl", "_hashlib")
sys.modules.update(dict.fromkeys(OPENSSL))  # type: ignore[arg-type]

import asyncio  # noqa: E402, F401
import hashlib  # noqa: E402, F401

for name in OPENSSL:
    del sys.modules[name]

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
