"""Object storage that answers what is not so (F12): wrong ETags, bytes changed on their way in or out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fault_proxy import FaultProxy
from tests.fixtures import fresh_settings, make_actor
from tests.object_stores import ObjectServer
from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.fault_scenario import noise
from tunery.errors import IntegrityError, TuneryError, Unavailable
from tunery.platform.blobs.checking import check
from tunery.platform.ground import Ground

pytestmark = pytest.mark.xdist_group("object-stores")

SMALL, IN_PARTS = noise(1, 100_000), noise(2, 20_000_000)
"""The second becomes a pack that is uploaded in parts of 8 MiB."""
Lie = Callable[[bytes, bytes], bytes]


class LyingProxy(FaultProxy):
    """Changes what is asked and what is answered, given with the request's head."""

    asking: Lie = staticmethod(lambda head, body: body)
    answering: Lie = staticmethod(lambda head, answer: answer)

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        return self.answering(head, await super()._asked(head, self.asking(head, body)))

    @contextmanager
    def lying(self, *, asking: Lie | None = None, answering: Lie | None = None) -> Iterator[None]:
        before = self.asking, self.answering
        self.asking, self.answering = asking or self.asking, answering or self.answering
        yield
        self.asking, self.answering = before


def wrong_etag(head: bytes, answer: bytes) -> bytes:
    """Every ETag of an answer is another one."""
    pattern = rb"(?i)(etag(?:: *|>)(?:\"|&#34;|&quot;)?)[0-9a-f]{32}"
    return re.sub(pattern, lambda found: found[1] + os.urandom(16).hex().encode(), answer)


def changed(head: bytes, data: bytes) -> bytes:
    """One bit in the middle of a long message is another one."""
    if len(data) < 20_000:
        return data
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.fixture
def proxy(s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingProxy]:
    proxy = LyingProxy(s3_server.port, lambda: "none", late_seconds=0)
    with proxy.running():
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture
def shelf(
    proxy: LyingProxy, s3_server: ObjectServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Shelf]:
    """A store whose packs lie behind the proxy."""
    url = f"{s3_server.url}/{tmp_path.name}-{os.urandom(4).hex()}"
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        behind = {"store_url": url, "store_request_seconds": 60.0, "store_retry_seconds": 0.0}
        ground = Ground.build(settings.model_copy(update=behind))
        yield Shelf(ground, make_actor(ground, "acme").tenant_id)
        ground.database.close()


@pytest.mark.parametrize("data", [SMALL, IN_PARTS], ids=["whole", "in parts"])
def test_wrong_etags_lose_nothing_that_was_acknowledged(proxy: LyingProxy, shelf: Shelf, data: bytes) -> None:
    with proxy.lying(answering=wrong_etag):
        try:
            digest: str | None = shelf.put(data)
        except Unavailable:  # the parts are put together by their ETags, so the server refuses
            digest = None
        if digest:
            assert shelf.read(digest) == data
    assert bool(digest) == (data is SMALL)
    assert (shelf.segments() == []) == (digest is None), "what was not acknowledged is not seen"
    assert shelf.read(shelf.put(data)) == data, "sent again, it is there"
    assert list(check(shelf.store, shelf.tenant_id)) == []


@pytest.mark.parametrize("data", [SMALL, IN_PARTS], ids=["whole", "in parts"])
def test_bytes_that_change_on_their_way_out_are_never_handed_on(proxy: LyingProxy, shelf: Shelf, data: bytes) -> None:
    digest = shelf.put(data)
    with proxy.lying(answering=changed), pytest.raises(IntegrityError, match=digest):
        shelf.read(digest)
    assert shelf.read(digest) == data


@pytest.mark.parametrize("data", [SMALL, IN_PARTS], ids=["whole", "in parts"])
def test_bytes_that_change_on_their_way_in_are_not_acknowledged(proxy: LyingProxy, shelf: Shelf, data: bytes) -> None:
    with proxy.lying(asking=changed), pytest.raises(TuneryError):
        shelf.put(data)
    assert shelf.segments() == []
    assert shelf.read(shelf.put(data)) == data
