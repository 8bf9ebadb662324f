"""The socket: accepts callers, learns from the kernel who they are, serves the interface.

Our own accept loop rather than the library's server: that one would set the listen backlog of
systemd's socket to 1, and 500 timers may ask in one second.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

from asyncvarlink import VarlinkInterfaceRegistry, VarlinkTransport
from asyncvarlink.serviceinterface import VarlinkServiceInterface

from hostagent import __version__
from hostagent.agent.interface import AgentInterface, Service
from hostagent.host.peer import peer_of


class Server:
    """Serves ``service`` on a listening socket, until closed."""

    def __init__(self, listener: socket.socket, service: Service) -> None:
        self._listener = listener
        self._service = service
        self._transports: set[VarlinkTransport] = set()
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
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                channel, _ = self._listener.accept()
                self._serve(channel)

    def _serve(self, channel: socket.socket) -> None:
        registry = VarlinkInterfaceRegistry()
        registry.register_interface(
            VarlinkServiceInterface(
                "hostagent", "hostagent", __version__, "man:hostagent-agent(8)", registry
            )
        )
        registry.register_interface(AgentInterface(self._service, peer_of(channel)))
        loop = asyncio.get_running_loop()
        transport = VarlinkTransport(loop, channel, channel, registry.protocol_factory())
        self._transports.add(transport)
        transport.closed_future.add_done_callback(lambda _: self._transports.discard(transport))


def listening_socket(path: Path, passed: int | None) -> socket.socket:
    """The socket systemd passed (its descriptor number), or one of our own at ``path``."""
    if passed is not None:
        return socket.socket(fileno=passed)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    listener.listen(socket.SOMAXCONN)
    return listener
