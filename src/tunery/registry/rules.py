"""Decisions of the registry: version numbers, stages, what may happen in each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tunery.errors import InvalidInput, Refused, UnsafeFormat

__all__ = ["STAGES", "TRANSITIONS", "check_allowed", "check_loadable", "check_move", "next_version", "version_key"]

STAGES: dict[str, frozenset[str]] = {
    "development": frozenset({"update", "delete", "test"}),
    "testing": frozenset({"test", "validate", "promote"}),
    "staging": frozenset({"promote", "rollback", "clone"}),
    "production": frozenset({"rollback", "clone", "archive"}),
    "deprecated": frozenset({"archive", "delete"}),
    "archived": frozenset({"restore", "delete"}),
}
"""Allowed operations by lifecycle stage. Source: R2, version_lifecycle.states."""

TRANSITIONS: dict[str, frozenset[str]] = {
    "development": frozenset({"testing", "deprecated"}),
    "testing": frozenset({"staging", "development", "deprecated"}),
    "staging": frozenset({"production", "testing", "deprecated"}),
    "production": frozenset({"deprecated", "archived"}),
    "deprecated": frozenset({"archived"}),
    "archived": frozenset(),
}
"""Moves of the stage. Source: R2, version_lifecycle.transitions; ``archived -> development`` there makes a new version
that points back (CHECKLIST A22.6), so it is no move of this one."""

_SEMANTIC = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})")


def version_key(version: str) -> tuple[int, int, int]:
    """Return MAJOR, MINOR, PATCH as numbers, for ordering. Raises: InvalidInput. Source: semver.org 2.0.0, item 2."""
    match = _SEMANTIC.fullmatch(version)
    if match is None:
        raise InvalidInput(f"{version[:64]!r} is no version: write MAJOR.MINOR.PATCH, such as 1.2.0")
    return int(match[1]), int(match[2]), int(match[3])


def next_version(existing: Iterable[str], change: Literal["major", "minor", "patch"]) -> str:
    """Return the version number that follows: 1.0.0 first, then by the size of the change (R2, versioning.rules)."""
    highest = max((version_key(v) for v in existing), default=None)
    if highest is None:
        return "1.0.0"
    major, minor, patch = highest
    return {
        "major": f"{major + 1}.0.0",
        "minor": f"{major}.{minor + 1}.0",
        "patch": f"{major}.{minor}.{patch + 1}",
    }[change]


def check_move(stage: str, to_stage: str) -> None:
    """Raise unless the stage may move there. Raises: InvalidInput: unknown stage; Refused: no such transition."""
    for name in (stage, to_stage):
        if name not in STAGES:
            raise InvalidInput(f"there is no stage {name!r}; stages are {', '.join(STAGES)}")
    if to_stage not in TRANSITIONS[stage]:
        allowed = ", ".join(sorted(TRANSITIONS[stage])) or "nowhere"
        raise Refused(f"a version in {stage} cannot move to {to_stage}; from there it may move to: {allowed}")


def check_allowed(stage: str, operation: str) -> None:
    """Raise unless the operation is allowed in the stage. Raises: Refused."""
    if operation not in STAGES[stage]:
        raise Refused(f"a version in {stage} does not allow {operation}; allowed: {', '.join(sorted(STAGES[stage]))}")


def check_loadable(reference: str, status: str, details: Mapping[str, Any]) -> None:
    """Raise unless a version may be loaded. Raises: UnsafeFormat: it is in quarantine; names a file that runs code."""
    if status == "quarantined":
        name, kind = next(iter(details["unsafe_files"].items()))
        raise UnsafeFormat(
            f"{reference} is kept in quarantine and never loaded: {name} is a {kind} file, which can run code then; "
            f"register it anew as safetensors",
            file=name,
            format=kind,
        )
