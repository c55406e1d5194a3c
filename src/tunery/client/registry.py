"""``ModelRegistry``: the contract of R4, over a client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunery.client.client import Client
from tunery.client.downloads import fetch_version
from tunery.errors import InvalidInput

__all__ = ["ModelRegistry"]

_KEYS = {"url", "token", "home"}


class ModelRegistry:
    """Register, fetch and list models.

    Args:
        config_path: A JSON file with any of ``url``, ``token`` and ``home``; none takes the settings.

    Raises:
        InvalidInput: The file is no JSON object, or holds other keys.
    """

    def __init__(self, config_path: str | Path | None = None) -> None:
        self._client = Client(**(_read(Path(config_path)) if config_path else {}))

    def register_model(self, name: str, model_path: str, version: str, metadata: dict[str, Any]) -> str:
        """Register a folder of files as a version; return its reference.

        Args:
            name: The model; it is made if it is new.
            model_path: A folder, or one file.
            version: MAJOR.MINOR.PATCH.
            metadata: Plain JSON. Of it, ``base_model`` names the registered base of an adapter.
        """
        base = metadata.get("base_model")
        made = self._client.models.register(
            name, model_path, version=version, base_reference=str(base) if base else None, metadata=metadata
        )
        return made.reference

    def get_model(self, name: str, version: str) -> str:
        """Return a local folder with the version's files, downloaded if need be and always verified."""
        wanted = self._client.models.download(f"{name}:{version}")
        folder = self._client.settings.folder("cache", "pulled", wanted.manifest_digest)
        return str(fetch_version(self._client.transport, wanted, folder))

    def list_versions(self, name: str) -> list[str]:
        """Return a model's version numbers, the highest first."""
        return [row.version for row in self._client.models.versions(name)]

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def _read(path: Path) -> dict[str, str]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}") from error
    if not isinstance(config, dict) or not config.keys() <= _KEYS:
        raise InvalidInput(f"{path} must be a JSON object with no other keys than {', '.join(sorted(_KEYS))}")
    return {key: str(value) for key, value in config.items()}
