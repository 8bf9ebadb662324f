"""``python -m hostagent.agent.tell.deliver``: one message to one of those who are to be told.

Run by PID 1 beside the agent, since the agent has no network. On standard input: the
``[notify.NAME]`` table and the message, as JSON. Exit status 0: it was delivered; else the last
line printed says why not. Nothing of it stands on a command line or in a unit: a URL may be a
secret.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping

from hostagent import body
from hostagent.agent.tell.web import NotDeliveredError, post, run
from hostagent.codec import from_json, to_json
from hostagent.model import Notify
from hostagent.policy.alarms import RECOVERED, SUCCEEDED, whose
from hostagent.policy.trouble import is_serious
from hostagent.sendmail import ADVICE, sendmail

LIMIT_S = 30
"""How long one delivery may take."""

VARIABLES = {
    "HOSTAGENT_ALARM": "alarm",
    "HOSTAGENT_WAS": "was",
    "HOSTAGENT_JOB": "job",
    "HOSTAGENT_SCOPE": "scope",
    "HOSTAGENT_SINCE": "since",
    "HOSTAGENT_REASON": "reason",
    "HOSTAGENT_TEXT": "text",
}
"""What a command finds in its environment, beside the whole message on its standard input."""


def packed(notify: Notify, message: Mapping[str, str]) -> bytes:
    """What this program reads."""
    return json.dumps({"notify": to_json(notify), "message": message}).encode()


def deliver(notify: Notify, message: Mapping[str, str]) -> None:
    """Run the command, post to the webhook, or hand it to sendmail or to apprise.

    Raises:
        NotDeliveredError: whoever got it did not take it.
    """
    if notify.command:
        given = {name: message[key] for name, key in VARIABLES.items()}
        _run(notify.command, json.dumps(message).encode(), {**os.environ, **given})
    elif notify.webhook:
        said = _body(notify.body, message)
        post(notify.webhook, said.encode(), body.kind_of(said), LIMIT_S)
    elif notify.mail:
        _run((_sendmail(), "-t", "-i"), mail(notify.mail, message), dict(os.environ))
    elif notify.apprise:
        _by_apprise(notify.apprise, message)


def _body(template: str | None, message: Mapping[str, str]) -> str:
    if template is None:
        return json.dumps(message)
    try:
        return body.render(template, message)
    except body.BodyError as error:
        raise NotDeliveredError(f"its body cannot be made: {error}") from None


def mail(to: str, message: Mapping[str, str]) -> bytes:
    """An RFC 5322 message, whose sender is sendmail's to say."""
    from email.message import EmailMessage  # noqa: PLC0415 -- as in web.post
    from email.policy import SMTP  # noqa: PLC0415 -- as above

    more = "" if message["job"] else "\n\nMore: hostagent status"
    letter = EmailMessage(SMTP.clone(linesep="\n"))
    letter["To"] = to
    letter["Subject"] = _subject(message)
    letter["Auto-Submitted"] = "auto-generated"
    letter.set_content(f"{message['text']}{more}\n", cte="8bit")  # else long lines are cut by "="
    return letter.as_bytes()


def _subject(message: Mapping[str, str]) -> str:
    return f"hostagent: {whose(message['job'], message['scope'])} {message['alarm']}"


def _by_apprise(address: str, message: Mapping[str, str]) -> None:
    try:
        import apprise  # noqa: PLC0415 -- an extra, and 20 MB
    except ImportError:
        why = "the package apprise is not installed here; type: pip install 'hostagent[apprise]'"
        raise NotDeliveredError(why) from None
    logging.disable()  # what it says itself may hold the address
    scheme, service = address.partition("://")[0], apprise.Apprise()
    if not service.add(address):
        raise NotDeliveredError(f"apprise knows no such address of {scheme}")
    is_good = message["alarm"] in {RECOVERED, SUCCEEDED}
    is_bad = is_serious(message["alarm"])
    kind = "success" if is_good else "failure" if is_bad else "warning"
    if not service.notify(message["text"], _subject(message), apprise.NotifyType(kind)):
        why = f"the {scheme} service did not take it; to see why: apprise -vv --body test ADDRESS"
        raise NotDeliveredError(why)


def _run(command: tuple[str, ...], given: bytes, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, input=given, env=environment, timeout=LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotDeliveredError(str(error)) from error
    if done.returncode:
        raise NotDeliveredError(f"{command[0]} exited with status {done.returncode}")


def _sendmail() -> str:
    found = sendmail()
    if found is None:
        raise NotDeliveredError(f"this host has no sendmail; {ADVICE}")
    return found


def main() -> None:
    """Deliver what stands on standard input."""
    told = json.load(sys.stdin)
    deliver(from_json(Notify, told["notify"]), told["message"])


if __name__ == "__main__":
    sys.exit(run(main))
