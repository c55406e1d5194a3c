"""Whom the server's own Hub token and cache serve.

They serve the operator tenant, and others only where the setting ``hub_token_shared`` says so. What is gated would else
be anybody's: by the token, or by what it left in the cache.
"""

from __future__ import annotations

from tunery.identity.operations import is_operator
from tunery.platform.ground import Ground

__all__ = ["hub_environment"]


def hub_environment(ground: Ground, tenant_id: str) -> dict[str, str]:
    """Return the variables of the Hub's client; a tenant that may not use the token has a cache of its own, too."""
    found = {"HF_HUB_DISABLE_TELEMETRY": "1"} | ({"HF_HUB_OFFLINE": "1"} if ground.settings.offline else {})
    with ground.database.session(tenant_id, read_only=True) as session:
        if ground.settings.hub_token_shared or is_operator(session):
            return found
    own = ground.settings.folder("cache", "hub", tenant_id)
    folders = {"HF_HOME": own, "HF_HUB_CACHE": own / "hub", "HF_XET_CACHE": own / "xet", "HF_TOKEN_PATH": own / "token"}
    nobody = {"HF_TOKEN": "", "HUGGING_FACE_HUB_TOKEN": "", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    return found | nobody | {name: str(path) for name, path in folders.items()}
