"""One message to one of those who are to be told, by the program that PID 1 runs for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from hostagent.agent.tell import deliver
from hostagent.agent.tell.web import NotDeliveredError
from hostagent.model import Notify
from tests.inbox import Inbox, Posted, open_inbox

MESSAGE = {
    "alarm": "failed",
    "was": "",
    "job": "backup",
    "scope": "eu",
    "since": "2026-03-03 03:00:00Z",
    "reason": "ends in a é",
    "text": "backup@eu fails: ends in a é",
}


def told(
    notify: Notify, path: str = "", message: dict[str, str] = MESSAGE
) -> subprocess.CompletedProcess[str]:
    """How the program ends."""
    return subprocess.run(
        [sys.executable, "-m", "hostagent.agent.tell.deliver"],
        input=deliver.packed(notify, message).decode(),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
    )


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A web server of this host."""
    with open_inbox() as server:
        yield server


def test_a_command_gets_it_twice(tmp_path: Path) -> None:
    """Whole on its standard input, and in its environment what a shell script wants."""
    out = tmp_path / "out"
    script = f"cat >{out}; env | grep ^HOSTAGENT_ | sort >>{out}"
    assert told(Notify("x", command=("/bin/sh", "-c", script))).returncode == 0
    first, *rest = out.read_text().replace("}HOST", "}\nHOST").splitlines()
    assert json.loads(first) == MESSAGE
    assert rest == [
        "HOSTAGENT_ALARM=failed",
        "HOSTAGENT_JOB=backup",
        "HOSTAGENT_REASON=ends in a é",
        "HOSTAGENT_SCOPE=eu",
        "HOSTAGENT_SINCE=2026-03-03 03:00:00Z",
        "HOSTAGENT_TEXT=backup@eu fails: ends in a é",
        "HOSTAGENT_WAS=",
    ]


def test_a_command_that_fails_says_so_last() -> None:
    """What it printed itself comes before."""
    done = told(Notify("x", command=("/bin/sh", "-c", "echo no paper >&2; exit 3")))
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["no paper", "/bin/sh exited with status 3"]
    assert "No such file" in told(Notify("x", command=("/no/such",))).stderr


def test_a_webhook_gets_json(inbox: Inbox) -> None:
    """By POST."""
    assert told(Notify("x", webhook=inbox.url)).returncode == 0
    (posted,) = inbox.got
    assert posted == Posted("/hook/secret", "application/json", posted.body, None)
    assert json.loads(posted.body) == MESSAGE


def test_a_webhook_gets_the_body_that_it_wants(inbox: Inbox) -> None:
    """JSON is said to be JSON, whatever stands in it; anything else is text."""
    message = MESSAGE | {"text": 'a "b" \\ </c>\n'}
    slack = Notify("x", webhook=inbox.url, body='{"text": {{ text | tojson }}}')
    assert told(slack, message=message).returncode == 0
    assert told(Notify("x", webhook=inbox.url, body="{{ job }}: {{ alarm }}")).returncode == 0
    first, second = inbox.got
    assert (first.kind, json.loads(first.body)) == ("application/json", {"text": message["text"]})
    assert (second.kind, second.body) == ("text/plain; charset=utf-8", b"backup: failed")


def test_a_body_that_cannot_be_made_is_not_delivered(inbox: Inbox) -> None:
    """One that an older version took, perhaps."""
    done = told(Notify("x", webhook=inbox.url, body="{{ txt }}"))
    assert (done.returncode, inbox.got) == (1, [])
    assert done.stderr == "its body cannot be made: 'txt' is undefined\n"


def test_a_webhook_that_refuses_is_named_by_its_host_alone(inbox: Inbox) -> None:
    """The path of a URL may be a secret."""
    inbox.statuses = [403]
    done = told(Notify("x", webhook=inbox.url))
    assert done.returncode == 1
    assert done.stderr == "127.0.0.1 answered 403 Forbidden\n"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "http://127.0.0.1:9/secret",
            "127.0.0.1: <urlopen error [Errno 111] Connection refused>\n",
        ),
        (
            "http://127.0.0.1:secret/",
            "127.0.0.1 did not answer as a web server does (InvalidURL)\n",
        ),
        ("http://127.0.0.1/secr\u00e9t", "127.0.0.1: its URL is wrong (UnicodeEncodeError)\n"),
        ("http://[::1/secret", "this is a bug in hostagent: ValueError\n"),
    ],
)
def test_whatever_goes_wrong_no_url_is_shown(url: str, said: str) -> None:
    """Not in an error's own words, and in no traceback."""
    done = told(Notify("x", webhook=url))
    assert (done.returncode, done.stderr) == (1, said)


