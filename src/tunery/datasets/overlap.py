"""Runs of words that rows share with evaluation rows, found by their hashes.

Source: Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C (runs of 13 words; those that many rows
share say nothing); Karp and Rabin 1987 for hashes of all runs at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tunery.datasets.words import words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Overlap"]

_FACTOR = 0x9E3779B97F4A7C15
_INVERSE = pow(_FACTOR, -1, 2**64)


class Overlap:
    """The runs of words of evaluation rows.

    Args:
        texts: The evaluation rows. One that has fewer words than a run is compared as a whole.
        size: Words of a run.
        most: A run that more evaluation rows than this share is common wording and does not count.
    """

    def __init__(self, texts: Iterable[str], size: int, most: int) -> None:
        import numpy as np

        self._size = size
        self._whole: dict[bytes, int] = {}
        hashes, owners = [], []
        for number, text in enumerate(texts):
            words = words_of(text)
            if words and len(words) < size:
                self._whole.setdefault(_digest(words), number)
            runs = np.unique(_runs(words, size))
            hashes.append(runs)
            owners.append(np.full(len(runs), number, np.int64))
        found = np.concatenate([np.empty(0, np.uint64), *hashes])
        order = np.argsort(found, kind="stable")
        self._hashes, first, counts = np.unique(found[order], return_index=True, return_counts=True)
        self._owners = np.concatenate([np.empty(0, np.int64), *owners])[order][first]
        rare = counts <= most
        self._hashes, self._owners = self._hashes[rare], self._owners[rare]

    def find(self, text: str) -> tuple[int, int] | None:
        """Return the number of the first evaluation row that shares a run with the text, and how many runs do."""
        import numpy as np

        words = words_of(text)
        if len(words) < self._size:
            whole = self._whole.get(_digest(words))
            return None if whole is None else (whole, 1)
        if not len(self._hashes):
            return None
        runs = _runs(words, self._size)
        places = np.searchsorted(self._hashes, runs) % len(self._hashes)
        shared = places[self._hashes[places] == runs]
        return (int(self._owners[shared].min()), len(shared)) if len(shared) else None


def _digest(words: list[str]) -> bytes:
    return hashlib.sha256(" ".join(words).encode("utf-8", "surrogatepass")).digest()[:16]


def _runs(words: list[str], size: int) -> NDArray[np.uint64]:
    """Return the hash of each run of words: a polynomial modulo 2**64 in the code points of the run."""
    import numpy as np

    if len(words) < size:
        return np.empty(0, np.uint64)
    text = " ".join(words)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(words) - size + 1]
    powers = np.cumprod(np.full(len(points), _FACTOR, np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((points + np.uint64(1)) * powers)])
    back = np.cumprod(np.full(len(points) + 1, _INVERSE, np.uint64))
    runs: NDArray[np.uint64] = (sums[ends[size - 1 :]] - sums[starts]) * back[starts]
    return runs
