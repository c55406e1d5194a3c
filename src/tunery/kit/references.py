"""Names and references: ``tenant/name:version`` here, ``owner/name@revision`` on the Hugging Face Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tunery.errors import InvalidInput
from tunery.kit.ids import parse_id

__all__ = ["HUB_ID", "Reference", "check_name", "slug"]

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@(?=.{1,100}$)\w[\w.-]*(/\w[\w.-]*)*)?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,94}[a-z0-9])?")


@dataclass(frozen=True)
class Reference:
    """A parsed ``[tenant/]name[:version]``; ``version`` is a version number, a stage, or None for the newest."""

    name: str
    version: str | None = None
    tenant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Parse a reference. Raises: InvalidInput: a part is missing or has characters that names do not have."""
        head, _, version = text.partition(":")
        tenant, slash, name = head.rpartition("/")
        if slash:
            _check_form(tenant)
        if version and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}", version):
            raise InvalidInput(f"{version[:80]!r} is no version: write it like 1.2.0")
        return cls(_check_form(name), version or None, tenant or None)

    def __str__(self) -> str:
        return (f"{self.tenant}/" if self.tenant else "") + self.name + (f":{self.version}" if self.version else "")


def check_name(name: str) -> str:
    """Return the name if it is one. Raises: InvalidInput: names the rule (lower case, digits, ``. _ -``, 1-96 long)."""
    if parse_id(name) is not None:
        raise InvalidInput(f"{name!r} reads like an id; choose a name that cannot be taken for one")
    return _check_form(name)


def slug(text: str) -> str:
    """Return the nearest valid name, or an empty string where none is near."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:96].strip("-")


def _check_form(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidInput(
            f"{name[:80]!r} is no name: use 1-96 lower-case letters, digits, '.', '_' or '-', "
            f"beginning and ending with a letter or digit" + (f" (try {slug(name)!r})" if slug(name) else "")
        )
    return name
