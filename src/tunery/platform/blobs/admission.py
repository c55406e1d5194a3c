"""Who may say no before bytes become visible, in the very transaction that makes them so."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from tunery.plugins import Registry

__all__ = ["ADMISSIONS", "Admission"]

Admission = Callable[[Session, int, "str | None"], None]
"""Gets the session, the bytes of the packs that come, and the reservation under which they come; raises to refuse."""

ADMISSIONS: Registry[Admission] = Registry("admission", builtins=("tunery.storage.quotas",))
