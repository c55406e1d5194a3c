"""Which rows of its dataset version a run took in: one bit a row, in the version's order.

When rows of the version are erased their bits are taken out, so that the bits are always in the order of what is left.
They are packed in blocks of 65,536 rows, for whoever asks about a few of ten million:

    number of blocks, where each ends after this head    uint32 each, little-endian
    the blocks                                           zlib of their bits, the first row's the lowest
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Collection, Iterable
from functools import cache, partial
from itertools import accumulate
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

__all__ = ["consumed_bits", "pack_bits", "took_in", "without_places"]

_ROWS = 1 << 16


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
    return pack_bits(bits) if files else None


def took_in(run: TrainingRun, places: Iterable[int]) -> bool | None:
    """Tell whether a run took in any of the rows at these places of its version; None: it cannot be told."""
    if run.consumed is None:
        return None
    block = cache(partial(_block, run.consumed))
    return any(block(place // _ROWS)[place % _ROWS >> 3] >> (place & 7) & 1 for place in places)


def without_places(consumed: bytes, places: Collection[int]) -> bytes:
    """Return the bits of the rows that are left when those at these places are erased."""
    import numpy as np

    (count,) = struct.unpack_from("<I", consumed)
    whole = b"".join(_block(consumed, number) for number in range(count))
    return pack_bits(np.delete(np.unpackbits(np.frombuffer(whole, np.uint8), bitorder="little"), [*places]))


def pack_bits(bits: ArrayLike) -> bytes:
    """Return a bit for each row, packed."""
    import numpy as np

    whole = np.packbits(np.asarray(bits, bool), bitorder="little").tobytes()
    blocks = [zlib.compress(whole[start : start + _ROWS // 8]) for start in range(0, len(whole), _ROWS // 8)]
    return struct.pack(f"<{len(blocks) + 1}I", len(blocks), *accumulate(map(len, blocks))) + b"".join(blocks)


def _block(consumed: bytes, number: int) -> bytes:
    (count,) = struct.unpack_from("<I", consumed)
    head = 4 + 4 * count
    start = struct.unpack_from("<I", consumed, 4 * number)[0] if number else 0
    (end,) = struct.unpack_from("<I", consumed, 4 + 4 * number)
    return zlib.decompress(consumed[head + start : head + end])
