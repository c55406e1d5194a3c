"""Quotas: what is stored and what is reserved never come to more than the limit, whoever asks at the same moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.doors.door import Door
from tests.storage.proxy import Cut, proxied
from tests.storage.test_uploads import DATA, begin, send
from tunery.client import Client
from tunery.errors import Exhausted, Forbidden, MalformedRequest, NotFound
from tunery.identity.operations import bootstrap
from tunery.identity.tables import Tenant
from tunery.kit.actor import Actor
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.ground import Ground
from tunery.storage import operations
from tunery.storage.quotas import Quota, quota_of, reserved_for
from tunery.storage.schemas import QuotaSet
from tunery.storage.tables import StorageQuota

SIZE = 100_000


def limit(ground: Ground, actor: Actor, limit_bytes: int | None) -> None:
    with ground.database.session(actor.tenant_id) as session:
        row = session.scalars(sa.select(StorageQuota)).one_or_none() or StorageQuota()
        row.limit_bytes = limit_bytes
        session.add(row)


def use(ground: Ground, actor: Actor) -> Quota:
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        return quota_of(session)


def tried(deed: Any, *arguments: Any) -> bool:
    try:
        deed(*arguments)
    except Exhausted:
        return False
    return True


def test_without_a_quota_everything_is_kept_and_counted(ground: Ground, actor: Actor) -> None:
    assert use(ground, actor) == Quota(None, 0, 0)
    ground.blobs.put(actor.tenant_id, os.urandom(SIZE))
    begin(ground, actor)
    found = use(ground, actor)
    assert found.limit_bytes is None
    assert SIZE < found.stored_bytes < SIZE + 2000  # random bytes do not compress; a pack costs some hundred bytes
    assert found.reserved_bytes == reserved_for(len(DATA)) == len(DATA) + len(DATA) // 256 + 4096


def test_an_upload_that_the_quota_does_not_hold_is_refused_with_the_numbers(ground: Ground, actor: Actor) -> None:
    ground.blobs.put(actor.tenant_id, os.urandom(SIZE))
    stored = use(ground, actor).stored_bytes
    limit(ground, actor, stored + reserved_for(len(DATA)) - 1)
    with pytest.raises(Exhausted, match="quota of .* does not hold") as caught:
        begin(ground, actor)
    assert caught.value.details == {
        "limit_bytes": stored + reserved_for(len(DATA)) - 1,
        "stored_bytes": stored,
        "reserved_bytes": 0,
        "asked_bytes": reserved_for(len(DATA)),
    }
    limit(ground, actor, stored + reserved_for(len(DATA)))
    begin(ground, actor)
    assert not tried(ground.blobs.put, actor.tenant_id, os.urandom(SIZE))  # all that is left is reserved


def test_a_reservation_is_used_up_by_its_own_file_and_given_back_by_an_abort(ground: Ground, actor: Actor) -> None:
    limit(ground, actor, reserved_for(len(DATA)))
    upload = begin(ground, actor)
    for number in (1, 2, 3, 4):
        send(ground, actor, upload, number)
    operations.complete_upload(ground, actor, upload.id)
    after = use(ground, actor)
    assert len(DATA) < after.stored_bytes <= reserved_for(len(DATA))
    assert after.reserved_bytes == 0
    limit(ground, actor, after.stored_bytes + reserved_for(1000))
    other = begin(ground, actor, b"y" * 1000)
    assert not tried(begin, ground, actor, b"z" * 1000)
    operations.abort_upload(ground, actor, other.id)
    assert tried(begin, ground, actor, b"z" * 1000)


def test_bytes_beyond_the_quota_leave_nothing(ground: Ground, actor: Actor) -> None:
    limit(ground, actor, SIZE)
    assert not tried(ground.blobs.put, actor.tenant_id, os.urandom(SIZE))
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert session.scalar(sa.select(sa.func.count(BlobRow.id))) == 0
    assert use(ground, actor).stored_bytes == 0
    for folder in (("staging",), ("store", "packs")):
        left = [path for path in ground.settings.home.joinpath(*folder).rglob("*") if path.is_file()]
        assert left == []
    assert tried(ground.blobs.put, actor.tenant_id, b"small")


def test_bytes_that_are_here_already_cost_nothing(ground: Ground, actor: Actor) -> None:
    data = os.urandom(SIZE)
    ground.blobs.put(actor.tenant_id, data)
    limit(ground, actor, 0)
    assert tried(ground.blobs.put, actor.tenant_id, data)
    assert not tried(ground.blobs.put, actor.tenant_id, b"more")


def test_a_body_over_the_quota_is_refused_before_a_byte_of_it_is_read(ground: Ground, actor: Actor) -> None:
    limit(ground, actor, 20_000_000)

    def unread() -> Iterator[bytes]:
        raise AssertionError("a byte was asked for")
        yield

    with pytest.raises(Exhausted, match="does not hold"):
        operations.put_body(ground, actor, unread(), 10_000_000_000)
    assert use(ground, actor) == Quota(20_000_000, 0, 0)


def test_a_body_of_unknown_length_is_refused_as_soon_as_it_does_not_fit(ground: Ground, actor: Actor) -> None:
    """8 MiB come without a reservation; the next step of 64 MiB is more than there is."""
    limit(ground, actor, 20_000_000)
    came = 0

    def endless() -> Iterator[bytes]:
        nonlocal came
        while True:
            came += 1_000_000
            yield bytes(1_000_000)

    with pytest.raises(Exhausted, match="does not hold"):
        operations.put_body(ground, actor, endless())
    assert came == 9_000_000
    assert use(ground, actor) == Quota(20_000_000, 0, 0)


def test_a_body_on_its_way_holds_its_room_and_gives_it_back(ground: Ground, actor: Actor) -> None:
    limit(ground, actor, 30_000_000)
    size = 10_000_000
    seen: list[int] = []

    def pieces() -> Iterator[bytes]:
        seen.append(use(ground, actor).reserved_bytes)
        assert not tried(operations.put_body, ground, actor, [], 25_000_000)  # another has 20 MB left, not 25
        yield bytes(size)

    kept = operations.put_body(ground, actor, pieces(), size)
    assert kept.size_bytes == size
    assert seen == [reserved_for(size)]
    after = use(ground, actor)
    assert after.reserved_bytes == 0
    assert 0 < after.stored_bytes < 1_000_000  # zeros compress

    def breaking() -> Iterator[bytes]:
        yield bytes(1000)
        raise MalformedRequest("the connection broke")

    with pytest.raises(MalformedRequest):
        operations.put_body(ground, actor, breaking(), size)
    assert use(ground, actor) == after


def test_the_client_hears_of_the_quota_while_it_still_sends(door: Door, tmp_path: Path) -> None:
    rival = door["rival/admin"]
    limit(door.ground, rival.actor, 1_000_000)
    path = tmp_path / "noise.bin"
    path.write_bytes(os.urandom(20_000_000))
    try:
        with proxied(door.socket_path, Cut) as url, Client(url, rival.token, tmp_path / "home") as client:
            for parts_from_bytes in (1 << 30, 1 << 20):
                client.files.parts_from_bytes = parts_from_bytes
                with pytest.raises(Exhausted, match="the quota of"):
                    client.files.upload(path)
    finally:
        limit(door.ground, rival.actor, None)


def test_sixteen_at_once_take_what_there_is_and_no_byte_more(ground: Ground, actor: Actor) -> None:
    """Room for 4.5 of them, by plain puts and by uploads: exactly four get in."""
    plain = [os.urandom(SIZE) for _ in range(16)]
    limit(ground, actor, int(4.5 * reserved_for(SIZE)))
    with ThreadPoolExecutor(16) as threads:
        kept = list(threads.map(lambda data: tried(ground.blobs.put, actor.tenant_id, data), plain))
    assert sum(kept) == 4
    stored = use(ground, actor).stored_bytes
    assert 4 * SIZE < stored <= 4.5 * reserved_for(SIZE)
    limit(ground, actor, stored + int(3.5 * reserved_for(SIZE)))
    with ThreadPoolExecutor(16) as threads:
        begun = list(threads.map(lambda _: tried(begin, ground, actor, os.urandom(SIZE)), range(16)))
    assert sum(begun) == 3
    assert use(ground, actor) == Quota(stored + int(3.5 * reserved_for(SIZE)), stored, 3 * reserved_for(SIZE))


def test_only_the_operator_sets_quotas_and_sees_what_each_tenant_stores(ground: Ground, actor: Actor) -> None:
    bootstrap(ground)
    with ground.database.system_session("a test asks for the operator", read_only=True) as session:
        operator = session.scalars(sa.select(Tenant).where(Tenant.is_operator)).one().id
    boss = Actor(operator, None, "boss")
    with pytest.raises(Forbidden):
        operations.set_quota(ground, actor, QuotaSet(tenant="acme", limit_bytes=1))
    with pytest.raises(NotFound):
        operations.set_quota(ground, boss, QuotaSet(tenant="nobody", limit_bytes=1))
    for limit_bytes in (5, None, 7):
        assert operations.set_quota(ground, boss, QuotaSet(tenant="acme", limit_bytes=limit_bytes)).limit_bytes == (
            limit_bytes
        )
    assert use(ground, actor).limit_bytes == 7
    ground.blobs.put(operator, b"stored")
    with pytest.raises(Forbidden):
        operations.list_tenants(ground, actor)
    first, second = operations.list_tenants(ground, boss)
    assert (first.tenant, first.files, first.logical_bytes) == ("local", 1, 6), "the most first"
    assert (second.tenant, second.stored_bytes, second.limit_bytes) == ("acme", 0, 7)
