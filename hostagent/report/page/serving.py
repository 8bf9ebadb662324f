"""Serves the page over HTTP: to read, and nothing else. No encryption and no accounts: a proxy's.

The page is made when it is asked for, by one at a time, and is good for some seconds, so that many
readers cost a host no more than one does.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import socketserver
import stat
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

from hostagent.errors import HostagentError, InputError, RefusedError
from hostagent.report.page.render import content_policy

FRESH_S = 2.0
"""How long a page is given out again."""

SLOW_S = 10
"""How long a reader may take to say what it wants, and to read it."""

AT_ONCE = 32
"""How many are answered side by side; more wait in the kernel."""

Address = Path | tuple[str, int]


def address(text: str) -> Address:
    """A Unix socket's path, or a host and its port.

    Raises:
        InputError: it is neither.
    """
    if text.startswith("/"):
        return Path(text)
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    is_number = port.isascii() and port.isdecimal() and int(port) < 65536
    if not (colon and bare and is_number) or (":" in bare and bare == host):
        raise InputError(
            f'--listen "{text}" is no address',
            "write 127.0.0.1:8470, [::1]:8470, or /run/hostagent-page.sock",
        )
    return bare, int(port)


class Pages:
    """The page of just now."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[float, bytes] | None = None

    def get(self) -> bytes:
        """Made anew unless it is fresh. Raises what making it does."""
        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] > FRESH_S:
                self._made = None
                text = self._make().encode()
                self._made = time.monotonic(), text
            return self._made[1]


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens from its making on, at a host and port or at a Unix socket's path.

    Raises:
        RefusedError: the address cannot be listened at.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, at: Address, make: Callable[[], str]) -> None:
        self.pages = Pages(make)
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._path = at if isinstance(at, Path) else None
        where = str(at) if isinstance(at, Path) else f"{at[0]}:{at[1]}"
        try:
            if isinstance(at, Path):
                self.address_family = socket.AF_UNIX
                _clear(at)
                super().__init__(cast("Any", str(at)), Handler)
            else:
                self.address_family, *_, found = socket.getaddrinfo(*at, type=socket.SOCK_STREAM)[0]
                super().__init__(cast("Any", found), Handler)
        except OSError as error:
            raise RefusedError(
                f"{where} cannot be listened at: {error.strerror or error}",
                "name another address: --listen 127.0.0.1:8471, or a Unix socket's path",
            ) from error

    def server_bind(self) -> None:
        """A Unix socket is its owner's and group's from its first moment on."""
        before = os.umask(0o117) if self._path else None
        try:
            super().server_bind()
        finally:
            if before is not None:
                os.umask(before)

    @property
    def place(self) -> str:
        """Where it is, for people."""
        if self._path is not None:
            return str(self._path)
        host, port, *_ = self.socket.getsockname()
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    @property
    def is_private(self) -> bool:
        """Whether it listens for this host alone."""
        return self._path is None and _is_loopback(self.socket.getsockname()[0])

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, once there is a place."""
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The thread's work."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that goes away is no error of ours; what else happens is a bug to be seen."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        """And leave no socket behind."""
        super().server_close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()


class Handler(BaseHTTPRequestHandler):
    """Answers one reader: GET and HEAD of ``/``, and nothing else; one answer a connection."""

    server: Server
    timeout = SLOW_S
    server_version = "hostagent"
    sys_version = ""

    def do_GET(self) -> None:
        """The page."""
        if self.server.is_private and not _names_this_host(self.headers.get("Host", "")):
            self._say(HTTPStatus.MISDIRECTED_REQUEST, "This address is 127.0.0.1 or localhost.\n")
            return
        if self.path.partition("?")[0] not in {"/", "/index.html"}:
            self._say(HTTPStatus.NOT_FOUND, "There is one page: /\n")
            return
        try:
            body = self.server.pages.get()
        except HostagentError as error:
            hint = f"\n  hint: {error.hint}" if error.hint else ""
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, f"{error.message}{hint}\n")
            return
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", body)

    do_HEAD = do_GET  # noqa: N815 -- as http.server wants it

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses: other methods, and what is no HTTP."""
        del explain
        status = HTTPStatus(code)
        if status is HTTPStatus.NOT_IMPLEMENTED:
            status, message = HTTPStatus.METHOD_NOT_ALLOWED, "This page is only read: GET, HEAD."
        self._say(status, f"{message or status.phrase}\n")

    def _say(self, status: HTTPStatus, text: str) -> None:
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", f"{content_policy()}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its name there
        """Who reads is not written down."""


def _clear(path: Path) -> None:
    """Remove a socket at which nobody listens any more.

    Raises:
        OSError: somebody does, or it is no socket.
    """
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if is_socket:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
    raise FileExistsError(0, "something listens there" if is_socket else "a file is there")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _names_this_host(header: str) -> bool:
    """Whether a browser means this host: a stranger's name that leads here is an attack.

    (DNS rebinding: a page elsewhere would read ours through its own name.)
    """
    host = header.rpartition(":")[0] if not header.endswith("]") and ":" in header else header
    return _is_loopback(host.removeprefix("[").removesuffix("]"))
