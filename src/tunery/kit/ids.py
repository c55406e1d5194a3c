"""Identifiers that sort by the time of their making."""

from __future__ import annotations

import os
import time
import uuid

__all__ = ["new_id", "parse_id"]


def new_id() -> str:
    """Return a fresh UUIDv7 as text (36 characters). Source: RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & ((1 << 48) - 1)) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def parse_id(text: str) -> str | None:
    """Return the canonical form of an identifier, or None if the text is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
