"""Object storage on a bad day (F12): slow, throttled, cut off, silent, or doing twice what it did not acknowledge."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.fault_proxy import FAULTS, FaultProxy
from tests.faults import ROUNDS, Injected
from tests.fixtures import fresh_settings, make_actor
from tests.object_stores import ObjectServer
from tunery.errors import NotFound, Unavailable
from tunery.platform.blobs.backends import Patience, open_backend
from tunery.platform.blobs.checking import check
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.destroying import destroy
from tunery.platform.blobs.tables import Pack
from tunery.platform.ground import Ground

pytestmark = pytest.mark.xdist_group("object-stores")

PATIENCE = Patience(request_seconds=1.0, retry_seconds=3)
SEEDS = range(ROUNDS or 1)
DEEDS = 240 if ROUNDS else 90


@pytest.fixture
def proxy(s3_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A calm proxy, through which every backend that is opened goes."""
    proxy = FaultProxy(s3_server.port, lambda: "none", late_seconds=PATIENCE.request_seconds * 1.2)
    with proxy.running():
        for name, value in s3_server.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture
def url(s3_server: ObjectServer, tmp_path: Path) -> str:
    return f"{s3_server.url}/{tmp_path.name}-{os.urandom(4).hex()}"


@pytest.fixture
def ground(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Ground]:
    """A ground whose packs and keys lie behind the proxy."""
    with fresh_settings("sqlite", tmp_path / "home", request) as settings:
        behind = {
            "store_url": f"{url}/packs",
            "store_keys_url": f"{url}/keys",
            "store_request_seconds": PATIENCE.request_seconds,
            "store_retry_seconds": PATIENCE.retry_seconds,
        }
        ground = Ground.build(settings.model_copy(update=behind))
        yield ground
        ground.database.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_now_and_then_is_not_even_noticed(proxy: FaultProxy, url: str, tmp_path: Path, fault: str) -> None:
    backend = open_backend(url, Patience(PATIENCE.request_seconds, retry_seconds=60))
    data = random.Random(1).randbytes(20_000_000)
    (tmp_path / "staged").write_bytes(data)
    turns = iter(range(10**6))
    proxy.schedule = lambda: fault if next(turns) % 3 == 0 else "none"
    backend.place("a/large", tmp_path / "staged")
    for n in range(5):
        backend.put(f"a/{n}", data[:n])
    assert backend.read("a/large") == data
    assert backend.read("a/large", 9_000_000, 1_000_000) == data[9_000_000:10_000_000]
    assert sorted(entry.size_bytes for entry in backend.entries("a")) == [0, 1, 2, 3, 4, len(data)]
    backend.delete("a/0")
    assert proxy.done[fault] >= 5


@pytest.mark.parametrize("fault", ["reset", "slow_down", "answer_late"])
def test_a_server_that_stays_away_is_given_up_in_bounded_time(
    proxy: FaultProxy, url: str, tmp_path: Path, fault: str
) -> None:
    backend = open_backend(url, Patience(request_seconds=1, retry_seconds=2))
    proxy.schedule = lambda: fault
    (tmp_path / "staged").write_bytes(b"x" * 1000)
    for deed in (lambda: backend.place("a/b", tmp_path / "staged"), lambda: backend.read("a/b")):
        started = time.monotonic()
        with pytest.raises(Unavailable):
            deed()
        # While nothing answers, a request ends within the sum; a machine with other work on it takes its time besides.
        assert time.monotonic() - started < 1 + 2 + 15
    assert (tmp_path / "staged").exists()


@dataclass
class Told:
    """What the store acknowledged, and what it did not."""

    kept: dict[str, bytes] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)
    unsure: dict[str, bytes] = field(default_factory=dict)
    refused: int = 0
    longest: float = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_acknowledged_in_a_storm_is_whole_and_nothing_else_is_there(
    proxy: FaultProxy, ground: Ground, seed: int, injected: Injected
) -> None:
    tenant_id, told, deeds = make_actor(ground, "acme").tenant_id, Told(), random.Random(seed)
    dice = random.Random(seed + 1)
    proxy.schedule = lambda: dice.choice(FAULTS) if dice.random() < 0.2 else "none"
    orders = [(deeds.random(), deeds.randrange(2**32)) for _ in range(DEEDS)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda order: _do(ground, tenant_id, told, *order), orders[:-40]))
    proxy.schedule = lambda: "reset"
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda order: _do(ground, tenant_id, told, 0.0, order[1]), orders[-40:-34]))
    assert told.refused >= 6, "nothing is acknowledged while the server is away"
    dice.seed(seed + 2)
    proxy.schedule = lambda: dice.choice(FAULTS) if dice.random() < 0.2 else "none"
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda order: _do(ground, tenant_id, told, *order), orders[-34:]))
    assert sum(proxy.done[fault] for fault in FAULTS) >= DEEDS // 5
    assert set(FAULTS) <= set(proxy.done)
    # A put asks at most eight times: two keys, a pack, its length, and on failure up to three deletions.
    assert told.longest < 8 * (PATIENCE.request_seconds + 2 * PATIENCE.retry_seconds)

    proxy.schedule = lambda: "none"
    fresh = Ground.build(ground.settings)
    standing = {digest: data for digest, data in told.kept.items() if digest not in told.destroyed}
    assert len(standing) >= DEEDS // 4
    for digest, data in standing.items():
        assert fresh.blobs.read(tenant_id, digest) == data
    for digest in told.destroyed:
        with pytest.raises(NotFound):
            fresh.blobs.read(tenant_id, digest)
    still = {digest: data for digest, data in told.unsure.items() if fresh.blobs.exists(tenant_id, digest)}
    assert all(fresh.blobs.read(tenant_id, digest) == data for digest, data in still.items())
    assert list(check(fresh.blobs, tenant_id)) == []
    with fresh.database.session(tenant_id, read_only=True) as session:
        rows = set(session.scalars(sa.select(Pack.id).where(Pack.doomed_at.is_(None))))
    assert rows <= {entry.name.rpartition("/")[2] for entry in fresh.blobs.backend.entries(tenant_id)}
    collected = collect(fresh.blobs, tenant_id, grace=timedelta(0))
    assert set(standing) <= set(collected.files) <= set(standing) | set(still), "what was not acknowledged is not there"
    assert list(fresh.blobs.backend.entries(tenant_id)) == []
    injected(sum(proxy.done[fault] for fault in FAULTS))


def _do(ground: Ground, tenant_id: str, told: Told, kind: float, seed: int) -> None:
    """One deed: 60 in 100 put, 30 read, 10 destroy."""
    rng, started = random.Random(seed), time.monotonic()
    with told.lock:
        standing = sorted(set(told.kept) - told.destroyed)
        digest = rng.choice(standing) if standing and kind >= 0.6 else None
        if digest and kind >= 0.9:
            told.destroyed.add(digest)
    try:
        if digest is None:
            data = rng.randbytes(rng.randrange(1, 200_000))
            kept = ground.blobs.put(tenant_id, data).digest
            with told.lock:
                told.kept[kept] = data
        elif kind < 0.9:
            assert ground.blobs.read(tenant_id, digest) == told.kept[digest] or digest in told.destroyed
        else:
            destroy(ground.blobs, tenant_id, [digest])
    except NotFound:
        assert digest in told.destroyed
    except Unavailable:
        with told.lock:
            told.refused += 1
            if digest and kind >= 0.9:  # begun, and finished by the next collection or not begun at all
                told.destroyed.discard(digest)
                told.unsure[digest] = told.kept.pop(digest)
    with told.lock:
        told.longest = max(told.longest, time.monotonic() - started)
