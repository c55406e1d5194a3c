"""Write a file whole or not at all, and read the small JSON files that stand beside weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tunery.errors import FormatInvalid

__all__ = ["Readable", "leads_away", "read_json_object", "write_json", "write_whole"]

MAX_JSON_BYTES = 64 * 1024 * 1024
"""Larger than any tokenizer.json in use (the biggest, of vocabularies of 260,000 tokens, have 35 MB)."""


class Readable(Protocol):
    """A file or stream that headers are read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        ...


def leads_away(name: str) -> bool:
    """Tell whether a name would lead out of a folder if somebody took it for a path."""
    return ".." in name.replace("\\", "/").split("/")


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a path to write to; when the block ends well, its bytes are durable under the final name.

    A reader sees the old file or the new one, never a part; after an error the old one still stands.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys, so that equal values are equal bytes."""
    with write_whole(path) as partial:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON file whose top is an object. Raises: FormatInvalid: missing, too large, or not such a file."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise FormatInvalid(f"{path.name} has {size} bytes; at most {MAX_JSON_BYTES} are read")
        value = json.loads(path.read_bytes())
    except FileNotFoundError as missing:
        raise FormatInvalid(f"{path.name} is missing in {path.parent.name!r}") from missing
    except (ValueError, RecursionError) as fault:
        raise FormatInvalid(f"{path.name} is not valid JSON: {str(fault)[:200]}") from fault
    if not isinstance(value, dict):
        raise FormatInvalid(f"{path.name} must hold a JSON object, not {type(value).__name__}")
    return value
