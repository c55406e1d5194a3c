"""Ed25519 signatures over manifests and other statements, as DSSE envelopes of in-toto statements.

Source: DSSE protocol v1 (github.com/secure-systems-lab/dsse), in-toto Statement v1, RFC 8032 for Ed25519.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tunery.errors import SignatureInvalid
from tunery.kit.digests import canonical_json, sha256_bytes
from tunery.kit.durable import make_once
from tunery.registry.manifest import manifest_digest

__all__ = [
    "PAYLOAD_TYPE",
    "PREDICATE_TYPE",
    "key_id_of",
    "load_or_make_key",
    "open_statement",
    "public_pem",
    "seal_statement",
    "sign",
    "verify",
]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:tunery:model-manifest:1"


def load_or_make_key(folder: Path) -> Ed25519PrivateKey:
    """Return the signing key kept in a private folder; make it at the first call (mode 0600, fsynced, renamed)."""
    path = folder / "signing.pem"
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        make_once(path, pem)
    key_or_other = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key_or_other, Ed25519PrivateKey):
        raise SignatureInvalid(f"{path.name} is no Ed25519 key; put the right one back")
    return key_or_other


def public_pem(key: Ed25519PrivateKey) -> str:
    """Return the public half as PEM."""
    raw = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return raw.decode("ascii")


def key_id_of(public_key_pem: str) -> str:
    """Return the id of a public key: SHA-256 of its PEM text."""
    return sha256_bytes(public_key_pem.encode("ascii"))


def seal_statement(
    subjects: dict[str, str], predicate_type: str, predicate: dict[str, Any], key: Ed25519PrivateKey
) -> dict[str, Any]:
    """Return a DSSE envelope of an in-toto statement about things by name, each with its SHA-256."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    payload = canonical_json(statement)
    signature = key.sign(_pre_authentication(payload))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [{"keyid": key_id_of(public_pem(key)), "sig": base64.b64encode(signature).decode("ascii")}],
    }


def open_statement(envelope: dict[str, Any], public_key_pem: str) -> dict[str, Any]:
    """Return the statement of an envelope that this key signed. Raises: SignatureInvalid: says what does not hold."""
    try:
        key = serialization.load_pem_public_key(public_key_pem.encode("ascii"))
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        raw = base64.b64decode(signature["sig"], validate=True)
        if envelope["payloadType"] != PAYLOAD_TYPE or not isinstance(key, Ed25519PublicKey):
            raise SignatureInvalid("the signature is of a kind that is not accepted here")
        key.verify(raw, _pre_authentication(payload))
        statement: dict[str, Any] = json.loads(payload)
    except InvalidSignature as error:
        raise SignatureInvalid("the signature does not fit the signed manifest; nothing was loaded") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SignatureInvalid("the signature envelope is malformed; nothing was loaded") from error
    return statement


def sign(manifest: dict[str, Any], name: str, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return a DSSE envelope whose in-toto statement names every file with its digest and carries the manifest."""
    predicate = {"name": name, "manifest": manifest, "manifestDigest": manifest_digest(manifest)}
    return seal_statement(_files_of(manifest), PREDICATE_TYPE, predicate, key)


def verify(envelope: dict[str, Any], manifest: dict[str, Any], public_key_pem: str) -> None:
    """Check that the envelope was signed by this key and speaks of exactly this manifest.

    Raises:
        SignatureInvalid: Says which of the two does not hold.
    """
    statement = open_statement(envelope, public_key_pem)
    try:
        subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
        signed = statement["predicateType"], statement["predicate"].get("manifestDigest"), subjects
    except (AttributeError, KeyError, TypeError) as error:
        raise SignatureInvalid("the signature envelope is malformed; nothing was loaded") from error
    if signed != (PREDICATE_TYPE, manifest_digest(manifest), _files_of(manifest)):
        raise SignatureInvalid("the signature is of another manifest than this version's; nothing was loaded")


def _files_of(manifest: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["digests"]["sha256"] for file in manifest["files"]}


def _pre_authentication(payload: bytes) -> bytes:
    """DSSE's PAE. Source: DSSE protocol v1, "Signature Definition"."""
    kind = PAYLOAD_TYPE.encode("ascii")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
