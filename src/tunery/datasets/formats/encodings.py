"""Text files of other encodings, read as UTF-8: told by their byte order mark, or declared."""

from __future__ import annotations

import codecs
import io
from typing import BinaryIO, cast

from tunery.errors import FormatInvalid, InvalidInput

__all__ = ["UNREADABLE", "as_utf8", "check_encoding"]

UNREADABLE = b"\xed\xa0\x80"
"""Stands in the UTF-8 for each piece that is no text in the file's own encoding; it is not UTF-8 either (U+D800)."""

_KNOWN = frozenset(
    codecs.lookup(name).name
    for name in (
        *("ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *(f"iso8859-{part}" for part in range(1, 17) if part != 12),
        *(f"cp{page}" for page in (437, 850, 852, 855, 858, 866, 874, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "mac-roman", "mac-cyrillic", "mac-latin2", "mac-greek", "mac-turkish", "tis-620"),
        *("shift_jis", "cp932", "euc_jp", "iso2022_jp", "gb2312", "gbk", "gb18030", "big5", "cp950", "big5hkscs"),
        *("euc_kr", "cp949", "johab"),
    )
)
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PIECE = 1 << 16


def check_encoding(name: str) -> str:
    """Return the encoding's name as Python has it. Raises: InvalidInput: it is none that text files are written in."""
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        found = ""
    if found not in _KNOWN:
        raise InvalidInput(
            f"{name[:50]!r} is no encoding of text files that is known; write utf-8, utf-16, latin-1, cp1252, "
            "shift_jis, gb18030, or another of that kind"
        )
    return found


def as_utf8(file: BinaryIO, encoding: str | None = None) -> BinaryIO:
    """Return the file so that it reads as UTF-8; one that is UTF-8, or no text, is returned as it is.

    What is no text in the encoding becomes ``UNREADABLE``, so that the row it stands in is reported and no other.

    Args:
        file: Can be sought in.
        encoding: How it is written; none: UTF-8, or as its byte order mark says.

    Raises:
        InvalidInput: No such encoding. FormatInvalid: the file's first bytes are UTF-16 or UTF-32 without a mark.
    """
    head = file.read(4)
    file.seek(0)
    name = check_encoding(encoding) if encoding else next((told for mark, told in _MARKS if head.startswith(mark)), "")
    if not name and len(head) == 4 and b"\0" in head and (guess := _WITHOUT_MARK.get(tuple(map(bool, head)))):
        raise FormatInvalid(f"this looks like text in {guess} without a byte order mark; declare encoding: {guess}")
    if name in ("", "utf-8", "utf-8-sig"):
        return file
    return cast(BinaryIO, io.BufferedReader(_Transcoded(file, name), _PIECE))


_WITHOUT_MARK: dict[tuple[bool, ...], str] = {
    (True, False, True, False): "utf-16-le",
    (False, True, False, True): "utf-16-be",
    (True, False, False, False): "utf-32-le",
    (False, False, False, True): "utf-32-be",
}
"""Encoding by which of the first four bytes are not zero, where a file begins with two ASCII characters."""


class _Transcoded(io.RawIOBase):
    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)("tunery.unreadable")
        self._left = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left and not self._ended:
            piece = self._file.read(_PIECE)
            self._ended = not piece
            self._left = memoryview(self._decoder.decode(piece, self._ended).encode("utf-8", "surrogatepass"))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _unreadable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ud800", error.end


codecs.register_error("tunery.unreadable", _unreadable)
