"""For jobs: am I still the one that may do this? ``check()``, and ``hostagent token check``.

A host that is frozen whole, and thaws after others have taken its run over, goes on with that run
until its agent or PID 1 is awake enough to stop it. A job that asks here before it commits anything
outside learns in time that its token is old.

Standard library only, and nothing else of hostagent: this file can be copied beside a job. What
cannot be asked is answered with no.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys

TIMEOUT_S = 5
SOCKET = "/run/hostagent/io.hostagent.Agent"


class NoAnswerError(Exception):
    """The question could not be asked, or was not answered; the sentence says why."""


def check(job: str | None = None, token: int | None = None, scope: str | None = None) -> bool:
    """Whether the run still holds its claim; without arguments the run that asks.

    Never raises. Whatever is no clear yes is a no, with a sentence on standard error.
    """
    try:
        job, token, scope = _own(job, token, scope)
        holds = ask(job, token, scope)
    except NoAnswerError as error:
        print(f"hostagent: {error}; taken for a no", file=sys.stderr)
        return False
    if not holds:
        name = f"{job}@{scope}" if scope else job
        print(f"hostagent: token {token} of {name} is not the holder's (any more)", file=sys.stderr)
    return holds


def ask(job: str, token: int, scope: str = "") -> bool:
    """The agent's answer.

    Raises:
        NoAnswerError: the agent did not answer within ``TIMEOUT_S``.
    """
    question = {
        "method": "io.hostagent.Agent.Holds",
        "parameters": {"job": job, "scope": scope, "token": token},
    }
    try:
        reply = json.loads(_call(json.dumps(question).encode()))
        return reply["parameters"]["holds"] is True
    except TimeoutError:
        raise NoAnswerError(f"the agent does not answer within {TIMEOUT_S} s") from None
    except OSError as error:
        raise NoAnswerError(f"the agent does not answer: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NoAnswerError("the agent's answer is no answer") from error


def _own(job: str | None, token: int | None, scope: str | None) -> tuple[str, int, str]:
    """What was not said, as the agent wrote it into the environment of the run."""
    if scope is None:
        scope = os.environ.get("HOSTAGENT_SCOPE", "") if job is None else ""
    try:
        job = os.environ["HOSTAGENT_JOB"] if job is None else job
        token = int(os.environ["HOSTAGENT_TOKEN"]) if token is None else token
    except KeyError as error:
        raise NoAnswerError(f"{error.args[0]} is not set: this is no run of a job") from None
    except ValueError:
        raise NoAnswerError("HOSTAGENT_TOKEN is no number") from None
    return job, token, scope


def _call(question: bytes) -> bytes:
    """One call over Varlink; the reply without its final NUL."""
    limit = struct.pack("@ll", TIMEOUT_S, 0)
    with socket.socket(socket.AF_UNIX) as channel:
        # Not settimeout(): with that, connect(2) fails at once while the agent's queue is full.
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        try:
            channel.connect(os.environ.get("HOSTAGENT_SOCKET") or SOCKET)
            channel.sendall(question + b"\0")
            reply = b""
            while not reply.endswith(b"\0"):
                part = channel.recv(65536)
                if not part:
                    raise ConnectionResetError(0, "it hung up")
                reply += part
        except BlockingIOError:
            raise TimeoutError from None
    return reply[:-1]


def main() -> int:
    """``hostagent token check``: 0 = still the holder, 1 = not, or nobody knows."""
    return 0 if check() else 1


if __name__ == "__main__":
    sys.exit(main())
