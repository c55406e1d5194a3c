"""Words of a text, as the sanitising steps count and compare them."""

from __future__ import annotations

import re

__all__ = ["is_unspaced", "words_of"]

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_LETTER = re.compile(rf"[{_UNSPACED}]")


def words_of(text: str) -> list[str]:
    """Return the words in lower case; of scripts without spaces (Chinese, Japanese, Thai, ...) each letter is one."""
    return _WORD.findall(text.casefold())


def is_unspaced(word: str) -> bool:
    """Tell whether a word is a letter of a script without spaces."""
    return _LETTER.match(word) is not None
