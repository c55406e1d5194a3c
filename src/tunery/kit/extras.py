"""Optional heavy libraries: import them late, and say how to install them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from tunery.errors import MissingExtra

__all__ = ["require"]


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module. Raises: MissingExtra: with the line that installs it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name and module.split(".")[0] != missing.name.split(".")[0]:
            raise
        raise MissingExtra(f'this needs {module}; install it with: pip install "tunery[{extra}]"') from missing