def test_the_password_of_a_url_is_sent_as_such(inbox: Inbox) -> None:
    """As a web browser does; it is no part of the host's name."""
    url = inbox.url.replace("//", "//ops:p%40ss@")
    assert told(Notify("x", webhook=url)).returncode == 0
    (posted,) = inbox.got
    assert posted.authorization == "Basic b3BzOnBAc3M="


def test_mail_is_sendmails(tmp_path: Path) -> None:
    """With the headers of a message that no machine answers."""
    program = tmp_path / "sendmail"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/args; cat >{tmp_path}/mail\n')
    program.chmod(0o755)
    assert told(Notify("x", mail="ops@example.org"), str(tmp_path)).returncode == 0
    assert (tmp_path / "args").read_text() == "-t -i\n"
    letter = message_from_bytes((tmp_path / "mail").read_bytes())
    assert letter["To"] == "ops@example.org"
    assert letter["Subject"] == "hostagent: backup@eu failed"
    assert letter["Auto-Submitted"] == "auto-generated"
    text = letter.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert text.decode().startswith("backup@eu fails: ends in a é\n")
    long = MESSAGE | {"text": f"it fails: {'word ' * 30}; see: hostagent why backup"}
    assert told(Notify("x", mail="ops@example.org"), str(tmp_path), long).returncode == 0
    assert long["text"] in (tmp_path / "mail").read_text(), "cut into pieces"
    host = MESSAGE | {"job": "", "scope": "web1", "alarm": "skew"}
    assert told(Notify("x", mail="ops@example.org"), str(tmp_path), host).returncode == 0
    letter = message_from_bytes((tmp_path / "mail").read_bytes())
    assert letter["Subject"] == "hostagent: host web1 skew"
    assert "More: hostagent status\n" in (tmp_path / "mail").read_text()


PHONE = "json://127.0.0.1:{}/secret"
"""What apprise posts to as JSON; its other services differ in what they are sent."""


@pytest.mark.parametrize(
    ("alarm", "kind"),
    [
        ("failed", "failure"),
        ("late", "warning"),
        ("recovered", "success"),
        ("succeeded", "success"),
    ],
)
def test_apprise_tells_its_services(inbox: Inbox, alarm: str, kind: str) -> None:
    """With a title, the sentence, and how bad it is."""
    pytest.importorskip("apprise", reason="the extra apprise is not installed")
    phone = Notify("x", apprise=PHONE.format(inbox.server_port))
    done = told(phone, message=MESSAGE | {"alarm": alarm})
    assert (done.returncode, done.stderr) == (0, "")
    (posted,) = inbox.got
    sent = json.loads(posted.body)
    assert (sent["title"], sent["message"]) == (f"hostagent: backup@eu {alarm}", MESSAGE["text"])
    assert (posted.path, sent["type"]) == ("/secret", kind)


def test_what_apprise_cannot_tell_is_said_without_its_address(inbox: Inbox) -> None:
    """Whatever its own log holds: it is told how to see that."""
    pytest.importorskip("apprise", reason="the extra apprise is not installed")
    inbox.statuses = [403]
    done = told(Notify("x", apprise=PHONE.format(inbox.server_port)))
    said = "the json service did not take it; to see why: apprise -vv --body test ADDRESS\n"
    assert (done.returncode, done.stderr, len(inbox.got)) == (1, said, 1)
    done = told(Notify("x", apprise="carrier-pigeon://secret"))
    assert done.stderr == "apprise knows no such address of carrier-pigeon\n"


def test_without_apprise_it_is_said_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotDeliveredError, match=r"type: pip install 'hostagent\[apprise\]'$"):
        deliver.deliver(Notify("x", apprise="ntfy://ntfy.sh/secret"), MESSAGE)
