"""Uploads in parts: begun, gone on with, completed or given up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from tunery import audit
from tunery.errors import Conflict, DigestMismatch, InvalidInput, MalformedRequest, NotFound, TooLarge
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.digests import check_digest
from tunery.kit.ids import new_id, parse_id
from tunery.platform.blobs import Blob
from tunery.platform.db import Page, TenantSession, page_of
from tunery.platform.ground import Ground
from tunery.settings import Settings
from tunery.storage.parts import drop_folder, pieces_of_parts, upload_folder, write_part
from tunery.storage.quotas import reserve, reserved_for
from tunery.storage.schemas import MOST_PARTS, UploadCreate
from tunery.storage.tables import UploadPart, UploadSession

__all__ = [
    "abort_upload",
    "claim_file",
    "complete_upload",
    "create_upload",
    "get_upload",
    "keep_part",
    "list_uploads",
    "part_count",
    "parts_of",
]

PART_BYTES = 32 << 20


def claim_file(ground: Ground, tenant_id: str, wish: UploadCreate) -> Blob | None:
    """Return the file if its bytes are here already, kept from collection until they are named.

    Raises:
        DigestInvalid: It is no digest. DigestMismatch: the bytes of that digest have another length.
    """
    try:
        blob = ground.blobs.claim(tenant_id, wish.digest)
    except NotFound:
        return None
    if blob.size_bytes != wish.size_bytes:
        raise DigestMismatch(f"the file {wish.digest} has {blob.size_bytes} bytes, not {wish.size_bytes}")
    return blob


def create_upload(session: TenantSession, ground: Ground, actor: Actor, wish: UploadCreate) -> UploadSession:
    """Begin an upload and reserve room for it, or return one's own open upload of the same file to go on with.

    Raises:
        TooLarge: Larger than uploads may be. Exhausted: the quota does not hold it. InvalidInput: too many parts.
    """
    limit = ground.settings.max_upload_bytes
    if wish.size_bytes > limit:
        raise TooLarge(f"{wish.size_bytes} bytes are more than the limit of {limit} (TUNERY_MAX_UPLOAD_BYTES)")
    part_bytes = wish.part_bytes or max(PART_BYTES, -(-wish.size_bytes // MOST_PARTS))
    if wish.size_bytes > part_bytes * MOST_PARTS:
        raise InvalidInput(f"part_bytes: {part_bytes} would be more than {MOST_PARTS} parts; choose longer ones")
    open_one = _open_one(session, actor, wish)
    if open_one is not None:
        open_one.expires_at = _expiry(ground.settings)
        if wish.like:
            open_one.like = check_digest(wish.like)
        return open_one
    reserved = reserved_for(wish.size_bytes)
    reserve(session, reserved)
    row = UploadSession(
        id=new_id(),
        digest=check_digest(wish.digest),
        size_bytes=wish.size_bytes,
        reserved_bytes=reserved,
        media_type=wish.media_type,
        like=check_digest(wish.like) if wish.like else None,
        part_bytes=part_bytes,
        status="open",
        expires_at=_expiry(ground.settings),
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    audit.record(session, actor, "upload_created", f"uploads/{row.id}", digest=row.digest, size_bytes=row.size_bytes)
    return row


def list_uploads(session: TenantSession, limit: int = 50, offset: int = 0) -> Page[UploadSession]:
    """Return open uploads, the newest first."""
    statement = sa.select(UploadSession).where(UploadSession.status == "open").order_by(UploadSession.id.desc())
    return page_of(session, statement, limit, offset)


def get_upload(session: TenantSession, upload_id: str) -> UploadSession:
    """Return an upload. Raises: NotFound: it never was, was given up, or nothing came for too long."""
    canonical = parse_id(upload_id)
    row = session.get(UploadSession, canonical) if canonical else None
    if row is None or (row.status == "open" and row.expires_at <= now()):
        raise NotFound(f"there is no upload {upload_id[:100]!r}; it was given up, or nothing came for too long")
    return row


def parts_of(session: TenantSession, upload_id: str) -> list[UploadPart]:
    """Return the parts that arrived, in order."""
    statement = sa.select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.number)
    return list(session.scalars(statement))


def part_count(upload: UploadSession) -> int:
    """Return how many parts the file has."""
    return -(-upload.size_bytes // upload.part_bytes)


def keep_part(
    ground: Ground, actor: Actor, upload_id: str, number: int, digest: str | None, pieces: Iterable[bytes]
) -> UploadPart:
    """Write a part to the disk and then into the index; one that came before is replaced. No session is held meanwhile.

    Raises:
        NotFound: There is no such open upload. InvalidInput: it has no such part. TooLarge, MalformedRequest,
        DigestMismatch: these are not its bytes. Exhausted: the disk is full.
    """
    with ground.database.session(actor.tenant_id, read_only=True) as session:
        upload = get_upload(session, upload_id)
        size = _part_size(upload, number)
    if digest is None:
        raise MalformedRequest("name the part's SHA-256 in the header X-Digest")
    check_digest(digest)
    folder = upload_folder(ground.settings, actor.tenant_id, upload.id)
    ground.settings.folder(*folder.relative_to(ground.settings.home).parts)
    staged = folder / f"{number}-{new_id()}"
    write_part(staged, pieces, size, digest)
    try:
        with ground.database.session(actor.tenant_id) as session:
            row, before = _place_part(session, ground.settings, upload.id, number, size, digest, staged.name)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    if before is not None:
        (folder / before).unlink(missing_ok=True)
    return row


def complete_upload(ground: Ground, actor: Actor, upload_id: str) -> UploadSession:
    """Make the file of the parts visible. Repeating it returns the same; no session is held while bytes are read.

    Raises:
        NotFound: There is no such upload. InvalidInput: parts are missing; they are named. DigestMismatch,
        FormatInvalid: the parts are not the file that was announced; the upload is given up. Exhausted: disk or quota
        is full; the parts still stand.
    """
    with ground.database.session(actor.tenant_id) as session:
        upload = get_upload(session, upload_id)
        if upload.status == "open":
            upload.expires_at = _expiry(ground.settings)
        parts = parts_of(session, upload.id)
    if upload.status == "complete":
        return upload
    _refuse_missing(upload, parts)
    try:
        _store(ground, actor, upload, parts)
    except FileNotFoundError as gone:
        return _completed_meanwhile(ground, actor, upload, gone)
    except InvalidInput:
        with ground.database.session(actor.tenant_id) as session:
            _give_up(session, actor, upload, "upload_refused")
        drop_folder(upload_folder(ground.settings, actor.tenant_id, upload.id))
        raise
    with ground.database.session(actor.tenant_id) as session:
        done = get_upload(session, upload.id)
        done.status = "complete"
        session.execute(sa.delete(UploadPart).where(UploadPart.upload_id == upload.id))
        audit.record(session, actor, "upload_completed", f"uploads/{upload.id}", digest=upload.digest)
    drop_folder(upload_folder(ground.settings, actor.tenant_id, upload.id))
    return done


def abort_upload(ground: Ground, actor: Actor, upload_id: str) -> UploadSession:
    """Give an open upload up; its room is free again. Raises: NotFound; Conflict: it is complete."""
    with ground.database.session(actor.tenant_id) as session:
        upload = get_upload(session, upload_id)
        if upload.status == "complete":
            raise Conflict(f"upload {upload.id} is complete; its file is kept as long as something names it")
        _give_up(session, actor, upload, "upload_aborted")
    drop_folder(upload_folder(ground.settings, actor.tenant_id, upload.id))
    return upload


def _open_one(session: TenantSession, actor: Actor, wish: UploadCreate) -> UploadSession | None:
    """Only one's own: whoever announces a digest falsely spoils no upload but theirs."""
    statement = sa.select(UploadSession).where(
        UploadSession.digest == check_digest(wish.digest),
        UploadSession.size_bytes == wish.size_bytes,
        UploadSession.media_type == wish.media_type,
        UploadSession.created_by == actor.name,
        UploadSession.status == "open",
        UploadSession.expires_at > now(),
    )
    if wish.part_bytes is not None:
        statement = statement.where(UploadSession.part_bytes == wish.part_bytes)
    return session.scalars(statement.order_by(UploadSession.id)).first()


