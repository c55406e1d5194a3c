"""Roles and what they allow. The four roles are R2's; the rooms beyond models and adapters are fitted in."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from tunery.errors import InvalidInput

__all__ = ["ROLES", "hash_secret", "new_token", "permissions_of", "roles_with", "same_secret", "split_token"]

_READ = {
    "models:read", "adapters:read", "registry:search", "datasets:read", "runs:read", "jobs:read", "evaluations:read",
    "gates:read", "deployments:read", "compliance:read", "pipelines:read", "store:read", "tokens:own",
}  # fmt: skip

ROLES: dict[str, frozenset[str]] = {
    "viewer": frozenset(_READ),
    "model_developer": frozenset(
        _READ
        | {
            "models:create", "models:update", "models:delete_own", "adapters:create", "files:create",
            "datasets:create", "runs:create", "jobs:cancel", "evaluations:create", "pipelines:create", "inference:use",
            "compliance:create",
        }
    ),
    "ml_engineer": frozenset(
        _READ
        | {
            "models:deploy", "models:promote", "adapters:deploy", "files:create", "evaluations:create", "gates:create",
            "deployments:create", "deployments:delete", "jobs:cancel", "inference:use", "compliance:create",
        }
    ),
    "model_admin": frozenset(
        {
            "models:*", "adapters:*", "registry:*", "access_control:manage", "files:*", "datasets:*", "runs:*",
            "jobs:*", "evaluations:*", "gates:*", "deployments:*", "pipelines:*", "inference:*", "tokens:*", "store:*",
            "system:*", "subjects:*", "compliance:*",
        }
    ),
}  # fmt: skip
"""Permissions by role name."""

_TOKEN = re.compile(r"tnr_([0-9a-f]{24})_([A-Za-z0-9_-]{43})")


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """Return the union of what the roles allow. Raises: InvalidInput: a role is unknown."""
    granted: set[str] = set()
    for role in roles:
        if role not in ROLES:
            raise InvalidInput(f"there is no role {role!r}; use one of {', '.join(ROLES)}")
        granted |= ROLES[role]
    return frozenset(granted)


def roles_with(permission: str) -> list[str]:
    """Return the names of the roles that hold a permission."""
    every = f"{permission.split(':', 1)[0]}:*"
    return [role for role, granted in ROLES.items() if permission in granted or every in granted]


def new_token() -> tuple[str, str, str]:
    """Return a fresh token, its public part and the hash of its secret (256 random bits)."""
    key_id, secret = secrets.token_hex(12), secrets.token_urlsafe(32)
    return f"tnr_{key_id}_{secret}", key_id, hash_secret(secret)


def split_token(token: str) -> tuple[str, str] | None:
    """Return the public part and the secret, or None if this is no token of ours."""
    match = _TOKEN.fullmatch(token)
    return (match[1], match[2]) if match else None


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a token's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same_secret(secret: str, secret_hash: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)
