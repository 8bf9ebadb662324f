"""The socket: accepts callers, learns from the kernel who they are, serves the interface.

Our own accept loop rather than the library's server: that one would set the listen backlog of
systemd's socket to 1, and 500 timers may ask in one second. Anyone may connect, so nobody gets
more than a share: of connections, of memory, of turns of the loop.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from pathlib import Path

from asyncvarlink import (
    FileDescriptorArray,
    VarlinkInterfaceRegistry,
    VarlinkInterfaceServerProtocol,
    VarlinkTransport,
)
from asyncvarlink.serviceinterface import VarlinkServiceInterface
from asyncvarlink.types import JSONObject

from hostagent import __version__
from hostagent.agent.interface import AgentInterface, Service
from hostagent.host.peer import peer_of

MAX_CALL = 64 * 1024
"""Bytes. Who sends more without ending a call is hung up on."""

MAX_CONNECTIONS = 32
"""How many one user may hold; root, who runs the jobs, any number."""

MAX_UNREAD = 64
"""Answers that wait for one caller to read them. Who lets more pile up is hung up on."""

_AT_ONCE = 64
_FULL_S = 1.0


class Server:
    """Serves ``service`` on a listening socket, until closed."""

    def __init__(self, listener: socket.socket, service: Service) -> None:
        self._listener = listener
        self._service = service
        self._transports: set[VarlinkTransport] = set()
        self._held: Counter[int] = Counter()
        listener.setblocking(False)

    def start(self) -> None:
        """Accept from now on; callers that came earlier wait in the kernel."""
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Hang up on everybody. The listening socket is systemd's and stays."""
        asyncio.get_running_loop().remove_reader(self._listener)
        for transport in list(self._transports):
            transport.close()

    def _accept(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                channel, _ = self._listener.accept()
                self._serve(channel)
        except (BlockingIOError, ConnectionError):
            pass
        except OSError:  # no descriptor is left: callers wait in the kernel
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(_FULL_S, self.start)

    def _serve(self, channel: socket.socket) -> None:
        caller = peer_of(channel)
        if caller.uid not in {0, os.getuid()} and self._held[caller.uid] >= MAX_CONNECTIONS:
            channel.close()
            return
        registry = VarlinkInterfaceRegistry()
        registry.register_interface(
            VarlinkServiceInterface(
                "hostagent", "hostagent", __version__, "man:hostagent-agent(8)", registry
            )
        )
        registry.register_interface(AgentInterface(self._service, caller))
        loop = asyncio.get_running_loop()
        transport = VarlinkTransport(
            loop,
            channel,
            channel,
            _Protocol(registry),
            boundary_predictor=None,  # it would read for as long as there is anything
        )
        self._transports.add(transport)
        self._held[caller.uid] += 1

        def closed(_: object) -> None:
            self._transports.discard(transport)
            self._held[caller.uid] -= 1

        transport.closed_future.add_done_callback(closed)


class _Protocol(VarlinkInterfaceServerProtocol):
    """The library's, but for callers that never come to an end."""

    _unfinished = 0
    _unread = 0

    def message_received(self, data: bytes, fds: FileDescriptorArray | None) -> None:
        """Take what arrived."""
        super().message_received(data, fds)
        _, end, rest = data.rpartition(b"\0")
        self._unfinished = len(rest) if end else self._unfinished + len(data)
        if self._unfinished > MAX_CALL:
            self.close()

    def send_message(
        self, obj: JSONObject, fds: list[int] | None = None, autoclose: bool = True
    ) -> asyncio.Future[None]:
        """Answer, if the caller still reads."""
        sent = super().send_message(obj, fds, autoclose)
        self._unread += 1
        sent.add_done_callback(self._was_sent)
        if self._unread > MAX_UNREAD and self._transport is not None:
            self._transport.abort()
        return sent

    def _was_sent(self, sent: asyncio.Future[None]) -> None:
        self._unread -= 1
        sent.exception()  # a caller that has gone is nobody's trouble


def listening_socket(path: Path, passed: int | None) -> socket.socket:
    """The socket systemd passed (its descriptor number), or one of our own at ``path``."""
    if passed is not None:
        return socket.socket(fileno=passed)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen(socket.SOMAXCONN)
    return listener
