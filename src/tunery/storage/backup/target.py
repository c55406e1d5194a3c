"""The place where backups lie: chunks sealed with the backup's own key, manifests that only this key can make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import ValidationError

from tunery.errors import IntegrityError, NotFound, SchemaNewer
from tunery.kit.digests import canonical_json
from tunery.kit.ids import parse_id
from tunery.platform.blobs.backends import Backend, open_backend
from tunery.platform.blobs.copying import suspect, suspects, trust
from tunery.platform.blobs.master_keys import MasterKey
from tunery.storage.backup.schemas import BackupFile, BackupManifest

__all__ = ["Target", "open_target"]

_CHUNK_BYTES = 4 << 20
_BOUND = "tunery backup key"
_SCHEMA = 1
_NONCE_BYTES, _TAG_BYTES = 12, 16


class Target:
    """One place of backups.

    Args:
        backend: Where manifests and chunks lie.
        packs: Where packs lie.
        key: 32 bytes, the backup's own.
    """

    def __init__(self, backend: Backend, packs: Backend, key: bytes) -> None:
        self.backend = backend
        self.packs = packs
        self._key = key
        self._naming, self._signing, sealing = (
            hmac.digest(key, purpose, hashlib.sha256) for purpose in (b"names", b"manifests", b"chunks")
        )
        self._cipher = AESGCM(sealing)
        self._here: dict[str, int] | None = None
        self._doubted = set[str]()

    def keep(self, path: Path, name: str, watch: Callable[[int], None]) -> BackupFile:
        """Keep a file under a name; chunks that are here already and not known to be damaged are not sent again.

        Args:
            path: The file.
            name: What it is called in the backup.
            watch: Told the length of each chunk that had to be sent.
        """
        chunks, size = [], 0
        with path.open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                size += len(data)
                chunks.append(self._keep_chunk(data, watch))
        return BackupFile(path=name, size_bytes=size, chunks=chunks)

    def pieces(self, file: BackupFile) -> Iterator[bytes]:
        """Yield the bytes of a file. Raises: NotFound: a chunk is missing. IntegrityError: one is damaged."""
        for chunk in file.chunks:
            yield self.chunk(chunk, file)

    def chunk(self, name: str, file: BackupFile) -> bytes:
        """Return the bytes of one chunk of a file. Raises: as ``pieces``."""
        sealed = self.backend.read(f"chunks/{name}")
        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode("ascii"))
            return zlib.decompress(plain)
        except (InvalidTag, ValueError, zlib.error) as error:
            raise IntegrityError(f"chunk {name} of {file.path} is damaged") from error

    def suspect(self, name: str) -> None:
        """Leave word that ``chunks/...`` or ``packs/...`` is damaged; the next backup that needs it sends it again."""
        if name.startswith("packs/"):
            suspect(self.packs, name.removeprefix("packs/"))
        else:
            suspect(self.backend, name)

    def rewrap(self, masters: list[MasterKey]) -> None:
        """Wrap the key with the first master key, where another one did; that one may be retired then."""
        if json.loads(self.backend.read("key.json"))["master"] != masters[0].id:
            _write_key(self.backend, self._key, masters[0])

    def sign(self, manifest: BackupManifest) -> None:
        """Write a manifest, which makes its backup complete."""
        body = manifest.model_dump(mode="json", by_alias=True)
        data = {"body": body, "checksum": self._checksum(body)}
        self.backend.put(f"manifests/{manifest.id}", json.dumps(data).encode())

    def manifest_ids(self) -> list[str]:
        """Return the ids of all backups, the newest first."""
        return sorted((entry.name.rpartition("/")[2] for entry in self.backend.entries("manifests")), reverse=True)

    def manifest(self, backup_id: str | None = None) -> BackupManifest:
        """Return a backup's manifest; the newest where no id is given.

        Raises:
            NotFound: There is none. IntegrityError: it was changed or damaged. SchemaNewer: a newer Tunery wrote it.
        """
        wanted = parse_id(backup_id) if backup_id else next(iter(self.manifest_ids()), None)
        try:
            if wanted is None:
                raise NotFound("there is none of that name")
            data = json.loads(self.backend.read(f"manifests/{wanted}"))
            body = data["body"]
            if not hmac.compare_digest(data["checksum"], self._checksum(body)):
                raise IntegrityError(f"the manifest of backup {wanted} was changed or damaged; take another backup")
            if body["schema"] > _SCHEMA:
                raise SchemaNewer(
                    f"backup {wanted} was made by a newer Tunery ({body['tunery']}); restore it with that"
                )
            return BackupManifest.model_validate(body)
        except NotFound as error:
            told = f"there is no backup {backup_id or ''} at {self.backend.url}".replace("  ", " ")
            raise NotFound(told) from error
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise IntegrityError(f"the manifest of backup {wanted} is damaged; take another backup") from error

    def chunks(self) -> dict[str, int]:
        """Return the names of all chunks with their stored lengths."""
        return {entry.name.rpartition("/")[2]: entry.size_bytes for entry in self.backend.entries("chunks")}

    def _keep_chunk(self, data: bytes, watch: Callable[[int], None]) -> str:
        name = hmac.digest(self._naming, data, hashlib.sha256).hex()
        if self._here is None:
            self._here, self._doubted = self.chunks(), suspects(self.backend)
        packed, place = zlib.compress(data, 1), f"chunks/{name}"
        if self._here.get(name) != _NONCE_BYTES + len(packed) + _TAG_BYTES or place in self._doubted:
            nonce = os.urandom(_NONCE_BYTES)
            sealed = nonce + self._cipher.encrypt(nonce, packed, name.encode("ascii"))
            self.backend.put(place, sealed)
            if place in self._doubted:
                trust(self.backend, place)
                self._doubted.discard(place)
            self._here[name] = len(sealed)
            watch(len(sealed))
        return name

    def _checksum(self, body: dict[str, Any]) -> str:
        return hmac.digest(self._signing, canonical_json(body), hashlib.sha256).hex()


def open_target(url: str, masters: list[MasterKey], *, make: bool = False) -> Target:
    """Open a place of backups.

    Args:
        url: Where it is.
        masters: The master keys; the first wraps, all unwrap.
        make: Make its key where there is nothing yet.

    Raises:
        NotFound: There are no backups. IntegrityError: another master key is needed, or the key is damaged.
    """
    backend, packs = open_backend(url), open_backend(url.rstrip("/") + "/packs")
    try:
        key = _unwrapped(json.loads(backend.read("key.json")), masters)
    except NotFound as error:
        if next(iter(backend.entries("manifests")), None) is not None:
            raise IntegrityError(f"key.json is missing at {url}; without it no backup there can be read") from error
        if not make:
            raise NotFound(f"there are no backups at {url}; is it mounted?") from error
        key = AESGCM.generate_key(256)
        _write_key(backend, key, masters[0])
    return Target(backend, packs, key)


def _write_key(backend: Backend, key: bytes, master: MasterKey) -> None:
    wrapped = base64.b64encode(master.wrap(key, _BOUND)).decode("ascii")
    backend.put("key.json", json.dumps({"schema": 1, "master": master.id, "wrapped": wrapped}).encode())


def _unwrapped(kept: dict[str, Any], masters: list[MasterKey]) -> bytes:
    here = {master.id: master for master in masters}
    try:
        if kept["master"] not in here:
            raise IntegrityError(
                f"the backup was made with the master key {kept['master']} and {', '.join(here)} is here; "
                f"put the right one back"
            )
        return here[kept["master"]].unwrap(base64.b64decode(kept["wrapped"]), _BOUND)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError("key.json of the backup is damaged; put it back from a copy") from error
