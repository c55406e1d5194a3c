"""The chat template and the context of a model folder, read without heavy libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunery.kit.digests import sha256_bytes
from tunery.weights.files import read_json_object

__all__ = ["chat_template", "model_context_length", "template_digest"]


def chat_template(model_dir: Path) -> str | None:
    """Return the Jinja chat template of a model folder, or None where it has none.

    Where a folder holds several templates, the one named ``default`` counts.

    Source: transformers' folder layout; ``chat_template.jinja`` is read before ``tokenizer_config.json``.
    """
    file = model_dir / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = _read_json(model_dir / "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template


def template_digest(model_dir: Path) -> str | None:
    """Return the SHA-256 of the folder's chat template (UTF-8), or None where it has none."""
    template = chat_template(model_dir)
    return None if template is None else sha256_bytes(template.encode())


def model_context_length(model_dir: Path) -> int | None:
    """Return the tokens of context that ``config.json`` states, or None where it does not say."""
    length = _read_json(model_dir / "config.json").get("max_position_embeddings")
    return length if isinstance(length, int) and length > 0 else None


def _read_json(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}
