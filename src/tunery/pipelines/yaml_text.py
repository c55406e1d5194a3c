"""A recipe's YAML as plain data."""

from __future__ import annotations

from typing import Any

from tunery.errors import RecipeInvalid
from tunery.kit import yaml_text

__all__ = ["parse_yaml"]


def parse_yaml(text: str) -> dict[str, Any]:
    """Return the mapping that the text holds; values are plain JSON. Raises: RecipeInvalid: names line and column."""
    try:
        return yaml_text.parse_yaml(text, "a recipe")
    except yaml_text.YamlFault as fault:
        raise RecipeInvalid(str(fault), faults=[{"path": fault.where, "message": fault.message}]) from fault
