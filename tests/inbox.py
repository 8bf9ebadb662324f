"""A web server of this host that keeps what is posted to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread


@dataclass(frozen=True)
class Posted:
    """One request."""

    path: str
    kind: str
    body: bytes
    authorization: str | None


class Inbox(HTTPServer):
    """Answers with ``statuses``, one after the other; the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[Posted] = []
        self.statuses = [204]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook/secret"


class _Handler(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind, pair = self.headers["Content-Type"], self.headers["Authorization"]
        self.server.got.append(Posted(self.path, kind, body, pair))
        statuses = self.server.statuses
        self.send_response(
            statuses.pop(0) if len(statuses) > 1 else statuses[0], "no: /hook/secret"
        )
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def open_inbox() -> Iterator[Inbox]:
    """One that answers while the block goes on."""
    with Inbox() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
