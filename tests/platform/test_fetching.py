"""A fetch never leads to where only this machine may go, and ends within its limits (S48, S50)."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tunery.errors import (
    Cancelled,
    FormatInvalid,
    NotFound,
    Refused,
    SourceLimit,
    TuneryError,
    Unavailable,
    UrlNotAllowed,
)
from tunery.platform.fetching import Fetched, FetchLimits, check_url, fetch_file, is_public

LIMITS = FetchLimits(max_bytes=100_000, seconds=20)
DATA = b'{"text": "a"}\n' * 1000


class Web:
    """A server on this machine: what it answers by path, and how many connections came."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.connections = 0
        self.hosts: list[str] = []
        self.port = 0

    def url(self, path: str, host: str = "data.example") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
def web() -> Iterator[Web]:
    site = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            site.connections += 1
            super().setup()

        def do_GET(self) -> None:
            site.hosts.append(self.headers["Host"])
            self.close_connection = True
            try:
                site.answers[self.path](self)
            except ConnectionError:
                return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """Addresses by host name, one list for each time the name is asked; the last one stays."""
    known: dict[str, list[list[str]]] = {"data.example": [["127.0.0.1"]]}
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *rest: Any, **named: Any) -> Any:
        if host not in known:
            return real(host, port, *rest, **named)
        turns = known[host]
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def give(data: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        for name, value in ({"Content_Length": str(len(data))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def lead(to: str, status: int = 302) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Location", to)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def fetch(url: str, folder: Path, limits: FetchLimits = LIMITS, **options: Any) -> Fetched:
    return fetch_file(url, folder / "source", limits, **({"private_hosts": ["data.example"]} | options))


def test_a_file_is_fetched_with_its_name_and_type(web: Web, names: dict[str, Any], tmp_path: Path) -> None:
    web.answers["/sets/rows%20a.jsonl?v=2"] = give(DATA, Content_Type="application/x-ndjson; charset=utf-8")
    seen: list[tuple[int, int | None]] = []
    url = web.url("/sets/rows%20a.jsonl?v=2")
    found = fetch(url, tmp_path, on_bytes=lambda done, total: seen.append((done, total)))
    assert found == Fetched(url, "rows a.jsonl", len(DATA), "application/x-ndjson")
    assert (tmp_path / "source").read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert web.hosts == [f"data.example:{web.port}"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://data.example/",
        "ftp://data.example/x",
        "//data.example/x",
        "data.example/x",
        "http://a@127.0.0.1:PORT/",
        "http://a:b@data.example:PORT/",
        "http://127.0.0.1:PORT\\@ok.example/",
        "http://ok.example\t:PORT/",
        "http://data.example:0/",
        "http://data.example:99999/",
        "http://[::1%25lo]:PORT/",
        "http:///x",
        "http://dät.example/",
        "http://127.0.0.1:PORT/",
        "http://localhost:PORT/",
        "http://2130706433:PORT/",
        "http://0177.0.0.1:PORT/",
        "http://0x7f.1:PORT/",
        "http://127.1:PORT/",
        "http://0.0.0.0:PORT/",
        "http://[::1]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://[::127.0.0.1]:PORT/",
        "http://[64:ff9b::7f00:1]:PORT/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
        "http://[fd00::1]/",
        "http://[fe80::1]/",
        "http://224.0.0.1/",
    ],
)
def test_addresses_that_are_not_public_are_refused_and_nothing_is_asked(url: str, web: Web, tmp_path: Path) -> None:
    """S48."""
    with pytest.raises(UrlNotAllowed) as refusal:
        fetch(url.replace("PORT", str(web.port)), tmp_path)
    assert (refusal.value.status, refusal.value.code) == (400, "url_not_allowed")
    assert web.connections == 0
    assert not (tmp_path / "source").exists()


def test_a_name_with_one_private_address_among_public_ones_is_refused(
    web: Web, names: dict[str, list[list[str]]], tmp_path: Path
) -> None:
    names["ok.example"] = [["93.184.215.14", "127.0.0.1"]]
    with pytest.raises(UrlNotAllowed, match="not public"):
        fetch(web.url("/", "ok.example"), tmp_path)
    assert web.connections == 0


def test_a_name_that_changes_its_mind_is_asked_once_and_the_address_looked_at_is_taken(
    web: Web, names: dict[str, list[list[str]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S48: DNS rebinding; the first answer is public, each later one this machine."""
    names["ok.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    asked: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        asked.append(address)
        raise OSError("there is no network here")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Unavailable):
        fetch(web.url("/", "ok.example"), tmp_path)
    assert asked == [("93.184.215.14", web.port)]
    assert names["ok.example"] == [["127.0.0.1"]]
    assert web.connections == 0


def test_a_redirect_is_looked_at_like_the_first_address(web: Web, names: dict[str, Any], tmp_path: Path) -> None:
    """S48."""
    web.answers |= {"/file": give(DATA), "/far": lead("/file"), "/loop": lead("/loop", 307)}
    assert fetch(web.url("/far"), tmp_path).url == web.url("/file")
    (tmp_path / "source").rename(tmp_path / "kept")
    for to in (f"http://127.0.0.1:{web.port}/file", "http://169.254.169.254/", "file:///etc/passwd", "http://[::1]/"):
        web.answers["/near"] = lead(to)
        with pytest.raises(UrlNotAllowed):
            fetch(web.url("/near"), tmp_path)
    with pytest.raises(UrlNotAllowed, match="more than 5 times"):
        fetch_file(web.url("/loop"), tmp_path / "loop", LIMITS, private_hosts=["data.example"])


def test_only_addresses_of_the_public_internet_are_public() -> None:
    public = ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
    private = [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::"),
        *("2001:0:7f00:1::", "::7f00:1", "2001:db8::1"),
    ]
    assert [address for address in public if not is_public(address)] == []
    assert [address for address in private if is_public(address)] == []
    assert check_url("https://data.example/a?b#c").hostname == "data.example"


def test_a_source_without_end_or_beyond_the_limit_is_cut(web: Web, names: dict[str, Any], tmp_path: Path) -> None:
    """S50."""

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        while True:
            request.wfile.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")

    web.answers |= {"/large": give(b"x" * 100_001), "/endless": endless}
    for path in ("/large", "/endless"):
        with pytest.raises(SourceLimit, match="larger than 100000 bytes"):
            fetch(web.url(path), tmp_path)
        assert not (tmp_path / "source").exists()


def test_a_source_that_drips_or_is_silent_is_cut(web: Web, names: dict[str, Any], tmp_path: Path) -> None:
    """S50: one byte at a time in the body, in the headers, or none at all."""
    done = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        give(b"", Content_Length="1000")(request)
        while not done.wait(0.02):
            request.wfile.write(b"x")

    def headers(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not done.wait(0.02):
            request.wfile.write(b"x")

    web.answers |= {"/drip": drip, "/headers": headers, "/silent": lambda request: bool(done.wait(20)) and None}
    slow = FetchLimits(max_bytes=100_000, seconds=20, silent_seconds=3, least_rate=10_000)
    short = FetchLimits(max_bytes=100_000, seconds=0.3, silent_seconds=20, least_rate=0)
    try:
        for limits, path, error in [
            (slow, "/drip", SourceLimit),
            (slow, "/headers", SourceLimit),
            (short, "/drip", SourceLimit),
            (short, "/headers", SourceLimit),
            (short, "/silent", SourceLimit),
            (slow, "/silent", Unavailable),
        ]:
            with pytest.raises(error):
                fetch(web.url(path), tmp_path, limits)
            assert not (tmp_path / "source").exists()
    finally:
        done.set()


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (give(gzip.compress(b"x" * 10_000_000), Content_Encoding="gzip"), FormatInvalid, "packed bytes"),
        (give(b"<html>", Content_Type="text/html; charset=utf-8"), FormatInvalid, "a web page"),
        (give(DATA, Content_Length="99999"), Unavailable, "as it should"),
        (lambda request: request.send_error(404), NotFound, "404"),
        (lambda request: request.send_error(403), Refused, "not open"),
        (lambda request: request.send_error(500), Unavailable, "500"),
        (lambda request: request.wfile.write(b"SSH-2.0-OpenSSH\r\n"), Unavailable, "as it should"),
        (lead("https://[", 301), UrlNotAllowed, "leads to what is no address"),
    ],
)
def test_what_is_no_data_file_is_refused_with_the_reason(
    answer: Any, error: type[TuneryError], reason: str, web: Web, names: dict[str, Any], tmp_path: Path
) -> None:
    """S50: a gzip bomb is never unpacked."""
    web.answers["/"] = answer
    with pytest.raises(error, match=reason):
        fetch(web.url("/"), tmp_path)
    assert not (tmp_path / "source").exists()


def test_a_cancelled_fetch_leaves_nothing(web: Web, names: dict[str, Any], tmp_path: Path) -> None:
    web.answers["/"] = give(DATA)
    with pytest.raises(Cancelled):
        fetch(web.url("/"), tmp_path, cancelled=lambda: True)
    assert not (tmp_path / "source").exists()
