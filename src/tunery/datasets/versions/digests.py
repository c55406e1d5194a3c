"""A version's digest: what it holds, whatever the order of its rows and the files they lie in."""

from __future__ import annotations

import hashlib
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tunery.kit.digests import canonical_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["digest_of_rows"]

_RUN = 500_000
_BLOCK = 8_192
_ESCAPED = r'[\x00-\x1f"\\]'
"""What JSON writes in another way."""


def digest_of_rows(batches: Iterable[pa.RecordBatch]) -> str:
    """Return SHA-256 over the sorted lines ``[row id, SHA-256 of the row in hex]``, each canonical JSON.

    Half a million lines are sorted in memory, more are merged from sorted runs on the disk.

    Args:
        batches: Rows with the columns ``row_id`` and ``row_hash``.
    """
    hasher = hashlib.sha256()
    with ExitStack() as stack:
        for lines in _merged([*_runs(batches, stack)]):
            _, bounds, data = lines.buffers()
            ends = memoryview(bounds).cast("i")[lines.offset : lines.offset + len(lines) + 1]
            hasher.update(memoryview(data)[ends[0] : ends[-1]])
    return hasher.hexdigest()


def _runs(batches: Iterable[pa.RecordBatch], stack: ExitStack) -> Iterator[Iterator[pa.Array]]:
    """Yield the lines of the rows in runs, each in order and some lines at a time."""
    held: list[pa.Array] = []
    count = 0
    for batch in filter(len, batches):
        if count + len(batch) > _RUN and held:
            yield _spilled(_in_order(held), stack)
            held, count = [], 0
        held.append(_lines(batch))
        count += len(batch)
    if held:
        yield iter([_in_order(held)])


def _lines(batch: pa.RecordBatch) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    ids, count = batch["row_id"], len(batch)
    hashes = memoryview(batch["row_hash"].buffers()[1])[batch["row_hash"].offset * 32 :][: 32 * count].hex()
    if pc.any(pc.match_substring_regex(ids, _ESCAPED)).as_py():
        pairs = zip(ids.to_pylist(), (hashes[start : start + 64] for start in range(0, 64 * count, 64)), strict=True)
        return pa.array([canonical_json([*pair]) + b"\n" for pair in pairs], pa.binary())
    fixed = pa.Array.from_buffers(pa.binary(64), count, [None, pa.py_buffer(hashes.encode())]).cast(pa.binary())
    parts = [pa.scalar(part, pa.binary()) for part in (b'["', b'","', b'"]\n', b"")]
    return pc.binary_join_element_wise(parts[0], ids.cast(pa.binary()), parts[1], fixed, parts[2], parts[3])


def _reach(lines: pa.Array, bound: bytes) -> int:
    """Return how many of the lines, which are in order, do not come after one."""
    return bisect_right(range(len(lines)), bound, key=lambda place: lines[place].as_py())


def _in_order(arrays: list[pa.Array]) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    lines = pa.concat_arrays(arrays)
    return lines.take(pc.array_sort_indices(lines))


def _spilled(lines: pa.Array, stack: ExitStack) -> Iterator[pa.Array]:
    import pyarrow as pa

    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 the stack closes it
    batch = pa.record_batch([lines], ["line"])
    with pa.ipc.new_stream(file, batch.schema) as writer:
        for start in range(0, len(batch), _BLOCK):
            writer.write_batch(batch.slice(start, _BLOCK))
    file.seek(0)
    return (block["line"] for block in pa.ipc.open_stream(file))


def _merged(runs: list[Iterator[pa.Array]]) -> Iterator[pa.Array]:
    """Yield the lines of all runs in order: each time those up to the least last line that is at hand."""
    heads = [(run, head) for run in runs if (head := next(run, None)) is not None]
    while len(heads) > 1:
        bound = min(head[-1].as_py() for _, head in heads)
        passed, left = [], []
        for run, head in heads:
            count = _reach(head, bound)
            passed.append(head.slice(0, count))
            rest: Any = head.slice(count) if count < len(head) else next(run, None)
            if rest is not None:
                left.append((run, rest))
        heads = left
        yield _in_order(passed)
    for run, head in heads:
        yield head
        yield from run
