"""Bring a version's bytes to where they can be loaded, never without checking signature and digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunery.errors import SignatureInvalid
from tunery.platform.ground import Ground
from tunery.registry import signing
from tunery.registry.manifest import manifest_digest
from tunery.registry.operations.lookup import public_key_of, resolve_version
from tunery.registry.rules import check_loadable
from tunery.registry.schemas import Verification

__all__ = ["checkout_version", "verify_version"]


def checkout_version(ground: Ground, tenant_id: str, reference: str) -> Path:
    """Return a folder with a version's files, its signature checked and every byte hashed, each time it is called.

    The folder lies in the cache by manifest digest; treat it as read-only. No session is held while hashing.

    Raises:
        NotFound: No such version. SignatureInvalid: the signature does not fit. IntegrityError: bytes are damaged.
        UnsafeFormat: It is in quarantine.
    """
    with ground.database.session(tenant_id, read_only=True) as session:
        version = resolve_version(session, reference)
        check_loadable(version.reference, version.status, version.details)
    manifest, digest, _ = _sealed(ground, tenant_id, version.id)
    folder = ground.settings.folder("cache", "versions", tenant_id, digest)
    for file in manifest["files"]:
        ground.blobs.checkout(tenant_id, file["digests"]["sha256"], folder / file["path"])
    return folder


def verify_version(ground: Ground, tenant_id: str, reference: str) -> Verification:
    """Check a version's signature and hash every file. Raises: as ``checkout_version``."""
    manifest, digest, (name, key_id) = _sealed(ground, tenant_id, reference)
    for file in manifest["files"]:
        for _ in ground.blobs.open(tenant_id, file["digests"]["sha256"]):
            pass
    return Verification(
        reference=name,
        manifest_digest=digest,
        key_id=key_id,
        files=len(manifest["files"]),
        size_bytes=sum(f["size_bytes"] for f in manifest["files"]),
    )


def _sealed(ground: Ground, tenant_id: str, reference: str) -> tuple[dict[str, Any], str, tuple[str, str]]:
    with ground.database.session(tenant_id, read_only=True) as session:
        version = resolve_version(session, reference)
        key = public_key_of(session, version)
        if key is None:
            raise SignatureInvalid(
                f"{version.reference} is signed by a key that is unknown or revoked; nothing was loaded"
            )
        signing.verify(version.signature, version.manifest, key.public_key)
        if manifest_digest(version.manifest) != version.manifest_digest:
            raise SignatureInvalid(f"the manifest of {version.reference} is not the one that was registered")
        return version.manifest, version.manifest_digest, (version.reference, key.key_id)
