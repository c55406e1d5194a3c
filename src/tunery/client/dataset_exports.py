"""Write what the server exports of a dataset: one file, or a Delta table's folder."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tunery.errors import InvalidInput

__all__ = ["Exported", "refuse_existing", "write_export"]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The file, or the folder of the Delta table.
        version: The version it is of; of a table, its newest.
        erased: Versions of the table that are empty, for they held rows that were erased.
    """

    path: Path
    version: str
    erased: list[int]


def refuse_existing(target: Path) -> None:
    """Raise InvalidInput where something is at the target already."""
    if target.exists():
        raise InvalidInput(f"{target} is there already; choose another name")


def write_export(response: httpx.Response, target: Path, *, unpack: bool) -> Exported:
    """Write an answer to a new file, or unpack it into a new folder; it appears whole or not at all."""
    staged = target.with_name(f".{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if unpack:
            with tarfile.open(fileobj=_Stream(response.iter_raw()), mode="r|") as archive:
                archive.extractall(staged, filter="data")
        else:
            with staged.open("wb") as file:
                for piece in response.iter_raw():
                    file.write(piece)
        os.replace(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        if staged.exists():
            staged.unlink()
    erased = [int(number) for number in response.headers.get("X-Tunery-Erased", "").split(",") if number]
    return Exported(target, response.headers.get("X-Tunery-Version", ""), erased)


class _Stream(io.BufferedReader):
    """Pieces as a file that is read once, from its beginning."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(_Pieces(pieces), 1 << 20)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer)  # type: ignore[arg-type]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(target), len(self._left))
        target[:size], self._left = self._left[:size], self._left[size:]
        return size
