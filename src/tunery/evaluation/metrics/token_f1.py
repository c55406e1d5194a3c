"""``token_f1``: how many words prediction and reference share, averaged over rows.

Both are lower-cased, freed of ASCII punctuation and of the words *a*, *an*, *the*, and split at white space. With the
words as bags, precision = shared / predicted, recall = shared / reference, F1 = their harmonic mean. Where one of the
bags is empty the row is 1 if both are, else 0.

Source: Rajpurkar et al. 2016, "SQuAD", section 6.1 (macro-averaged F1); empty answers as in Rajpurkar et al. 2018,
"Know What You Don't Know", evaluation script of SQuAD 2.0.
"""

from __future__ import annotations

import string
from collections import Counter

from tunery.evaluation.metrics import METRICS
from tunery.evaluation.row_mean import RowMean

__all__ = ["token_f1"]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = {"a", "an", "the"}


def token_f1(prediction: str, reference: str) -> float:
    """Return the F1 of shared words, 0 to 1."""
    given, wanted = _words(prediction), _words(reference)
    if not given or not wanted:
        return float(given == wanted)
    shared = (given & wanted).total()
    return 2 * shared / (given.total() + wanted.total())


def _words(text: str) -> Counter[str]:
    return Counter(word for word in text.lower().translate(_NO_PUNCTUATION).split() if word not in _ARTICLES)


METRICS.register("token_f1")(RowMean("token_f1", "higher", token_f1))
