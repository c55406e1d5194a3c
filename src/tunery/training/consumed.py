"""Which rows of its dataset version a run took in: one bit a row, in the version's order."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.contents import batches_of, files_of
from tunery.platform.ground import Ground
from tunery.training.tables import TrainingRun

__all__ = ["consumed_bits", "took_in"]


def consumed_bits(ground: Ground, tenant_id: str, version_id: str, row_ids_path: Path) -> bytes | None:
    """Return the bits, compressed; None where the version was erased meanwhile, so that its rows cannot be told.

    Args:
        ground: Where the version is.
        tenant_id: Whose it is.
        version_id: The version that was trained on.
        row_ids_path: File of lines ``{"row_ids": [...]}`` that the run wrote, one for each step.
    """
    import numpy as np

    with row_ids_path.open(encoding="utf-8") as lines:
        consumed = {row_id for line in lines for row_id in json.loads(line)["row_ids"]}
    with ground.database.session(tenant_id, read_only=True) as session:
        files = files_of(session, session.get_one(DatasetVersion, version_id))
    if not files:
        return None
    batches = batches_of(ground, tenant_id, files, ["row_id"])
    bits = [row_id in consumed for batch in batches for row_id in batch["row_id"].to_pylist()]
    return zlib.compress(np.packbits(bits, bitorder="little").tobytes())


def took_in(run: TrainingRun, places: Iterable[int]) -> bool | None:
    """Tell whether a run took in any of the rows at these places of its version; None: it cannot be told."""
    if run.consumed is None:
        return None
    bits = zlib.decompress(run.consumed)
    return any(bits[place >> 3] >> (place & 7) & 1 for place in places)
