"""Near-duplicates: MinHash signatures, candidates by locality-sensitive hashing, then the exact similarity.

Two texts are near-duplicates when the Jaccard similarity of their sets of five-character shingles is at least
``SIMILARITY``. Case and runs of white space do not count, nor does wording of 25 characters or more that every fifth
text has (a common instruction, a template): it says nothing about two texts being copies.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", section 3.4 (banding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SIMILARITY", "Similarity", "normal_form"]

SIMILARITY = 0.7
"""Least similarity of near-duplicates. With 32 bands of 4, a pair at 0.7 becomes a candidate with p = 0.9998."""

_BANDS, _BAND_ROWS = 32, 4
_HASHES = _BANDS * _BAND_ROWS
_SHINGLE = 5
_WINDOW = 4 * _SHINGLE + 1  # shingles that begin within 25 characters
_SLACK = 0.12  # three standard errors of an estimate from 128 hashes: 3 * sqrt(0.7 * 0.3 / 128)
_SAMPLE = 4096
_SAMPLE_CHARACTERS = 2000
_COMMON = 0.2
_LEAST_SAMPLE = 50
_BATCH = 2048
_ALL_PAIRS = 48


def normal_form(text: str) -> str:
    """Return the text as it is compared: without case, with single spaces."""
    return " ".join(text.casefold().split())


class Similarity:
    """Compares texts with each other.

    Args:
        texts: Distinct texts in normal form, in an order that does not depend on the file (sorted): the sample that
            tells common wording, and the choice among very many candidates, go by it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._common = self._common_windows()

    def groups(self) -> list[int]:
        """Return for each text the least index of those it hangs together with by near-duplicates."""
        parents = list(range(len(self._texts)))

        def root(text: int) -> int:
            while parents[text] != text:
                parents[text] = parents[parents[text]]
                text = parents[text]
            return text

        for first, second in self._likely_pairs(seed=1):
            a, b = sorted((root(first), root(second)))
            if a != b and self.jaccard(first, second) >= SIMILARITY:
                parents[b] = a
        return [root(text) for text in range(len(parents))]

    def pairs_across(self, sides: Sequence[int]) -> list[tuple[int, int]]:
        """Return near-duplicates whose sides differ, found by hash functions other than those of ``groups``."""
        return [
            (first, second)
            for first, second in self._likely_pairs(seed=2)
            if sides[first] != sides[second] and self.jaccard(first, second) >= SIMILARITY
        ]

    def _likely_pairs(self, seed: int) -> list[tuple[int, int]]:
        """Return pairs that are likely near-duplicates, the likeliest first."""
        import numpy as np

        if len(self._texts) < 2:
            return []
        signatures = self._signatures(seed)
        candidates = _candidates(signatures)
        agreement = _agreement(signatures, candidates)
        order = np.argsort(-agreement, kind="stable")
        likely = candidates[order[agreement[order] >= SIMILARITY - _SLACK]]
        return [(int(first), int(second)) for first, second in likely]

    def jaccard(self, first: int, second: int) -> float:
        """Return the exact similarity of two texts."""
        import numpy as np

        a, b = self._shingles(self._texts[first]), self._shingles(self._texts[second])
        both = len(np.intersect1d(a, b, assume_unique=True))
        return both / (len(a) + len(b) - both)

    def _signatures(self, seed: int) -> NDArray[np.uint32]:
        import numpy as np
        from rensa import RMinHash

        parts = []
        for start in range(0, len(self._texts), _BATCH):
            sets = [self._shingles(text) for text in self._texts[start : start + _BATCH]]
            offsets = np.concatenate([[0], np.cumsum([len(found) for found in sets])]).astype(np.uint64)
            matrix = RMinHash.digest_matrix_from_flat_token_hashes(np.concatenate(sets), offsets, _HASHES, seed)
            parts.append(np.array(matrix.to_rows(), np.uint32))
        return np.concatenate(parts)

    def _shingles(self, text: str) -> NDArray[np.uint64]:
        """Return the text's shingles as sorted 64-bit hashes; the whole text as one where none says anything."""
        import numpy as np

        shingles = _hashes(text)
        if len(self._common) and len(windows := _windows(shingles)):
            found = self._common[np.searchsorted(self._common, windows) % len(self._common)] == windows
            edges = np.zeros(len(shingles) + 1, np.int64)
            edges[: len(windows)] += found
            edges[_WINDOW : _WINDOW + len(windows)] -= found
            shingles = shingles[np.cumsum(edges)[:-1] == 0]
        if len(shingles):
            return np.unique(shingles)
        return np.frombuffer(blake3(text.encode("utf-8", "surrogatepass")).digest(8), np.uint64)

    def _common_windows(self) -> NDArray[np.uint64]:
        """Return hashes of the wording that many texts share, told by a sample."""
        import numpy as np

        step = max(1, len(self._texts) // _SAMPLE)
        chosen = [self._texts[i][:_SAMPLE_CHARACTERS] for i in range(0, len(self._texts), step)]
        if len(chosen) < _LEAST_SAMPLE:
            return np.empty(0, np.uint64)
        windows = np.concatenate([np.unique(_windows(_hashes(text))) for text in chosen])
        found, counts = np.unique(windows, return_counts=True)
        return found[counts >= _COMMON * len(chosen)]


def _hashes(text: str) -> NDArray[np.uint64]:
    """Return the hash of each shingle in order: a polynomial modulo 2**64 in the code points."""
    import numpy as np

    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    return _combined([points[offset : len(points) - _SHINGLE + 1 + offset] for offset in range(_SHINGLE)])


def _windows(shingles: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hash of each run of ``_WINDOW`` shingles, which together are 25 characters."""
    last = len(shingles) - _WINDOW + 1
    return _combined([shingles[offset : last + offset] for offset in range(0, _WINDOW, _SHINGLE)])


def _combined(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    import numpy as np

    if len(parts[-1]) == 0 or len(parts[0]) != len(parts[-1]):
        return np.empty(0, np.uint64)
    combined = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        combined = combined * np.uint64(6364136223846793005) + part  # Knuth's factor for multiplicative hashing
    return combined


def _candidates(signatures: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return pairs that agree in a whole band: int64 [pairs, 2], sorted, each once."""
    import numpy as np

    count = len(signatures)
    found = [np.empty((0, 2), np.int64)]
    for band in range(_BANDS):
        columns = np.ascontiguousarray(signatures[:, band * _BAND_ROWS : (band + 1) * _BAND_ROWS]).view(np.uint64)
        key = columns[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ columns[:, 1]
        order = np.argsort(key, kind="stable")
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1, [count]])
        sizes = np.diff(bounds)
        twos = bounds[:-1][sizes == 2]
        found.append(np.stack([order[twos], order[twos + 1]], axis=1))
        larger = sizes > 2
        for start, size in zip(bounds[:-1][larger], sizes[larger], strict=True):
            found.extend(_pairs_within(order[start : start + size]))
    pairs = np.concatenate(found)
    codes = np.unique(pairs.min(axis=1) * count + pairs.max(axis=1))
    return np.stack([codes // count, codes % count], axis=1)


def _pairs_within(members: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield all pairs of a bucket; of a very large one each member with the first and with the next one only."""
    import numpy as np

    if len(members) <= _ALL_PAIRS:
        first, second = np.triu_indices(len(members), k=1)
        yield np.stack([members[first], members[second]], axis=1)
    else:
        yield np.stack([np.full(len(members) - 1, members[0]), members[1:]], axis=1)
        yield np.stack([members[:-1], members[1:]], axis=1)


def _agreement(signatures: NDArray[np.uint32], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of hashes in which each pair agrees, which estimates its similarity."""
    import numpy as np

    parts = [
        (signatures[chunk[:, 0]] == signatures[chunk[:, 1]]).mean(axis=1)
        for chunk in np.array_split(pairs, len(pairs) // 65536 + 1)
    ]
    return np.concatenate(parts)
