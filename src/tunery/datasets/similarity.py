"""Near-duplicates: MinHash signatures, candidates by locality-sensitive hashing, then the exact similarity.

Two texts are near-duplicates when the Jaccard similarity of their sets of shingles (runs of a few characters) is at
least a threshold. Case and runs of white space do not count, nor does wording of 25 characters or more that every fifth
text has (a common instruction, a template): it says nothing about two texts being copies.

A text takes 256 bytes of memory whatever its length; texts are read again where a pair has to be compared.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", section 3.4 (banding).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from blake3 import blake3

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SHINGLE", "SIMILARITY", "Forms", "Similarity", "distinct_forms", "normal_form"]

SIMILARITY = 0.7
"""Least similarity of near-duplicates."""

SHINGLE = 5
"""Characters of a shingle."""

_HASHES = 128
_MISSED = 1e-3
_SLACK = 0.12  # three standard errors of an estimate from 128 hashes: 3 * sqrt(0.7 * 0.3 / 128)
_WORDING = 25  # characters
_SAMPLE = 4096
_SAMPLE_CHARACTERS = 2000
_COMMON = 0.2
_LEAST_SAMPLE = 50
_BATCH_CHARACTERS = 1_000_000
_ALL_PAIRS = 24
_CHUNK = 65_536


def normal_form(text: str) -> str:
    """Return the text as it is compared: without case, with single spaces."""
    return " ".join(text.casefold().split())


def _digest(form: str) -> bytes:
    return blake3(form.encode("utf-8", "surrogatepass")).digest(16)


class Forms(Sequence[str]):
    """Normal forms of chosen texts, made when they are asked for.

    Attributes:
        rows: The index of each among all texts.
    """

    def __init__(self, texts: Sequence[str], rows: Sequence[int]) -> None:
        self.rows = rows
        self._texts = texts

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return normal_form(self._texts[self.rows[index]])


def distinct_forms(texts: Sequence[str]) -> tuple[Forms, list[int]]:
    """Return the distinct normal forms in the order of their digests, and the index of each text's among them."""
    import numpy as np

    digests = np.empty(len(texts), "V16")
    for row in range(len(texts)):
        digests[row] = _digest(normal_form(texts[row]))
    halves = digests.view(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
    index = np.empty(len(order), np.int64)
    index[order] = np.cumsum(starts) - 1
    return Forms(texts, order[starts].tolist()), index.tolist()


class Similarity:
    """Compares texts with each other.

    Args:
        texts: Distinct texts in normal form, in an order that does not depend on the file (sorted): the sample that
            tells common wording, and the choice among very many candidates, go by it. They may lie on the disk: each
            is asked for by its index when it is needed.
        threshold: Least similarity of near-duplicates, 0.5 to 1.
        shingle: Characters of a shingle.
    """

    def __init__(self, texts: Sequence[str], threshold: float = SIMILARITY, shingle: int = SHINGLE) -> None:
        self._texts = texts
        self._threshold = threshold
        self._shingle = shingle
        self._stride = max(1, round(_WORDING / shingle) - 1) * shingle + 1
        self._common = self._common_windows()

    def groups(self) -> list[int]:
        """Return for each text the least index of those it hangs together with by near-duplicates."""
        parents = list(range(len(self._texts)))

        def root(text: int) -> int:
            while parents[text] != text:
                parents[text] = parents[parents[text]]
                text = parents[text]
            return text

        def apart(pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
            return _differ(_roots(parents), pairs)

        for first, second in self._likely_pairs(seed=1, wanted=apart):
            a, b = sorted((root(first), root(second)))
            if a != b and self.jaccard(first, second) >= self._threshold:
                parents[b] = a
        found: list[int] = _roots(parents).tolist()
        return found

    def pairs_across(self, sides: Sequence[int]) -> list[tuple[int, int]]:
        """Return near-duplicates whose sides differ, found by hash functions other than those of ``groups``."""
        import numpy as np

        likely = self._likely_pairs(seed=2, wanted=partial(_differ, np.asarray(sides, np.int64)))
        return [(first, second) for first, second in likely if self.jaccard(first, second) >= self._threshold]

    def jaccard(self, first: int, second: int) -> float:
        """Return the exact similarity of two texts."""
        import numpy as np

        a, b = (_as_set(self._shingles([self._texts[text]])[0]) for text in (first, second))
        joined = np.sort(np.concatenate([a, b]))
        both = int((joined[1:] == joined[:-1]).sum())
        return both / (len(joined) - both)

    def _likely_pairs(self, seed: int, wanted: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> Iterator[list[int]]:
        """Yield pairs that are likely near-duplicates, each once, band by band, the likeliest of a band first."""
        import numpy as np

        count = len(self._texts)
        if count < 2:
            return
        signatures = self._signatures(seed)
        rows = _band_rows(self._threshold)
        seen = np.empty(0, np.int64)
        for start in range(0, _HASHES - rows + 1, rows):
            pairs = _candidates(np.ascontiguousarray(signatures[:, start : start + rows]))
            pairs = pairs[wanted(pairs)]
            codes = pairs[:, 0] * count + pairs[:, 1]
            pairs = pairs[~np.isin(codes, seen)]
            agreement = _agreement(signatures, pairs)
            order = np.argsort(-agreement, kind="stable")
            pairs = pairs[order[agreement[order] >= self._threshold - _SLACK]]
            seen = np.union1d(seen, pairs[:, 0] * count + pairs[:, 1])
            for chunk in np.array_split(pairs, len(pairs) // _CHUNK + 1):
                yield from chunk.tolist()

    def _signatures(self, seed: int) -> NDArray[np.uint16]:
        """Return 128 hashes a text. Sixteen bits of each do: one pair of hashes in 65,536 agrees by chance."""
        import numpy as np
        from rensa import RMinHash

        signatures = np.empty((len(self._texts), _HASHES), np.uint16)
        for start, texts in self._batches():
            hashes, offsets = self._shingles(texts)
            matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, _HASHES, seed)
            signatures[start : start + len(texts)] = np.array(matrix.to_rows(), np.uint32) & 0xFFFF
        return signatures

    def _batches(self) -> Iterator[tuple[int, list[str]]]:
        held: list[str] = []
        start = size = 0
        for index in range(len(self._texts)):
            text = self._texts[index]
            held.append(text)
            size += len(text)
            if size >= _BATCH_CHARACTERS:
                yield start, held
                held, start, size = [], index + 1, 0
        if held:
            yield start, held

    def _shingles(self, texts: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the shingles of texts as 64-bit hashes, and where each text's begin (and the last one's end).

        A text that has none, or none that says anything, is one shingle as a whole.
        """
        import numpy as np

        points, lengths = _code_points(texts)
        hashes = _hashes(points, self._shingle)
        kept = _within(lengths, self._shingle, len(hashes))
        if len(self._common):
            kept &= ~self._covered(hashes, lengths)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        totals = np.concatenate([[0], np.cumsum(kept)])
        offsets = totals[np.minimum(starts, len(kept))]
        hashes = hashes[kept]
        mute = np.flatnonzero(np.diff(offsets) == 0)
        if len(mute):
            whole = np.frombuffer(b"".join(_digest(texts[i])[:8] for i in mute), np.uint64)
            hashes = np.insert(hashes, offsets[mute], whole)
            offsets[1:] += np.cumsum(np.isin(np.arange(len(texts)), mute))
        return hashes, offsets.astype(np.uint64)

    def _covered(self, hashes: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which shingles lie in wording that many texts share."""
        import numpy as np

        windows = _windows(hashes, self._shingle, self._stride)
        found = self._common[np.searchsorted(self._common, windows) % len(self._common)] == windows
        found &= _within(lengths, self._stride + self._shingle - 1, len(windows))
        edges = np.zeros(len(hashes) + 1, np.int64)
        edges[: len(windows)] += found
        edges[self._stride : self._stride + len(windows)] -= found
        covered: NDArray[np.bool_] = np.cumsum(edges)[:-1] > 0
        return covered

    def _common_windows(self) -> NDArray[np.uint64]:
        """Return hashes of the wording that many texts share, told by a sample."""
        import numpy as np

        chosen = range(0, len(self._texts), max(1, len(self._texts) // _SAMPLE))
        if len(chosen) < _LEAST_SAMPLE:
            return np.empty(0, np.uint64)
        windows = []
        for index in chosen:
            points, _ = _code_points([self._texts[index][:_SAMPLE_CHARACTERS]])
            windows.append(_as_set(_windows(_hashes(points, self._shingle), self._shingle, self._stride)))
        found, counts = np.unique(np.concatenate(windows), return_counts=True)
        return found[counts >= _COMMON * len(chosen)]


def _band_rows(threshold: float) -> int:
    """Return how many hashes make up a band: the most that let a pair at the threshold pass by once in a thousand."""
    return max(rows for rows in range(1, 17) if rows == 1 or (1 - threshold**rows) ** (_HASHES // rows) <= _MISSED)


def _roots(parents: list[int]) -> NDArray[np.int64]:
    import numpy as np

    roots = np.array(parents, np.int64)
    while (higher := roots[roots]).tobytes() != roots.tobytes():
        roots = higher
    return roots


def _differ(values: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    differ: NDArray[np.bool_] = values[pairs[:, 0]] != values[pairs[:, 1]]
    return differ


def _code_points(texts: list[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    import numpy as np

    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    return points, np.array([len(text) for text in texts], np.int64)


def _within(lengths: NDArray[np.int64], width: int, count: int) -> NDArray[np.bool_]:
    """Tell for each place of the joined texts whether ``width`` characters from it are of one text."""
    import numpy as np

    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(int(lengths.sum()))
    within: NDArray[np.bool_] = left[:count] >= width
    return within


def _hashes(points: NDArray[np.uint64], shingle: int) -> NDArray[np.uint64]:
    """Return the hash of the shingle at each place: a polynomial modulo 2**64 in the code points."""
    return _combined(points, range(shingle))


def _windows(hashes: NDArray[np.uint64], shingle: int, stride: int) -> NDArray[np.uint64]:
    """Return the hash of each run of ``stride`` shingles."""
    return _combined(hashes, range(0, stride, shingle))


def _combined(values: NDArray[np.uint64], places: range) -> NDArray[np.uint64]:
    import numpy as np

    count = max(0, len(values) - places[-1])
    combined = np.zeros(count, np.uint64)
    for place in places:
        combined *= np.uint64(6364136223846793005)  # Knuth's factor for multiplicative hashing
        combined += values[place : place + count]
    return combined


def _candidates(band: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return pairs of rows that agree in a whole band: int64 [pairs, 2], the lesser index first."""
    import numpy as np

    key = np.zeros(len(band), np.uint64)
    for column in band.T:
        key = key * np.uint64(0x9E3779B97F4A7C15) + column
    order = np.argsort(key, kind="stable")
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(key[order])) + 1, [len(band)]])
    sizes = np.diff(bounds)
    bucket = np.repeat(np.arange(len(sizes)), sizes)
    crowded = sizes > _ALL_PAIRS
    order, bucket = (values[(sizes > 1)[bucket]] for values in (order, bucket))
    found = []
    for distance in range(1, _ALL_PAIRS):  # of a crowded bucket each member with the next and with the first only
        same = bucket[:-distance] == bucket[distance:]
        if distance > 1:
            same &= ~crowded[bucket[distance:]]
        if not same.any():
            break
        found.append(np.stack([order[:-distance][same], order[distance:][same]], axis=1))
    if crowded.any():
        members = order[crowded[bucket]]
        firsts = np.repeat(order[np.searchsorted(bucket, np.flatnonzero(crowded))], sizes[crowded])
        found.append(np.stack([firsts, members], axis=1)[firsts != members])
    return np.concatenate([np.empty((0, 2), np.int64), *found])


def _as_set(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return them sorted, each once; quicker for small arrays than numpy's own."""
    import numpy as np

    found = np.sort(hashes)
    first = np.ones(len(found), np.bool_)
    first[1:] = found[1:] != found[:-1]
    return found[first]


def _agreement(signatures: NDArray[np.uint16], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the share of hashes in which each pair agrees, which estimates its similarity."""
    import numpy as np

    parts = [
        (signatures[chunk[:, 0]] == signatures[chunk[:, 1]]).mean(axis=1, dtype=np.float32)
        for chunk in np.array_split(pairs, len(pairs) // _CHUNK + 1)
    ]
    return np.concatenate(parts)
