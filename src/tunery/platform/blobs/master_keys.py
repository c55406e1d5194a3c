"""The key at the top: from a file, the environment, or a key management service through a plug-in."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tunery.errors import IntegrityError, InvalidInput, Refused
from tunery.kit.digests import sha256_bytes
from tunery.kit.durable import make_once
from tunery.kit.ids import parse_id
from tunery.platform.blobs.backends import Backend, Entry
from tunery.plugins import Registry

__all__ = ["MASTER_KEYS", "LocalMasterKey", "MasterKey", "keys_in_environment", "keys_in_file", "unwrap", "wrap"]


class MasterKey(Protocol):
    """Wraps and unwraps other keys without showing itself."""

    id: str
    """Stable and public; recorded beside what it wrapped."""

    def wrap(self, key: bytes, bound: str) -> bytes:
        """Encrypt a key, bound to a text that must be given again."""

    def unwrap(self, wrapped: bytes, bound: str) -> bytes:
        """Decrypt a key. Raises: IntegrityError: another key wrapped it, or it was changed. Unavailable: no answer."""


MASTER_KEYS: Registry[Callable[[], list[MasterKey]]] = Registry("master_key")
"""Where master keys come from besides file and environment: each entry returns them, the one that wraps first."""


class LocalMasterKey:
    """A master key of 32 bytes in this process."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = sha256_bytes(b"tunery master key id" + key)[:16]

    def wrap(self, key: bytes, bound: str) -> bytes:
        """Encrypt a key with AES-256-GCM."""
        return wrap(self._key, key, bound)

    def unwrap(self, wrapped: bytes, bound: str) -> bytes:
        """Decrypt a key."""
        return unwrap(self._key, wrapped, bound)


def wrap(wrapping: bytes, key: bytes, bound: str) -> bytes:
    """Encrypt one key with another: nonce, ciphertext, tag. Source: NIST SP 800-38D."""
    nonce = os.urandom(12)
    return nonce + AESGCM(wrapping).encrypt(nonce, key, bound.encode())


def unwrap(wrapping: bytes, wrapped: bytes, bound: str) -> bytes:
    """Decrypt what ``wrap`` made. Raises: IntegrityError: another key made it, or it was changed or moved."""
    try:
        return AESGCM(wrapping).decrypt(wrapped[:12], wrapped[12:], bound.encode())
    except (InvalidTag, ValueError) as error:
        raise IntegrityError(
            "a wrapped key is damaged, moved or of another master key; nothing was decrypted"
        ) from error


def keys_in_environment(text: str) -> list[MasterKey]:
    """Read master keys from a setting: base64 of 32 bytes each, commas between; the first wraps, all unwrap."""
    return [LocalMasterKey(_key(part, "TUNERY_MASTER_KEY")) for part in text.split(",")]


def keys_in_file(path: Path, wrapped: Backend) -> list[MasterKey]:
    """Read master keys from a private file, one a line; the first wraps, all unwrap.

    Args:
        path: The file; it is made on a first start.
        wrapped: Where the keys lie that a master key wrapped; while any does, this is no first start.

    Raises:
        Refused: The file is lost, or others may read it. InvalidInput: A line is no key.
    """
    if not path.exists():
        # Looked for once more: who made it a moment ago may have wrapped a key since.
        if any(map(_is_wrapped, wrapped.entries(None))) and not path.exists():
            raise Refused(
                f"the master key is missing: put keys/{path.name} of the home back from its copy, or give "
                f"TUNERY_MASTER_KEY; a new one would not open the keys at {wrapped.url}, so none was made"
            )
        make_once(path, base64.b64encode(AESGCM.generate_key(256)) + b"\n")
    if path.stat().st_mode & 0o077:
        raise Refused(f"others may read the master key; make it private: chmod 600 {path.name}")
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    if not lines:
        raise InvalidInput(f"{path.name} holds no key; put the right one back")
    return [LocalMasterKey(_key(line, path.name)) for line in lines]


def _is_wrapped(entry: Entry) -> bool:
    tenant_id, _, kind = entry.name.partition("/")
    return parse_id(tenant_id) == tenant_id and kind.startswith(("tenant/", "secrets/"))


def _key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 32:
        raise InvalidInput(f"{where} must hold 32 bytes in base64; `openssl rand -base64 32` makes some")
    return key
