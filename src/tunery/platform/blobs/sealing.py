"""AES-256-GCM over the records of a pack, each bound to its place.

Source: NIST SP 800-38D. A pack's key seals that pack alone and each ordinal once, so the ordinal is the nonce.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunery.errors import IntegrityError

__all__ = ["OVERHEAD", "Seal"]

OVERHEAD = 16
"""Bytes that sealing adds to a record: the tag."""


class Seal:
    """Seals and opens the records of one pack.

    Args:
        key: 32 bytes.
        tenant_id: Whose pack this is.
        pack_id: Which pack; with the ordinal and the segment's hash it is bound to each record.
    """

    def __init__(self, key: bytes, tenant_id: str, pack_id: str) -> None:
        self._cipher = AESGCM(key)
        self._bound = f"tunery-pack:1:{tenant_id}:{pack_id}:".encode("ascii")

    def close(self, ordinal: int, name: bytes, data: bytes | memoryview) -> bytes:
        """Return the sealed record.

        Args:
            ordinal: The record's number in its pack; never used twice.
            name: The segment's hash, or what else the record is called.
            data: What to seal.
        """
        return self._cipher.encrypt(ordinal.to_bytes(12, "big"), data, self._bound + name)

    def open(self, ordinal: int, name: bytes, sealed: bytes | memoryview) -> bytes:
        """Return what was sealed. Raises: IntegrityError: it was changed, moved or swapped since."""
        try:
            return self._cipher.decrypt(ordinal.to_bytes(12, "big"), sealed, self._bound + name)
        except InvalidTag as error:
            raise IntegrityError(
                f"record {ordinal} of a pack is damaged or not the one it should be; restore it from a good copy"
            ) from error
