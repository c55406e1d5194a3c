"""Keys of a tenant's own for other deeds than sealing packs: to give pseudonyms, to index subjects.

    <tenant id>/secrets/<purpose>/<version>  {"schema": 1, "master", "wrapped"}

They lie beside the keys of packs, outside database and backup, each wrapped by the master key. Two that make the first
key at once get the same: who writes second reads what the first wrote. Crash: a key is durable before it is used.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunery.errors import IntegrityError, InternalError
from tunery.platform.blobs.backends import Backend
from tunery.platform.blobs.master_keys import MasterKey

__all__ = ["TenantSecret", "TenantSecrets"]

_PURPOSE = re.compile(r"[a-z][a-z_]{1,39}")


@dataclass(frozen=True)
class TenantSecret:
    """A key of 32 bytes; its version is kept beside what was made with it."""

    version: int
    key: bytes = field(repr=False)


class TenantSecrets:
    """Keys by tenant and purpose.

    Args:
        backend: Where wrapped keys lie.
        masters: Master keys; the first wraps, all unwrap.
    """

    def __init__(self, backend: Backend, masters: list[MasterKey]) -> None:
        self._backend = backend
        self._masters = masters
        self._lock = threading.Lock()
        self._known: dict[str, bytes] = {}

    def newest(self, tenant_id: str, purpose: str) -> TenantSecret:
        """Return the newest key for a purpose; the first is made when it is asked for.

        Raises:
            Unavailable: The keys, or the master key, are away. IntegrityError: the key was damaged or swapped.
        """
        version = max(self._versions(tenant_id, purpose), default=0)
        return self._read(tenant_id, purpose, version) if version else self._make(tenant_id, purpose, 1)

    def every(self, tenant_id: str, purpose: str) -> list[TenantSecret]:
        """Return all keys for a purpose, the newest first; what was made with any of them can be found again."""
        versions = sorted(self._versions(tenant_id, purpose), reverse=True)
        return [self._read(tenant_id, purpose, version) for version in versions]

    def renew(self, tenant_id: str, purpose: str) -> TenantSecret:
        """Make a newer key for a purpose and return it; the older ones stay."""
        return self._make(tenant_id, purpose, max(self._versions(tenant_id, purpose), default=0) + 1)

    def rewrap(self, tenant_id: str) -> int:
        """Wrap every key with the first master key, so that an older one can be retired; return how many."""
        keys = {}
        for entry in self._backend.entries(f"{tenant_id}/secrets"):
            _, _, purpose, version = entry.name.split("/")
            keys[entry.name] = self._read(tenant_id, purpose, int(version)).key
        for name, key in keys.items():  # only once all could be opened
            self._backend.put(name, self._wrapped(name, key))
        return len(keys)

    def _versions(self, tenant_id: str, purpose: str) -> list[int]:
        folder = self._folder(tenant_id, purpose)
        return [int(entry.name.rpartition("/")[2]) for entry in self._backend.entries(folder)]

    def _make(self, tenant_id: str, purpose: str, version: int) -> TenantSecret:
        name = f"{self._folder(tenant_id, purpose)}/{version}"
        self._backend.put_new(name, self._wrapped(name, AESGCM.generate_key(256)))
        return self._read(tenant_id, purpose, version)

    def _read(self, tenant_id: str, purpose: str, version: int) -> TenantSecret:
        name = f"{self._folder(tenant_id, purpose)}/{version}"
        with self._lock:
            if name in self._known:
                return TenantSecret(version, self._known[name])
        try:
            kept = json.loads(self._backend.read(name))
            master_id, wrapped = kept["master"], base64.b64decode(kept["wrapped"])
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"the key {name} is damaged; put it back from its copy") from error
        masters = {master.id: master for master in self._masters}
        if master_id not in masters:
            raise IntegrityError(f"the master key {master_id} is needed and {', '.join(masters)} is here")
        key = masters[master_id].unwrap(wrapped, name)
        with self._lock:
            self._known[name] = key
        return TenantSecret(version, key)

    def _wrapped(self, name: str, key: bytes) -> bytes:
        master = self._masters[0]
        wrapped = base64.b64encode(master.wrap(key, name)).decode("ascii")
        return json.dumps({"schema": 1, "master": master.id, "wrapped": wrapped}).encode()

    def _folder(self, tenant_id: str, purpose: str) -> str:
        if not _PURPOSE.fullmatch(purpose):
            raise InternalError(f"{purpose[:60]!r} is no purpose of a key")
        return f"{tenant_id}/secrets/{purpose}"
