"""What jobs call rows: keyed hashes of their ids, for an id may be a person's number and a job is kept for good."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Any

from tunery.platform.ground import Ground

__all__ = ["namer", "names_of"]

_PURPOSE = "row_names"


def names_of(ground: Ground, tenant_id: str, row_ids: Iterable[str]) -> dict[str, Any]:
    """Return the names of rows, each once and in order, and the version of the key, as a job's payload has them."""
    key = ground.blobs.keyring.secrets.newest(tenant_id, _PURPOSE).version
    return {"rows": [*dict.fromkeys(map(namer(ground, tenant_id, key), row_ids))], "key": key}


def namer(ground: Ground, tenant_id: str, key: int) -> Callable[[str], str]:
    """Return what names a row by its id, with this version of the key."""
    secrets = {one.version: one.key for one in ground.blobs.keyring.secrets.every(tenant_id, _PURPOSE)}
    return lambda row_id: hmac.digest(secrets[key], row_id.encode("utf-8", "surrogatepass"), "sha256")[:16].hex()