def _part_size(upload: UploadSession, number: int) -> int:
    count = part_count(upload)
    if upload.status != "open" or not 1 <= number <= count:
        raise InvalidInput(f"upload {upload.id} is {upload.status} and has {count} parts, no part {number}")
    return min(upload.part_bytes, upload.size_bytes - (number - 1) * upload.part_bytes)


def _place_part(
    session: TenantSession, settings: Settings, upload_id: str, number: int, size: int, digest: str, staged: str
) -> tuple[UploadPart, str | None]:
    """Write a part's row; return it, and the file of the part that it replaces."""
    held = sa.select(UploadSession).where(UploadSession.id == upload_id).with_for_update()
    upload = session.scalars(held).one_or_none()
    if upload is None or upload.status != "open":
        raise NotFound(f"upload {upload_id} was given up or completed meanwhile")
    upload.expires_at = _expiry(settings)
    statement = sa.select(UploadPart).where(UploadPart.upload_id == upload_id, UploadPart.number == number)
    row = session.scalars(statement).one_or_none()
    before = row.staged if row is not None else None
    if row is None:
        row = UploadPart(upload_id=upload_id, number=number)
        session.add(row)
    row.size_bytes, row.digest, row.staged = size, digest, staged
    session.flush()
    return row, before


def _refuse_missing(upload: UploadSession, parts: list[UploadPart]) -> None:
    missing = sorted(set(range(1, part_count(upload) + 1)) - {part.number for part in parts})
    if missing:
        named = ", ".join(map(str, missing[:20])) + (" and more" if len(missing) > 20 else "")
        raise InvalidInput(f"parts {named} have not arrived; send them and complete again", missing=missing[:1000])


def _store(ground: Ground, actor: Actor, upload: UploadSession, parts: list[UploadPart]) -> None:
    folder = upload_folder(ground.settings, actor.tenant_id, upload.id)
    ground.blobs.put(
        actor.tenant_id,
        pieces_of_parts(folder / part.staged for part in parts),
        upload.media_type,
        upload.like,
        expected_digest=upload.digest,
        max_bytes=upload.size_bytes,
        reservation=upload.id,
    )


def _completed_meanwhile(ground: Ground, actor: Actor, upload: UploadSession, gone: FileNotFoundError) -> UploadSession:
    """Return the upload that another call completed; else forget the part without its file, so that it comes again."""
    with ground.database.session(actor.tenant_id) as session:
        found = get_upload(session, upload.id)
        if found.status == "complete":
            return found
        name = str(gone.filename).rpartition("/")[2]
        session.execute(sa.delete(UploadPart).where(UploadPart.upload_id == upload.id, UploadPart.staged == name))
    raise Conflict(f"part {name.partition('-')[0]} changed or is not on this machine; send it and complete again")


def _give_up(session: TenantSession, actor: Actor, upload: UploadSession, deed: str) -> None:
    session.execute(sa.delete(UploadPart).where(UploadPart.upload_id == upload.id))
    session.execute(sa.delete(UploadSession).where(UploadSession.id == upload.id))
    audit.record(session, actor, deed, f"uploads/{upload.id}", digest=upload.digest)


def _expiry(settings: Settings) -> datetime:
    return now() + timedelta(hours=settings.upload_expiry_hours)
