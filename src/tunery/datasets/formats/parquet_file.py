"""``parquet``: a row of the table is a row; the reader is a process of its own (``parquet_reader.py`` says why)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.lines import excerpt
from tunery.datasets.formats.strict_json import JsonFault, StrictJson
from tunery.errors import FormatInvalid

__all__ = ["MEMORY_BYTES", "import_parquet", "rows_of_lines"]

MEMORY_BYTES = 1 << 30
"""Memory that the reader may take beyond its own code."""

_READER = Path(__file__).with_name("parquet_reader.py")
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TZDIR")
_FRAME_BYTES = 10_000


@IMPORTERS.register("parquet")
def import_parquet(file: BinaryIO, max_row_bytes: int) -> Iterator[Record | Malformed]:
    """Read rows in batches; their numbers stand for lines. Times become ISO 8601, decimals text, bytes UTF-8 text.

    Raises:
        FormatInvalid: The file is no Parquet, broken, unpacks to far more than it holds, or refers to another file.
    """
    if not file.seekable():
        raise FormatInvalid("a Parquet file is no text; leave the encoding out")
    with _with_descriptor(file) as source:
        child = subprocess.Popen(
            [sys.executable, "-P", str(_READER), str(max_row_bytes), str(MEMORY_BYTES)],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
                "ARROW_DEFAULT_MEMORY_POOL": "system",
                "MALLOC_ARENA_MAX": "1",
            },
        )
    try:
        assert child.stdout is not None
        # A row's JSON may be a little longer than its bytes; more than that no line of the reader has.
        yield from rows_of_lines(iter(lambda: child.stdout.readline(max_row_bytes + _FRAME_BYTES), b""))  # type: ignore[union-attr]
    finally:
        child.kill()
        child.communicate()


def rows_of_lines(lines: Iterator[bytes]) -> Iterator[Record | Malformed]:
    """Yield what the reader's lines say. Raises: FormatInvalid: it gave up, or died."""
    reader = StrictJson()
    for number, line in enumerate(lines, start=1):
        kind, said = line[:1], line[1:].decode("utf-8", "replace").rstrip("\n")
        if kind == b"D":
            return
        if kind == b"R" and line.endswith(b"\n"):
            try:
                yield Record(number, reader.parse(said))
            except JsonFault as fault:
                yield Malformed(number, fault.reason, excerpt(said))
        elif kind == b"M" and line.endswith(b"\n"):
            reason, text = json.loads(said)
            yield Malformed(number, reason, excerpt(text))
        elif kind == b"E":
            raise FormatInvalid(f"this Parquet file cannot be read: {_one_line(json.loads(said))}")
        else:
            break
    raise FormatInvalid("this Parquet file cannot be read: its reader died of it (too much memory, or broken)")


def _one_line(message: Any) -> str:
    return " ".join(str(message).split())


@contextmanager
def _with_descriptor(file: BinaryIO) -> Iterator[IO[bytes]]:
    """Give the file as one that a process can be handed, from its beginning."""
    try:
        os.lseek(file.fileno(), 0, os.SEEK_SET)
    except OSError:  # it lies in memory
        with tempfile.TemporaryFile() as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.lseek(copy.fileno(), 0, os.SEEK_SET)
            yield copy
    else:
        yield file
