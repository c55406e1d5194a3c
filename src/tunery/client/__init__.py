"""The SDK: one module a noun, over one transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunery.client.client import Client
    from tunery.client.registry import ModelRegistry

__all__ = ["Client", "ModelRegistry"]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from tunery.client.client import Client

        return Client
    if name == "ModelRegistry":
        from tunery.client.registry import ModelRegistry

        return ModelRegistry
    raise AttributeError(f"module 'tunery.client' has no attribute {name!r}")
