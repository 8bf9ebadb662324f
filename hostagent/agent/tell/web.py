"""One POST to an address that may be a secret: nothing that is said of it shows more than its host.

For the programs that PID 1 runs beside the agent, which has no network.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import SplitResult, unquote, urlsplit

PASSING = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
"""Answers below 500 that may be others next time."""


class NotDeliveredError(Exception):
    """And why, for the journal. ``may_pass``: another try may go better."""

    def __init__(self, why: str, *, may_pass: bool = False) -> None:
        super().__init__(why)
        self.may_pass = may_pass


def post(url: str, body: bytes, kind: str, limit_s: float) -> None:
    """Post ``body`` of content type ``kind``; each answer of the server's may take ``limit_s``.

    Raises:
        NotDeliveredError: it did not answer, or not 2xx.
    """
    import urllib.error  # noqa: PLC0415 -- 3 MB that the agent does not need
    import urllib.request  # noqa: PLC0415 -- as above
    from http.client import HTTPException  # noqa: PLC0415 -- as above

    parts = urlsplit(url)
    where = parts.hostname
    headers = {"Content-Type": kind, "User-Agent": "hostagent", **_credentials(parts)}
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    try:
        request = urllib.request.Request(plain, body, headers)  # noqa: S310 -- the spec takes http and https only
        with urllib.request.urlopen(request, timeout=limit_s) as answer:  # noqa: S310 -- as above
            answer.read(1)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(where, error.code) from None
    except OSError as error:
        raise NotDeliveredError(f"{where}: {error}", may_pass=True) from None
    except HTTPException as error:  # its words may hold what was sent, or anything
        why = f"{where} did not answer as a web server does ({type(error).__name__})"
        raise NotDeliveredError(why, may_pass=True) from None
    except ValueError as error:  # the same
        raise NotDeliveredError(f"{where}: its URL is wrong ({type(error).__name__})") from None


def run(work: Callable[[], None]) -> int:
    """Do it; the exit status. The last line printed says why it did not work.

    No traceback is shown: there may be a secret in it.
    """
    try:
        work()
    except NotDeliveredError as error:
        print(error, file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 -- see above
        print(f"this is a bug in hostagent: {type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _credentials(parts: SplitResult) -> dict[str, str]:
    """The user and password of a URL: urllib takes them for a part of the host's name."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def _refused(where: str | None, code: int) -> NotDeliveredError:
    """In our words: those of the server may repeat what it was asked."""
    try:
        meaning = f" {HTTPStatus(code).phrase}"
    except ValueError:
        meaning = ""
    may_pass = code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in PASSING
    return NotDeliveredError(f"{where} answered {code}{meaning}", may_pass=may_pass)
