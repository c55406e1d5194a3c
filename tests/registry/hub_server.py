"""A small server that speaks the part of the Hub's protocol that fetching a model or a dataset needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

__all__ = ["HubServer", "Repository", "commit_of", "hub_server"]

_PIECE = 1024 * 1024


def commit_of(name: str) -> str:
    """Return a commit hash: 40 hex digits."""
    return hashlib.sha1(name.encode()).hexdigest()


@dataclass
class Repository:
    """One repository.

    Attributes:
        commits: Bytes by file name, by commit.
        branches: Commit by branch.
        token: What opens it, where it is not open to all.
        code: The error code that a wrong token gets: ``GatedRepo`` with 403, or ``RepoNotFound`` with 401.
    """

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    token: str | None = None
    code: str = "GatedRepo"


@dataclass
class HubServer:
    """What it holds, what it was asked, and how it fails.

    Attributes:
        sends: What is sent in place of a file's bytes.
        holds: Names of files that are begun and never ended, until ``released``.
        pace_seconds: Pause after each mebibyte.
    """

    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sends: dict[str, bytes] = field(default_factory=dict)
    holds: set[str] = field(default_factory=set)
    pace_seconds: float = 0.0
    sent: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def got(self, file: str) -> int:
        """Return how often the bytes of a file were asked for."""
        return sum(1 for method, path in self.asked if method == "GET" and path.endswith(f"/{file}"))

    def add(self, name: str, **files: bytes) -> Repository:
        """Add a repository with one commit on ``main``; in file names ``__`` stands for a dot.

        The names of datasets begin with ``datasets/``.
        """
        commit = commit_of(name)
        found = {key.replace("__", "."): value for key, value in files.items()}
        self.repositories[name] = Repository({commit: found}, {"main": commit})
        return self.repositories[name]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path))
        parts = path.strip("/").split("/")
        is_api = parts[:2] in (["api", "models"], ["api", "datasets"])
        kind = "datasets/" if "datasets" in (parts[0], is_api and parts[1]) else ""
        parts = parts[2:] if is_api else parts[1:] if kind else parts
        name = kind + "/".join(parts[:2])
        repository = self.hub.repositories.get(name)
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repository is None:
            self._refuse(404, "RepoNotFound")
        elif repository.token is not None and given != repository.token:
            self._refuse(403 if repository.code == "GatedRepo" else 401, repository.code)
        else:
            self._serve(repository, name, parts[2:], is_api, with_body)

    def _serve(self, repository: Repository, name: str, parts: list[str], is_api: bool, with_body: bool) -> None:
        revision = parts[1] if len(parts) > 1 else "main"
        commit = repository.branches.get(revision, revision)
        files = repository.commits.get(commit)
        if files is None:
            self._refuse(404, "RevisionNotFound")
        elif is_api and parts[:1] == ["tree"]:
            self._json([_entry(path, data) for path, data in files.items()])
        elif is_api:
            self._json({"id": name, "modelId": name, "sha": commit, "siblings": [{"rfilename": f} for f in files]})
        elif "/".join(parts[2:]) in files:
            self._file("/".join(parts[2:]), files["/".join(parts[2:])], commit, with_body)
        else:
            self._refuse(404, "EntryNotFound")

    def _file(self, path: str, data: bytes, commit: str, with_body: bool) -> None:
        sending = self.hub.sends.get(path, data) if with_body else data
        first = 0
        if with_body and (wanted := self.headers.get("Range")):
            first = int(wanted.removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(sending) - 1}/{len(sending)}")
        self.send_header("Content-Length", str(len(sending) - first))
        self.send_header("ETag", f'"{_etag(path, data)}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if with_body:
            self._send(path, sending[first:])

    def _send(self, path: str, data: bytes) -> None:
        try:
            if path in self.hub.holds:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                self.hub.released.wait(timeout=60)
                self.close_connection = True
                return
            for at in range(0, len(data), _PIECE):
                self.wfile.write(data[at : at + _PIECE])
                self.hub.sent += len(data[at : at + _PIECE])
                if self.hub.pace_seconds:
                    self.hub.released.wait(timeout=self.hub.pace_seconds)
        except ConnectionError:
            self.close_connection = True

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", "no")
        self.send_header("Content-Length", "0")
        self.end_headers()


def _etag(path: str, data: bytes) -> str:
    """Large files go by their SHA-256, small ones by their Git hash, as on the Hub."""
    if path.endswith((".safetensors", ".bin")):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entry(path: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": _etag(path, data)[:40]}
    if path.endswith((".safetensors", ".bin")):
        entry["lfs"] = {"oid": _etag(path, data), "size": len(data), "pointerSize": 130}
    return entry


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Serve on a free port of this machine."""
    hub = HubServer()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
