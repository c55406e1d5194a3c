"""Look-alikes brought to ASCII, so that one pattern finds a number however it is written."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

__all__ = ["Folded", "fold"]

_LOOK_ALIKES = dict(zip("АВЕЅІЈКМНОРСТХѴΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABESIJKMHOPCTXVABEZHIKMNOPTYX", strict=True))
_ESCAPED = re.compile(r"\\[nrt]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]+")


class Folded:
    """A text as patterns read it.

    Attributes:
        text: The text with digits of every script, full-width forms, dashes, spaces and capital look-alikes as ASCII,
            and without what cannot be seen.
    """

    __slots__ = ("_places", "text")

    def __init__(self, text: str, places: list[int] | None = None) -> None:
        self.text = text
        self._places = places

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the folded text lies in the original."""
        if self._places is None:
            return start, end
        return self._places[start], self._places[end - 1] + 1


def fold(text: str) -> Folded:
    """Fold a text; of ASCII only written-out line breaks and tabs are seen as what they mean."""
    if "\\" in text:
        text = _ESCAPED.sub("  ", text)
    if text.isascii():
        return Folded(text)
    table, foldable = _table()
    folded = text.translate(table) if foldable.search(text) else text
    if _INVISIBLE.search(folded) is None:
        return Folded(folded)
    places: list[int] = []
    pieces: list[str] = []
    last = 0
    for match in _INVISIBLE.finditer(folded):
        places.extend(range(last, match.start()))
        pieces.append(folded[last : match.start()])
        last = match.end()
    places.extend(range(last, len(folded)))
    return Folded("".join([*pieces, folded[last:]]), places)


@cache
def _table() -> tuple[dict[int, str], re.Pattern[str]]:
    table = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    for code in range(128, 0x20000):
        category = unicodedata.category(chr(code))
        if category == "Nd":
            table[code] = str(unicodedata.decimal(chr(code)))
        elif category == "Pd":
            table[code] = "-"
        elif category == "Zs":
            table[code] = " "
    table |= {0x2212: "-", 0x2024: ".", 0x3002: ".", 0xFF61: "."}
    table |= {ord(letter): plain for letter, plain in _LOOK_ALIKES.items()}
    return table, re.compile(f"[{''.join(map(re.escape, map(chr, sorted(table))))}]")
