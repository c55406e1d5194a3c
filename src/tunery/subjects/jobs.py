"""The durable job of an erasure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from tunery import audit
from tunery.errors import NotFound
from tunery.platform.blobs.destroying import Destroyed, destroy
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.jobs import JobContext, job
from tunery.subjects.certificates import certify
from tunery.subjects.erasing import decide_erasure
from tunery.subjects.tables import Erasure
from tunery.subjects.tracing import find_subject

__all__ = ["erase_subject"]

_ROUNDS = 3


@job("subjects.erase")
def erase_subject(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Erase the rows that the entries of the payload lead to; repeated after a crash it goes on."""
    entries = [bytes.fromhex(entry) for entry in payload["entries"]]
    for _ in range(_ROUNDS):  # an import that had begun before brings its rows a moment later
        context.check_cancelled()
        erasure = decide_erasure(context, entries, payload["forgotten"], payload["reason"])
        if not (left := _left(context, entries)):
            break
    destroyed = _destroy(context, erasure.doomed)
    with context.session() as session:
        session.get_one(Erasure, erasure.id).status = "destroyed"
    erasure = certify(context, erasure.id, destroyed, left)
    result: dict[str, Any] = {
        "erasure": erasure.id,
        "certificate": erasure.certificate_digest,
        "spared": destroyed.spared,
    }
    with context.session() as session:
        audit.record(session, context.actor, "subject_erased", f"erasures/{erasure.id}", **result)
    return result


def _left(context: JobContext, entries: list[bytes]) -> int:
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        return len(find_subject(context.ground, session, entries).rows)


def _destroy(context: JobContext, digests: list[str]) -> Destroyed:
    """Destroy what is still there of these files."""
    while True:
        with context.ground.database.session(context.tenant_id, read_only=True) as session:
            here = {*session.scalars(sa.select(BlobRow.digest).where(BlobRow.digest.in_(digests)))}
        with suppress(NotFound):  # somebody else destroyed one at this moment
            return destroy(context.ground.blobs, context.tenant_id, here, lose_damaged=False)
