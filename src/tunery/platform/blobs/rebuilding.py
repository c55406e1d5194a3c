"""Write the index again from the packs themselves, after the database was lost or put back from an older copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from blake3 import blake3

from tunery.errors import IntegrityError, NotFound, Unavailable
from tunery.platform.blobs.index import publish
from tunery.platform.blobs.packs import Footer, PackFacts, pack_name, read_footer
from tunery.platform.blobs.store import BlobStore

__all__ = ["Rebuilt", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild found: packs that were read, those that could not be and why, files that are whole again."""

    packs: list[str]
    unreadable: dict[str, str]
    files: list[str]


def rebuild(store: BlobStore, tenant_id: str) -> Rebuilt:
    """Add the rows of every pack that has its key; rows that stand already stay. Damaged packs are named and left out.

    Deltas and files wait until the packs they lean on were read, so the order of the packs does not matter.
    """
    facts: list[tuple[PackFacts, Footer]] = []
    unreadable: dict[str, str] = {}
    for entry in store.backend.entries(tenant_id):
        pack_id = entry.name.rpartition("/")[2]
        try:
            footer = read_footer(store.backend, store.keyring, tenant_id, pack_id, entry.size_bytes)
        except (IntegrityError, NotFound) as error:
            unreadable[pack_id] = str(error)
            continue
        checksum = blake3(store.backend.read(pack_name(tenant_id, pack_id))).hexdigest()
        facts.append((PackFacts(pack_id, entry.size_bytes, checksum, footer.segments), footer))
    files = _publish_all(store, tenant_id, facts)
    return Rebuilt([fact.pack_id for fact, _ in facts], unreadable, files)


def _publish_all(store: BlobStore, tenant_id: str, facts: list[tuple[PackFacts, Footer]]) -> list[str]:
    """First what leans on nothing, then deltas, then files: each needs the rows of those before it."""
    files: list[str] = []
    for fact, footer in facts:
        plain = [placed for placed in footer.segments if not placed.reference]
        _publish(store, tenant_id, replace(fact, segments=plain), [])
    for fact, _ in facts:
        _publish(store, tenant_id, fact, [])
    for fact, footer in facts:
        files += [one["digests"]["sha256"] for one in footer.files if _publish(store, tenant_id, fact, [one])]
    return sorted(files)


def _publish(store: BlobStore, tenant_id: str, fact: PackFacts, files: list[dict[str, Any]]) -> bool:
    try:
        with store.database.session(tenant_id) as session:
            publish(session, fact, files)
    except Unavailable:
        return False  # what it leans on is in no readable pack
    return True
