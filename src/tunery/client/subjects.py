"""Persons in the data: what saw their rows, and how these are erased."""

from __future__ import annotations

from typing import Any

from tunery.client.nouns import Noun, Page, view
from tunery.client.transport import path_of
from tunery.datasets.views import JobStarted
from tunery.subjects.schemas import Decision, EraseWish, ErasureView, HoldView, SubjectWish, Trace

__all__ = ["Subjects"]


class Subjects(Noun):
    """Whom rows are about. Identifiers are sent to be hashed, and kept nowhere."""

    def trace(self, identifier: str) -> Trace:
        """Show everything that saw a person's rows.

        Args:
            identifier: An e-mail address, a number, or what a declared subject column holds.
        """
        return view(Trace, self._send("POST", path_of("subjects", "trace"), SubjectWish(identifier=identifier)))

    def erase(self, identifier: str, *, reason: str = "") -> JobStarted:
        """Erase a person's rows for good; the job's result names the erasure.

        Args:
            identifier: As for ``trace``.
            reason: For the record, such as the request's number.
        """
        wish = EraseWish(identifier=identifier, reason=reason)
        return view(JobStarted, self._send("POST", path_of("subjects", "erase"), wish))

    def erasures(self, *, limit: int = 50, offset: int = 0) -> Page[ErasureView]:
        """List erasures, the newest first."""
        return self._page(ErasureView, path_of("subjects", "erasures"), limit=limit, offset=offset)

    def certificate(self, erasure_id: str) -> dict[str, Any]:
        """Show the signed certificate of an erasure, a DSSE envelope."""
        return dict(self._get(path_of("subjects", "erasures", erasure_id, "certificate")))

    def decide(self, erasure_id: str, version: str, decision: str, *, note: str) -> HoldView:
        """Decide what becomes of a model that learned from erased rows.

        Args:
            erasure_id: The erasure that put it on hold.
            version: The model version, such as ``chat:1.0.0``, or its id.
            decision: ``retrain``, ``retire`` or ``exception``.
            note: Why, for the record.
        """
        path = path_of("subjects", "erasures", erasure_id, "decision")
        wish = Decision.model_validate({"version": version, "decision": decision, "note": note})
        return view(HoldView, self._send("POST", path, wish))
