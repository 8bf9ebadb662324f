"""One ping, by the program that PID 1 runs for it, to a real web server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from hostagent.agent.tell import ping
from hostagent.agent.tell.web import NotDeliveredError
from hostagent.policy.pings import Ping
from tests.inbox import Inbox, Posted, open_inbox

PING = Ping("/start", "1-2", "backup.20261121T020000Z starts on wéb1")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """What healthchecks.io would get."""
    with open_inbox() as server:
        yield server


def test_a_ping_is_a_post_with_a_text(inbox: Inbox) -> None:
    """What it is stands in the address, the run in its query."""
    told = ping.packed(inbox.url, PING)
    done = subprocess.run(
        [sys.executable, "-m", "hostagent.agent.tell.ping"],
        input=told,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    kind = "text/plain; charset=utf-8"
    assert inbox.got == [Posted("/hook/secret/start?rid=1-2", kind, PING.text.encode(), None)]


def test_what_may_pass_is_tried_a_few_times(inbox: Inbox) -> None:
    """A service that is busy or broken now; then it is given up."""
    inbox.statuses = [503, 429, 200]
    ping.send(inbox.url, PING, (0, 0))
    assert len(inbox.got) == 3
    inbox.statuses = [500]
    with pytest.raises(
        NotDeliveredError, match=r"^127\.0\.0\.1 answered 500 Internal Server Error$"
    ):
        ping.send(inbox.url, PING, (0, 0))
    assert len(inbox.got) == 6


def test_what_is_refused_is_not_tried_again(inbox: Inbox) -> None:
    """The check does not exist: that will not pass."""
    inbox.statuses = [404]
    done = subprocess.run(
        [sys.executable, "-m", "hostagent.agent.tell.ping"],
        input=ping.packed(inbox.url, PING),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"127.0.0.1 answered 404 Not Found\n")
    assert len(inbox.got) == 1


def test_all_tries_fit_into_what_pid_1_allows() -> None:
    """Else the last one would be killed, and nobody would say why."""
    from hostagent.systemd.beside import LIMIT_S  # noqa: PLC0415 -- what it is compared with

    assert (len(ping.WAITS_S) + 1) * ping.LIMIT_S + sum(ping.WAITS_S) < LIMIT_S
