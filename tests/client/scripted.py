"""A real HTTP server on a Unix socket that answers by a script: what networks and servers do to a client."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path


@dataclass
class Request:
    """What the client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """Answers in order; the last one repeats. ``seen`` keeps the requests."""

    answers: list[Callable[[BaseHTTPRequestHandler], None]]
    seen: list[Request] = field(default_factory=list)


def answer(
    status: int, body: bytes, content_type: str = "application/json", **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer whole."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def break_off(announced: int = 0, sent: bytes = b"", status: int = 200, **headers: str) -> Callable[..., None]:
    """Announce more bytes than are sent, or close without an answer."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        if announced:
            handler.send_response(status)
            handler.send_header("Content-Length", str(announced))
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(sent)
            handler.wfile.flush()
        handler.close_connection = True

    return send


@contextmanager
def scripted(socket_path: Path, *answers: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Script]:
    """Serve the script on a socket; ``/readyz`` is always ready and not part of it."""
    script = Script([*answers])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def address_string(self) -> str:
            return "socket"

        def _serve(self) -> None:
            if self.path == "/readyz":
                answer(200, b"ready\n", "text/plain")(self)
                return
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.seen.append(Request(self.command, self.path, headers, body))
            (script.answers.pop(0) if len(script.answers) > 1 else script.answers[0])(self)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(socket_path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
