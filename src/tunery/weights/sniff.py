"""Tell what a file really is from its bytes, whatever its name says."""

from __future__ import annotations

import pickletools
import zipfile
from codecs import getincrementaldecoder
from io import BytesIO
from pathlib import Path

from tunery.errors import UnsafeFormat
from tunery.weights.safetensors import MAX_HEADER_BYTES

__all__ = ["UNSAFE", "refuse_pickle", "sniff", "unsafe"]

UNSAFE = frozenset({"pickle", "zip", "hdf5", "npy_object", "tar", "compressed"})
"""Kinds that run code when they are loaded, or that can hide such a file (archives, packed streams)."""

_HEAD_BYTES = 64 * 1024
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PACKED = (
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x5d\x00\x00",
    b"\x04\x22\x4d\x18",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf",
    *_ZLIB,
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_RUNNING_OPCODES = frozenset({"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_MOST_OPCODES = 100_000


def sniff(path: Path) -> str:
    """Return the kind of a file; reads 64 kB of it and loads nothing.

    One of ``safetensors``, ``gguf``, ``json``, ``text``, ``npy``, ``pickle``, ``zip`` (torch and Keras files are such),
    ``hdf5``, ``npy_object``, ``tar``, ``compressed`` and ``unknown``.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head.startswith(b"GGUF"):
            return "gguf"
        if _is_safetensors(head, size):
            return "safetensors"
        # An archive is found from its end, so anything may stand before it; its directory may be gigabytes: unread.
        if head.startswith(b"PK") or zipfile.is_zipfile(file):
            return "zip"
        if any(head[at : at + 8] == _HDF5 for at in (0, 512, 1024, 2048)):
            return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "npy_object" if b"O" in head[10:256].split(b"}")[0].partition(b"descr")[2] else "npy"
    if head[257:262] == b"ustar":
        return "tar"
    if _is_pickle(head):
        return "pickle"
    kind = _text_kind(head)
    return "compressed" if kind == "unknown" and head.startswith(_PACKED) else kind


def refuse_pickle(path: Path) -> str:
    """Return the kind of a file if loading it can run no code. Raises: UnsafeFormat: it can, or it may hide that."""
    kind = sniff(path)
    if kind in UNSAFE:
        raise unsafe(path.name, kind)
    return kind


def unsafe(name: str, kind: str) -> UnsafeFormat:
    """Return the error of a file that may run code."""
    message = f"{name} is a {kind} file, which can run code when it is loaded; convert it to safetensors"
    return UnsafeFormat(message, file=name, format=kind)


def _is_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return len(head) > 8 and head[8:9] == b"{" and length <= MAX_HEADER_BYTES and 8 + length <= size


def _is_pickle(head: bytes) -> bool:
    """Tell whether a pickle loader would run code before it stumbles, or reach the end."""
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return True
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(BytesIO(head))):
            if opcode.name in _RUNNING_OPCODES or count >= _MOST_OPCODES or (opcode.name == "STOP" and count > 1):
                return True
    except (ValueError, UnicodeDecodeError, OverflowError, IndexError):
        return False
    return False


def _text_kind(head: bytes) -> str:
    try:
        # A character of several bytes may be cut where reading stopped; a final decode would call that an error.
        text = getincrementaldecoder("utf-8")().decode(head, final=len(head) < _HEAD_BYTES)
    except UnicodeDecodeError:
        return "unknown"
    if "\0" in text:
        return "unknown"
    return "json" if text.lstrip()[:1] in {"{", "["} else "text"
