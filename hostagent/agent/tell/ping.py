"""``python -m hostagent.agent.tell.ping``: one ping of a job's ``ping_url``, tried a few times.

Run by PID 1 beside the agent, as ``deliver`` is. On standard input: the URL and the ping, as JSON.
Exit status 0: it was taken; else the last line printed says why not.
"""

from __future__ import annotations

import json
import sys
import time

from hostagent.agent.tell.web import NotDeliveredError, post, run
from hostagent.codec import from_json, to_json
from hostagent.policy.pings import Ping, address

LIMIT_S = 10
"""How long a server may take to answer."""

WAITS_S = (2, 8)
"""Before each further try. With all three of them it ends before PID 1 ends it."""


def packed(url: str, ping: Ping) -> bytes:
    """What this program reads."""
    return json.dumps({"url": url, "ping": to_json(ping)}).encode()


def send(url: str, ping: Ping, waits_s: tuple[float, ...] = WAITS_S) -> None:
    """Send it; what may pass is tried again.

    Raises:
        NotDeliveredError: the service did not take it.
    """
    for wait_s in (*waits_s, None):
        try:
            post(address(url, ping), ping.text.encode(), "text/plain; charset=utf-8", LIMIT_S)
        except NotDeliveredError as error:
            if wait_s is None or not error.may_pass:
                raise
            time.sleep(wait_s)
        else:
            return


def main() -> None:
    """Send what stands on standard input."""
    told = json.load(sys.stdin)
    send(told["url"], from_json(Ping, told["ping"]))


if __name__ == "__main__":
    sys.exit(run(main))
