"""What uploads leave behind goes: those to which nothing came for too long, and folders that no upload has."""

from __future__ import annotations

import sqlalchemy as sa

from tunery.kit.clock import now
from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS
from tunery.storage.parts import drop_folder, uploads_folder
from tunery.storage.tables import UploadSession

__all__ = ["sweep_uploads"]


@SWEEPS.register("uploads")
def sweep_uploads(ground: Ground, _older_than_seconds: float = 0) -> int:
    """Give up uploads past their time and drop parts without an upload; return how many uploads and folders went."""
    folders = [path for path in uploads_folder(ground.settings).glob("*/*") if path.is_dir()]
    with ground.database.system_session("uploads past their time are given up") as session:
        past = sa.delete(UploadSession).where(UploadSession.expires_at <= now())
        gone = int(session.execute(past.execution_options(synchronize_session=False)).rowcount)  # type: ignore[attr-defined]
        standing = set(session.scalars(sa.select(UploadSession.id).where(UploadSession.status == "open")))
    left = [folder for folder in folders if folder.name not in standing]
    for folder in left:
        drop_folder(folder)
    return gone + len(left)
