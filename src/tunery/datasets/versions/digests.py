"""A version's digest: what it holds, whatever the order of its rows and the files they lie in."""

from __future__ import annotations

import hashlib
import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from tunery.kit.digests import canonical_json

__all__ = ["digest_of_pairs"]

_RUN = 500_000


def digest_of_pairs(pairs: Iterable[tuple[str, bytes]]) -> str:
    """Return SHA-256 over the sorted lines ``[row id, SHA-256 of the row in hex]``, each canonical JSON.

    Half a million lines are sorted in memory, more are merged from sorted runs on the disk.
    """
    hasher = hashlib.sha256()
    with ExitStack() as stack:
        for line in heapq.merge(*_runs(pairs, stack)):
            hasher.update(line)
    return hasher.hexdigest()


def _runs(pairs: Iterable[tuple[str, bytes]], stack: ExitStack) -> list[Iterable[bytes]]:
    runs: list[Iterable[bytes]] = []
    lines: list[bytes] = []
    for row_id, row_hash in pairs:
        if len(lines) == _RUN:
            runs.append(_spilled(sorted(lines), stack))
            lines = []
        plain = row_id.isascii() and row_id.isalnum()  # needs no escape, as most ids
        lines.append(
            f'["{row_id}","{row_hash.hex()}"]\n'.encode() if plain else canonical_json([row_id, row_hash.hex()]) + b"\n"
        )
    return [*runs, sorted(lines)]


def _spilled(lines: list[bytes], stack: ExitStack) -> Iterator[bytes]:
    file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 the stack closes it
    file.writelines(lines)
    file.seek(0)
    return iter(file)
