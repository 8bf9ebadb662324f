#!/usr/bin/python3 -IS
"""The ExecCondition client: asks the agent whether a job's unit may start, here and now.

It lives for some milliseconds beside every start, so it is one file, imports two modules that
are part of the interpreter, and knows just enough Varlink for its one call. Exit 0: admitted.
Exit 1: not here, not now (a clean skip); the agent's sentence goes to the unit's journal. It
gives up after ten seconds: the agent starts the job later, whereas an ExecCondition= that
times out would fail the unit.

Usage: admit SOCKET UNIT
"""

import _socket
import posix
import sys

TIMEOUT_S = 10
ADMITTED = b'{"parameters":{"admitted":true'


def quote(text: bytes) -> bytes:
    """A JSON string; unit names are ASCII without control characters."""
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def ask(path: bytes, unit: bytes, invocation: bytes) -> bytes:
    """The reply, without its final NUL; empty when the agent hung up."""
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    limit = TIMEOUT_S.to_bytes(8, sys.byteorder) + bytes(8)
    channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, limit)
    channel.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, limit)
    channel.connect(path)
    channel.send(
        b'{"method":"io.hostagent.Agent.Admit","parameters":{"unit":%b,"invocation_id":%b}}\0'
        % (quote(unit), quote(invocation))
    )
    reply = b""
    while not reply.endswith(b"\0"):
        part = channel.recv(65536)
        if not part:
            return b""
        reply += part
    return reply[:-1]


def main() -> int:
    """Exit status 0 when admitted, 1 otherwise."""
    path, unit = sys.argv[1].encode(), sys.argv[2].encode()
    try:
        reply = ask(path, unit, posix.environ.get(b"INVOCATION_ID", b""))
    except OSError as error:
        posix.write(2, b"hostagent: the agent does not answer: %b\n" % str(error).encode())
        return 1
    if reply.startswith(ADMITTED):
        return 0
    start = reply.find(b'"reason":"') + 10
    reason = reply[start : reply.rfind(b'"')] if start > 9 else b"the agent hung up"
    posix.write(2, b"hostagent: not started: %b\n" % reason.replace(b'\\"', b'"'))
    return 1


if __name__ == "__main__":
    posix._exit(main())  # noqa: SLF001 -- no interpreter shutdown: 2 ms of 8
