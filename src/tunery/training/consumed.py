"""Which rows of its dataset version a run took in: one bit a row, in the version's order.

When rows of the version are erased their bits are taken out, so that the bits are always in the order of what is left.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.contents import batches_of, files_of
from tunery.datasets.versions.successors import last_of
from tunery.errors import IntegrityError, NotFound
from tunery.platform.ground import Ground
from tunery.training.tables import TrainingRun

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["consumed_bits", "took_in", "without_places"]


def consumed_bits(ground: Ground, tenant_id: str, version_id: str, row_ids_path: Path) -> bytes | None:
    """Return the bits, compressed; None where rows of it were erased meanwhile, so that the rest cannot be told.

    Args:
        ground: Where the version is.
        tenant_id: Whose it is.
        version_id: The version that was trained on.
        row_ids_path: File of lines ``{"row_ids": [...]}`` that the run wrote, one for each step.
    """
    with row_ids_path.open(encoding="utf-8") as lines:
        consumed = {row_id for line in lines for row_id in json.loads(line)["row_ids"]}
    with ground.database.session(tenant_id, read_only=True) as session:
        files = files_of(session, session.get_one(DatasetVersion, version_id))
    try:
        batches = batches_of(ground, tenant_id, files, ["row_id"])
        bits = [row_id in consumed for batch in batches for row_id in batch["row_id"].to_pylist()]
    except (NotFound, IntegrityError):
        with ground.database.session(tenant_id, read_only=True) as session:
            left = last_of(session, version_id)
        if left is not None and left.id == version_id:
            raise
        return None  # the bytes were destroyed while they were read
    return _packed(bits) if files else None


def took_in(run: TrainingRun, places: Iterable[int]) -> bool | None:
    """Tell whether a run took in any of the rows at these places of its version; None: it cannot be told."""
    if run.consumed is None:
        return None
    bits = zlib.decompress(run.consumed)
    return any(bits[place >> 3] >> (place & 7) & 1 for place in places)


def without_places(consumed: bytes, places: Collection[int]) -> bytes:
    """Return the bits of the rows that are left when those at these places are erased."""
    import numpy as np

    bits = np.unpackbits(np.frombuffer(zlib.decompress(consumed), np.uint8), bitorder="little")
    return _packed(np.delete(bits, [*places]))


def _packed(bits: ArrayLike) -> bytes:
    import numpy as np

    return zlib.compress(np.packbits(np.asarray(bits, bool), bitorder="little").tobytes())
