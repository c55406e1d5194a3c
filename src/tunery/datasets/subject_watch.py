"""Looks at every row of an import before anything is done to it: whom it is about, and who is to stay forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tunery.datasets.formats import Aside, Malformed
from tunery.datasets.identifiers import (
    FORGOTTEN,
    PURPOSE,
    SPELLINGS,
    Identifier,
    Identifiers,
    entries_of,
    named_anywhere,
)
from tunery.datasets.sanitize.redact_pii import RedactPii
from tunery.datasets.schemas import ImportOptions
from tunery.datasets.tables import ForgottenSubject
from tunery.datasets.versions.subject_index import Records
from tunery.errors import StaleState
from tunery.platform.blobs.tenant_secrets import TenantSecret
from tunery.platform.db import TenantSession
from tunery.platform.ground import Ground

__all__ = ["SubjectWatch"]

_WITHHELD = "(withheld: it names a person whose data was erased)"


class SubjectWatch:
    """What one import learns about people.

    Args:
        identifiers: Finds whom a row is about.
        secret: The key of the subject index; None: the rows go into none.
        forgotten: Keys of the list of the forgotten.
        listed: That list's entries.
        folder: Where entries lie that are too many for memory; none: the system's folder for temporary files.

    Attributes:
        entries: Records of the source's subject index: entries, and the lines that they lead to.
        passed_over: Rows that were left out, for they name someone who was erased.
        withheld: Pieces that are no rows whose text was withheld for the same reason.
    """

    def __init__(
        self,
        identifiers: Identifiers | None = None,
        secret: TenantSecret | None = None,
        forgotten: Sequence[TenantSecret] = (),
        listed: set[bytes] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.entries = Records(folder)
        self.passed_over = self.withheld = 0
        self._identifiers = identifiers or Identifiers()
        self._secret = secret
        self._forgotten = forgotten
        self._listed = listed or set()
        self._folder = folder

    @classmethod
    def of_import(cls, ground: Ground, tenant_id: str, options: ImportOptions) -> SubjectWatch:
        """Return the watch for a tenant's import: its declared columns, and its own formats, name people too."""
        with ground.database.session(tenant_id, read_only=True) as session:
            listed = _listed(session)
        secrets = ground.blobs.keyring.secrets
        secret = secrets.newest(tenant_id, PURPOSE) if options.subject_index else None
        forgotten = secrets.every(tenant_id, FORGOTTEN) if listed else ()
        steps = tuple(step for step in options.sanitize if isinstance(step, RedactPii))
        identifiers = Identifiers(options.subject_columns, steps)
        return cls(identifiers, secret, forgotten, listed, ground.settings.folder("scratch"))

    def blank(self) -> SubjectWatch:
        """Return one that looks for the same people and has seen no row."""
        return SubjectWatch(self._identifiers, self._secret, self._forgotten, self._listed, self._folder)

    def add(self, passed_over: int, entries: bytes) -> None:
        """Add what another has seen."""
        self.passed_over += passed_over
        self.entries.extend(entries)

    def check_current(self, session: TenantSession) -> None:
        """Raise StaleState if somebody was erased since the watch began: what it let in has to be looked at anew."""
        if self._listed != _listed(session):
            raise StaleState("somebody was erased while rows were imported; import again")

    def row(self, values: dict[str, Any], line: int) -> str | None:
        """Note a row; return its entries in hex, one behind the other, or None if it is to be left out."""
        if not self._looks:
            return ""
        found = self._identifiers.in_row(values)
        if self._forgot_row(found, values):
            self.passed_over += 1
            return None
        return b"".join(self._noted(found, line)).hex() if found else ""

    def refused(self, row: Malformed) -> Malformed:
        """Note a piece that is no row, as far as its text is kept; of one about the forgotten no text is."""
        found = self._identifiers.in_text(row.text) if self._looks else set()
        if self._forgot(found):
            self.withheld += 1
            return row._replace(text=_WITHHELD)
        self._noted(found, row.line)
        return row

    def aside(self, aside: Aside) -> None:
        """Note what of the source becomes no row."""
        if self._looks:
            found = self._identifiers.in_row(aside.values)
            self.withheld += self._forgot_row(found, aside.values)
            self._noted(found, aside.line)

    @property
    def _looks(self) -> bool:
        return bool(self._listed) or self._secret is not None

    def _forgot(self, found: set[Identifier]) -> bool:
        return bool(self._listed) and not self._listed.isdisjoint(entries_of(found, self._forgotten, SPELLINGS))

    def _forgot_row(self, found: set[Identifier], values: dict[str, Any]) -> bool:
        """Tell whether a row names someone who was erased, in a column that was declared then or by a format."""
        return bool(self._listed) and self._forgot(found | named_anywhere(values))

    def _noted(self, found: set[Identifier], line: int) -> list[bytes]:
        entries = entries_of(found, [self._secret]) if self._secret else []
        self.entries.add(entries, line)
        return entries


def _listed(session: TenantSession) -> set[bytes]:
    return {bytes.fromhex(entry) for entry in session.scalars(sa.select(ForgottenSubject.entry))}
