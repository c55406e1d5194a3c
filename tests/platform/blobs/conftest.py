"""A store on a fresh ground, and a look at what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from tunery.kit.actor import Actor
from tunery.platform.blobs import BlobStore
from tunery.platform.blobs.tables import Pack, Segment
from tunery.platform.ground import Ground


@dataclass(frozen=True)
class Shelf:
    """One tenant's part of a store on local disk."""

    ground: Ground
    tenant_id: str

    @property
    def store(self) -> BlobStore:
        return self.ground.blobs

    @property
    def packs(self) -> list[Path]:
        """The packs as they lie on disk."""
        folder = self.ground.settings.home / "store" / "packs" / self.tenant_id
        return sorted(folder.iterdir()) if folder.is_dir() else []

    @property
    def leftovers(self) -> list[Path]:
        """Files that nothing needs: staged packs, and keys without a pack."""
        home = self.ground.settings.home
        keys = home / "store" / "keys" / self.tenant_id / "packs"
        named = {path.name for path in self.packs}
        lost = [key for key in (keys.iterdir() if keys.is_dir() else []) if key.name not in named]
        return [*(home / "staging").iterdir(), *lost]

    def segments(self) -> list[Segment]:
        """The rows of every segment."""
        with self.ground.database.session(self.tenant_id, read_only=True) as session:
            return list(session.scalars(sa.select(Segment).order_by(Segment.number)))

    def pack_rows(self) -> list[Pack]:
        """The rows of every pack."""
        with self.ground.database.session(self.tenant_id, read_only=True) as session:
            return list(session.scalars(sa.select(Pack)))

    def put(self, data: bytes, like: str | None = None) -> str:
        """Keep bytes; return their digest."""
        return self.store.put(self.tenant_id, data, like=like).digest

    def read(self, digest: str) -> bytes:
        """Read a file back."""
        return self.store.read(self.tenant_id, digest)


@pytest.fixture
def shelf(ground: Ground, actor: Actor) -> Shelf:
    """The store of the tenant ``acme``."""
    return Shelf(ground, actor.tenant_id)
