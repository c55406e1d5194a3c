"""A registered base and an adapter of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.registry.folders import make_adapter_folder, make_model_folder
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground
from tunery.registry.operations import prepare_version, register_version, resolve_version
from tunery.registry.schemas import ArtifactFile, RegisterVersion
from tunery.registry.tables import ModelVersion


@dataclass
class Shelf:
    """A registry with helpers to fill it."""

    ground: Ground
    actor: Actor
    folder: Path

    def register(self, name: str, folder: Path, base: str | None = None, **wish: object) -> ModelVersion:
        """Register a folder."""
        prepared = prepare_version(self.ground, self.actor.tenant_id, folder)
        files = [ArtifactFile(path=path, digest=blob.digest) for path, blob in prepared.files]
        with self.ground.database.session(self.actor.tenant_id) as session:
            base_row = resolve_version(session, base) if base else None
            return register_version(
                session,
                self.ground,
                self.actor,
                name,
                RegisterVersion(files=files, **wish),
                prepared,
                base=base_row,
            )

    def base(self) -> ModelVersion:
        """Register the small base model."""
        return self.register("small", make_model_folder(self.folder / "base"), is_base=True)

    def adapter(self, seed: int = 1) -> ModelVersion:
        """Register an adapter of the small base model."""
        folder = make_adapter_folder(self.folder / f"adapter-{seed}", seed)
        return self.register("tuned", folder, base="small")


@pytest.fixture
def shelf(ground: Ground, actor: Actor, tmp_path: Path) -> Shelf:
    """An empty registry of the tenant ``acme``."""
    return Shelf(ground, actor, tmp_path)
