"""Use cases of the registry."""

from tunery.registry.operations.checkout import checkout_version, verify_version
from tunery.registry.operations.keys import public_key, signing_key
from tunery.registry.operations.lifecycle import delete_version, move_stage, record_scores, update_model, update_version
from tunery.registry.operations.lookup import (
    get_model,
    list_models,
    list_versions,
    public_key_of,
    resolve_version,
    use_version,
)
from tunery.registry.operations.register import Prepared, prepare_version, register_version

__all__ = [
    "Prepared",
    "checkout_version",
    "delete_version",
    "get_model",
    "list_models",
    "list_versions",
    "move_stage",
    "prepare_version",
    "public_key",
    "public_key_of",
    "record_scores",
    "register_version",
    "resolve_version",
    "signing_key",
    "update_model",
    "update_version",
    "use_version",
    "verify_version",
]
