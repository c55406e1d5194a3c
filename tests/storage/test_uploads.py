"""Uploads in parts: any order, any number of times, checked as they come; nothing that was given up is kept."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from tests.doors.door import Door, Person
from tunery.errors import (
    Conflict,
    DigestMismatch,
    FormatInvalid,
    InvalidInput,
    MalformedRequest,
    NotFound,
    TooLarge,
)
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.digests import sha256_bytes
from tunery.kit.ids import new_id
from tunery.kit.media_types import SAFETENSORS
from tunery.platform.blobs.collecting import collect
from tunery.platform.blobs.tables import BlobRow, Segment
from tunery.platform.ground import Ground
from tunery.storage import operations
from tunery.storage.schemas import UploadCreate
from tunery.storage.tables import UploadPart, UploadSession
from tunery.weights.safetensors import write_safetensors

PART = 65_536
DATA = random.Random(7).randbytes(3 * PART + 1000)
"""Four parts, the last of 1,000 bytes."""


def begin(ground: Ground, actor: Actor, data: bytes = DATA, **wish: Any) -> UploadSession:
    shape = UploadCreate(**{"digest": sha256_bytes(data), "size_bytes": len(data), "part_bytes": PART, **wish})
    with ground.database.session(actor.tenant_id) as session:
        return operations.create_upload(session, ground, actor, shape)


def send(ground: Ground, actor: Actor, upload: UploadSession, number: int, data: bytes | None = None) -> UploadPart:
    piece = DATA[(number - 1) * PART : number * PART] if data is None else data
    return operations.keep_part(ground, actor, upload.id, number, sha256_bytes(piece), [piece[:100], piece[100:]])


def staged(ground: Ground) -> list[Path]:
    return [path for path in (ground.settings.home / "uploads").rglob("*") if path.is_file()]


def test_parts_in_any_order_and_again_make_the_file(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    for number in (3, 1, 4, 1, 2):
        send(ground, actor, upload, number)
    assert len(staged(ground)) == 4
    done = operations.complete_upload(ground, actor, upload.id)
    assert done.status == "complete"
    assert ground.blobs.read(actor.tenant_id, upload.digest) == DATA
    assert staged(ground) == []


def test_a_part_sent_again_replaces_the_one_before(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    for number in (1, 2, 3, 4):
        send(ground, actor, upload, number, b"x" * PART if number == 2 else None)
    send(ground, actor, upload, 2)
    operations.complete_upload(ground, actor, upload.id)
    assert ground.blobs.read(actor.tenant_id, upload.digest) == DATA


def test_completing_again_gives_the_same_file(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    for number in (1, 2, 3, 4):
        send(ground, actor, upload, number)
    first, second = (operations.complete_upload(ground, actor, upload.id) for _ in range(2))
    assert (first.digest, first.status) == (second.digest, second.status) == (sha256_bytes(DATA), "complete")


def test_parts_that_are_missing_are_named_and_nothing_is_lost(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    send(ground, actor, upload, 1)
    send(ground, actor, upload, 3)
    with pytest.raises(InvalidInput, match="parts 2, 4 have not arrived") as caught:
        operations.complete_upload(ground, actor, upload.id)
    assert caught.value.details["missing"] == [2, 4]
    send(ground, actor, upload, 2)
    send(ground, actor, upload, 4)
    operations.complete_upload(ground, actor, upload.id)


def test_an_empty_file_has_no_parts(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor, b"")
    operations.complete_upload(ground, actor, upload.id)
    assert ground.blobs.read(actor.tenant_id, sha256_bytes(b"")) == b""


def test_a_part_that_is_not_what_it_should_be_is_not_kept_and_the_one_before_stands(
    ground: Ground, actor: Actor
) -> None:
    upload = begin(ground, actor)
    send(ground, actor, upload, 1)
    before = staged(ground)
    good = DATA[:PART]
    cases: list[tuple[type[Exception], str | None, bytes]] = [
        (DigestMismatch, sha256_bytes(good), good[:-1] + b"!"),
        (MalformedRequest, sha256_bytes(good[:-1]), good[:-1]),
        (TooLarge, sha256_bytes(good + b"!"), good + b"!"),
        (InvalidInput, "no digest", good),
        (MalformedRequest, None, good),
    ]
    for error, digest, data in cases:
        with pytest.raises(error):
            operations.keep_part(ground, actor, upload.id, 1, digest, [data])
    for number in (0, 5, -1):
        with pytest.raises(InvalidInput):
            send(ground, actor, upload, number, good)
    assert staged(ground) == before


def test_a_file_that_is_not_of_the_announced_digest_is_refused_and_its_parts_reclaimed(
    ground: Ground, actor: Actor
) -> None:
    upload = begin(ground, actor, digest=sha256_bytes(b"other"))
    for number in (1, 2, 3, 4):
        send(ground, actor, upload, number)
    with pytest.raises(DigestMismatch):
        operations.complete_upload(ground, actor, upload.id)
    _assert_nothing_is_kept(ground, actor)
    with pytest.raises(NotFound):
        operations.complete_upload(ground, actor, upload.id)


def test_a_model_file_whose_header_lies_is_refused_and_its_parts_reclaimed(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"w": np.arange(40_000, dtype=np.float32)})  # 160,000 bytes and a header
    lying = path.read_bytes()[:-4]
    upload = begin(ground, actor, lying, media_type=SAFETENSORS)
    for number in (1, 2, 3):
        send(ground, actor, upload, number, lying[(number - 1) * PART : number * PART])
    with pytest.raises(FormatInvalid, match="ends 4 bytes before"):
        operations.complete_upload(ground, actor, upload.id)
    _assert_nothing_is_kept(ground, actor)


def test_a_near_copy_is_kept_as_a_difference(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=40_000).astype(np.float32)
    files = []
    for name, tensor in (("base", values), ("tuned", values * np.float32(1.0001))):
        write_safetensors(tmp_path / name, {"w": tensor})
        files.append((tmp_path / name).read_bytes())
    base = ground.blobs.put(actor.tenant_id, files[0], SAFETENSORS)
    assert begin(ground, actor, files[1], media_type=SAFETENSORS, like="0" * 64).like == "0" * 64
    upload = begin(ground, actor, files[1], media_type=SAFETENSORS, like=base.digest)  # gone on with, and better told
    assert begin(ground, actor, files[1], media_type=SAFETENSORS).id == upload.id
    for number in (1, 2, 3):
        send(ground, actor, upload, number, files[1][(number - 1) * PART : number * PART])
    operations.complete_upload(ground, actor, upload.id)
    assert ground.blobs.read(actor.tenant_id, upload.digest) == files[1]
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        leaning = session.scalar(sa.select(sa.func.count(Segment.number)).where(Segment.reference_number.is_not(None)))
    assert leaning == 1


def test_of_bytes_that_are_here_nothing_is_sent(ground: Ground, actor: Actor) -> None:
    digest = ground.blobs.put(actor.tenant_id, DATA).digest
    long_ago = now() - timedelta(days=3)
    with ground.database.session(actor.tenant_id) as session:
        session.execute(sa.update(BlobRow).values(touched_at=long_ago))
    wish = UploadCreate(digest=digest, size_bytes=len(DATA))
    assert operations.claim_file(ground, actor.tenant_id, wish) is not None
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        assert session.scalars(sa.select(BlobRow.touched_at)).one() > long_ago
    with pytest.raises(DigestMismatch):
        operations.claim_file(ground, actor.tenant_id, wish.model_copy(update={"size_bytes": 1}))


def test_whoever_is_told_that_a_file_is_here_still_finds_it_when_it_is_named(door: Door, admin: Person) -> None:
    """Collection between the answer and the use spares the file, for the question itself keeps it."""
    tenant_id = admin.actor.tenant_id
    digest = door.ground.blobs.put(tenant_id, b"asked for " * 10_000).digest
    long_ago = now() - timedelta(days=3)
    with door.ground.database.session(tenant_id) as session:
        session.execute(sa.update(BlobRow).where(BlobRow.digest == digest).values(touched_at=long_ago))
    assert admin.http.get(f"/api/v1/files/{digest}").status_code == 200
    assert digest not in collect(door.ground.blobs, tenant_id, grace=timedelta(hours=1)).files
    assert door.ground.blobs.exists(tenant_id, digest)


def test_ones_own_open_upload_is_gone_on_with_and_nobody_elses(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    assert begin(ground, actor).id == upload.id
    assert begin(ground, actor, part_bytes=2 * PART).id != upload.id
    assert begin(ground, replace(actor, name="somebody@acme.example")).id != upload.id


def test_another_tenants_upload_does_not_exist(ground: Ground, actor: Actor, stranger: Actor) -> None:
    upload = begin(ground, actor)
    send(ground, actor, upload, 1)
    with ground.database.session(stranger.tenant_id) as session, pytest.raises(NotFound):
        operations.get_upload(session, upload.id)
    with pytest.raises(NotFound):
        send(ground, stranger, upload, 2)
    for deed in (operations.complete_upload, operations.abort_upload):
        with pytest.raises(NotFound):
            deed(ground, stranger, upload.id)
    assert begin(ground, stranger).id != upload.id
    assert len(staged(ground)) == 1


def test_an_upload_to_which_nothing_comes_is_given_up_with_its_parts(ground: Ground, actor: Actor) -> None:
    old, young = begin(ground, actor), begin(ground, actor, b"young" * PART)
    send(ground, actor, old, 1)
    send(ground, actor, young, 1, (b"young" * PART)[:PART])
    (ground.settings.home / "uploads" / actor.tenant_id / new_id()).mkdir()
    with ground.database.session(actor.tenant_id) as session:
        past = sa.update(UploadSession).where(UploadSession.id == old.id)
        session.execute(past.values(expires_at=now() - timedelta(seconds=1)))
    with pytest.raises(NotFound):
        send(ground, actor, old, 2)
    assert operations.sweep_uploads(ground) == 3  # one upload, its folder, and the folder that no upload has
    assert [path.parent.name for path in staged(ground)] == [young.id]
    assert operations.sweep_uploads(ground) == 0
    send(ground, actor, young, 2, (b"young" * PART)[PART : 2 * PART])


def test_an_upload_that_is_given_up_is_gone(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    send(ground, actor, upload, 1)
    operations.abort_upload(ground, actor, upload.id)
    _assert_nothing_is_kept(ground, actor)
    with pytest.raises(NotFound):
        send(ground, actor, upload, 2)


def test_a_part_whose_file_is_lost_is_asked_for_again(ground: Ground, actor: Actor) -> None:
    upload = begin(ground, actor)
    for number in (1, 2, 3, 4):
        send(ground, actor, upload, number)
    next(path for path in staged(ground) if path.name.startswith("3-")).unlink()
    with pytest.raises(Conflict, match="part 3"):
        operations.complete_upload(ground, actor, upload.id)
    with pytest.raises(InvalidInput, match="parts 3 have"):
        operations.complete_upload(ground, actor, upload.id)
    send(ground, actor, upload, 3)
    operations.complete_upload(ground, actor, upload.id)
    assert ground.blobs.read(actor.tenant_id, upload.digest) == DATA


def test_what_is_too_large_or_in_too_many_parts_is_refused(ground: Ground, actor: Actor) -> None:
    with pytest.raises(TooLarge):
        begin(ground, actor, size_bytes=ground.settings.max_upload_bytes + 1)
    with pytest.raises(InvalidInput, match="10000 parts"):
        begin(ground, actor, size_bytes=10_000 * PART + 1)
    by_itself = begin(ground, actor, size_bytes=10**12 // 5, part_bytes=None)
    assert operations.part_count(by_itself) <= 10_000


def _assert_nothing_is_kept(ground: Ground, actor: Actor) -> None:
    assert staged(ground) == []
    assert not (ground.settings.home / "uploads" / actor.tenant_id).exists() or not list(
        (ground.settings.home / "uploads" / actor.tenant_id).iterdir()
    )
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        for table in (UploadSession, UploadPart, BlobRow):
            assert session.scalar(sa.select(sa.func.count(table.id))) == 0
