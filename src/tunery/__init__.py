"""Tunery: the self-hosted workshop for fine-tuned language models. Public names load lazily; this never loads torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunery.client import Client

__all__ = ["Client", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "Client":
        from tunery.client import Client

        return Client
    raise AttributeError(f"module 'tunery' has no attribute {name!r}")
