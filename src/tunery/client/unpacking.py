"""Unpack an archive that the server sends."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tunery.errors import InvalidInput

__all__ = ["unpack"]


def unpack(pieces: Iterable[bytes], folder: Path) -> list[Path]:
    """Write the files of a ZIP archive into a new or empty folder and return their paths.

    Raises: InvalidInput: there is something already, or the server named a file outside the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidInput(f"{folder} is there already; name a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in pieces:
            file.write(piece)
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            for name in names:
                if not (folder / name).resolve().is_relative_to(folder.resolve()):
                    raise InvalidInput(f"{name!r} would be written outside {folder}")
            archive.extractall(folder)
    return [folder / name for name in names]
