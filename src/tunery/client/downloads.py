"""Download a version: every byte checked against the signed manifest, broken transfers resumed, nothing left half."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunery.client.transport import Transport, path_of
from tunery.errors import Conflict, Exhausted, IntegrityError, InvalidInput, SignatureInvalid, Unavailable
from tunery.kit.digests import sha256_file
from tunery.kit.references import Reference
from tunery.registry.schemas import VersionView

__all__ = ["WatchFile", "check_signature", "fetch_version"]

WatchFile = Callable[[str, int, int], None]
"""Called with a file's path, the bytes of it that are here, and its size."""

_ATTEMPTS = 5
"""Attempts in a row that bring no byte."""


def fetch_version(transport: Transport, version: VersionView, folder: Path, watch: WatchFile | None = None) -> Path:
    """Download all files of a version into a folder, and return the folder.

    Files that are there with the right bytes are kept; a ``.part`` file of a broken transfer is gone on with.

    Raises:
        SignatureInvalid: The signature does not fit the manifest; nothing was downloaded.
        IntegrityError: Bytes did not match their digest, and were thrown away; or the file is damaged in the store,
            which the server says: what came before the damage stays in the ``.part`` file, to be gone on with.
        Conflict: A file of that name with other bytes is in the folder.
        InvalidInput: The server named a file outside the folder.
    """
    check_signature(version)
    reference = Reference.parse(version.reference)
    folder.mkdir(parents=True, exist_ok=True)
    for file in version.manifest["files"]:
        target = _inside(folder, str(file["path"]))
        path = path_of("models", reference.name, "versions", version.version, "files", *str(file["path"]).split("/"))
        _fetch_file(transport, path, target, file, watch)
    return folder


def check_signature(version: VersionView) -> None:
    """Check that the manifest is the one of the digest and that the tenant's key signed it. Raises: SignatureInvalid"""
    from tunery.registry.manifest import manifest_digest
    from tunery.registry.signing import verify

    if version.public_key is None:
        raise SignatureInvalid(f"{version.reference} is signed by a key that is unknown or revoked; nothing was loaded")
    if manifest_digest(version.manifest) != version.manifest_digest:
        raise SignatureInvalid(f"the manifest of {version.reference} is not that of digest {version.manifest_digest}")
    verify(version.signature, version.manifest, version.public_key)


def _inside(folder: Path, name: str) -> Path:
    from tunery.registry.manifest import check_file_path

    target = folder / check_file_path(name)
    if not target.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(f"{name!r} would be written outside {folder}; choose a folder without links")
    return target


class _Part:
    """The bytes that are here, with their running digest; it goes on where an earlier transfer broke off."""

    def __init__(self, path: Path, longest: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self.size = path.stat().st_size
        self.digest = hashlib.sha256()
        if self.size > longest:
            self.restart()
        self._file.seek(0)
        while piece := self._file.read(1 << 20):
            self.digest.update(piece)

    def restart(self) -> None:
        self._file.truncate(0)
        self.size = 0
        self.digest = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        self._file.write(piece)
        self.digest.update(piece)
        self.size += len(piece)

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


def _fetch_file(transport: Transport, path: str, target: Path, file: dict[str, Any], watch: WatchFile | None) -> None:
    digest, size = file["digests"]["sha256"], file["size_bytes"]
    if target.exists():
        if sha256_file(target) != digest:
            raise Conflict(f"{target} is there with other bytes than the version's; choose another folder or move it")
        return
    path_of_part = target.with_name(target.name + ".part")
    try:
        part = _Part(path_of_part, size)
        found = part.size
        try:
            _fill(transport, path, part, digest, size, lambda done: watch and watch(file["path"], done, size))
            if found and part.digest.hexdigest() != digest:  # what an earlier process left was of another file
                part.restart()
                _fill(transport, path, part, digest, size, lambda done: watch and watch(file["path"], done, size))
        finally:
            part.close()
            if not part.size:
                path_of_part.unlink()
    except OSError as error:
        raise Exhausted(f"{path_of_part} cannot be written: {error.strerror}; what is there is gone on with") from error
    if part.digest.hexdigest() != digest:
        path_of_part.unlink()
        raise IntegrityError(f"the bytes of {file['path']} do not match their digest {digest}; they were thrown away")
    os.replace(path_of_part, target)


def _fill(transport: Transport, path: str, part: _Part, digest: str, size: int, watch: Callable[[int], object]) -> None:
    stalled, furthest = 0, part.size
    while part.size != size:
        headers = {"Range": f"bytes={part.size}-", "If-Range": f'"{digest}"', "Accept-Encoding": "identity"}
        try:
            with transport.stream("GET", path, headers=headers) as response:
                if response.headers.get("Content-Range", "").split("-")[0] != f"bytes {part.size}":
                    part.restart()
                for piece in response.iter_raw():
                    part.add(piece)
                    watch(part.size)
                    if part.size > size:
                        return
            broken = Unavailable(f"the server sent {part.size} of {size} bytes and ended; run it again")
        except Unavailable as error:
            broken = error
        except IntegrityError as error:
            kept = f"; the {part.size} good bytes before it are kept, run it again then" if part.size else ""
            raise IntegrityError(error.message + kept, **error.details) from error
        stalled = 0 if part.size > furthest else stalled + 1
        furthest = max(part.size, furthest)
        if stalled == _ATTEMPTS:
            raise broken
