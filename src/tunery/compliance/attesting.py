"""Attestations: what a person answers for."""

from __future__ import annotations

import sqlalchemy as sa

from tunery import audit
from tunery.compliance.closing import IN_WORDS
from tunery.compliance.ports import RULES
from tunery.compliance.schemas import AttestationView, AttestationWish
from tunery.compliance.tables import Attestation
from tunery.datasets.operations import resolve_version
from tunery.datasets.tables import DatasetVersion
from tunery.errors import InvalidInput, NotFound
from tunery.kit.actor import Actor
from tunery.kit.clock import now
from tunery.kit.digests import check_digest
from tunery.platform.blobs.references import hold_files
from tunery.platform.db import Page, TenantSession, page_of, row_of
from tunery.platform.ground import Ground

__all__ = ["attest", "attestation_view", "list_attestations", "withdraw_attestation"]


def attest(session: TenantSession, ground: Ground, actor: Actor, wish: AttestationWish) -> Attestation:
    """Write down a person's word on a rule.

    Raises:
        NotFound: No such rule, dataset, source or document. InvalidInput: the tool alone decides this rule, or the
            rule asks for more than was given.
    """
    _check(wish)
    if wish.document_digest:  # before the session is in use: claiming has a transaction of its own
        ground.blobs.claim(actor.tenant_id, check_digest(wish.document_digest))
    version = resolve_version(session, wish.dataset) if wish.dataset else None
    if wish.source_digest:
        _check_source(session, wish.source_digest)
    if wish.document_digest:
        hold_files(session, [wish.document_digest])
    row = Attestation(
        rule=wish.rule,
        dataset_version_id=version.id if version else None,
        dataset_reference=version.reference if version else None,
        source_digest=wish.source_digest,
        statement=wish.statement,
        document_digest=wish.document_digest,
        until=wish.until,
        created_by=actor.name,
    )
    session.add(row)
    session.flush()
    what = version.reference if version else f"sources/{wish.source_digest}"
    audit.record(session, actor, "compliance_attested", what, rule=row.rule, attestation=row.id)
    return row


def withdraw_attestation(session: TenantSession, actor: Actor, attestation_id: str) -> Attestation:
    """Take a person's word back; repeating it changes nothing. Raises: NotFound."""
    hint = "`tunery compliance attestations` lists them"
    row = row_of(session, Attestation, attestation_id, "attestation", hint)
    if row.withdrawn_at is None:
        row.withdrawn_by, row.withdrawn_at = actor.name, now()
        what = row.dataset_reference or f"sources/{row.source_digest}"
        audit.record(session, actor, "compliance_attestation_withdrawn", what, rule=row.rule, attestation=row.id)
    return row


def list_attestations(
    session: TenantSession, dataset: str | None = None, limit: int = 50, offset: int = 0
) -> Page[Attestation]:
    """Return attestations, the newest first; those of a dataset version and its sources where one is named."""
    statement = sa.select(Attestation)
    if dataset is not None:
        version = resolve_version(session, dataset)
        sources = [source["digest"] for source in version.provenance["sources"]]
        statement = statement.where(
            (Attestation.dataset_version_id == version.id) | Attestation.source_digest.in_(sources)
        )
    return page_of(session, statement.order_by(Attestation.id.desc()), limit, offset)


def attestation_view(row: Attestation) -> AttestationView:
    """Return an attestation in its shape."""
    counts = row.withdrawn_at is None and (row.until is None or row.until > now())
    own = {name: getattr(row, name) for name in AttestationView.model_fields if name != "counts"}
    return AttestationView(**own, counts=counts)


def _check(wish: AttestationWish) -> None:
    rule = RULES.get(wish.rule)
    if not rule.attestable:
        raise InvalidInput(f"{wish.rule} is decided by what the tool finds; nobody can attest it")
    if (wish.dataset is None) == (wish.source_digest is None):
        raise InvalidInput("an attestation is of a dataset version or of a source file: name one of them")
    if rule.document and not wish.document_digest:
        raise InvalidInput(f"{wish.rule} asks for a document; upload it and name its digest")
    if rule.until and wish.until is None:
        raise InvalidInput(f"{wish.rule} asks until when it holds")
    if wish.until is not None and (wish.until.tzinfo is None or wish.until <= now()):
        raise InvalidInput("until must lie ahead and name its zone, such as 2027-11-20T00:00:00Z")
    if IN_WORDS in wish.statement:
        raise InvalidInput(f"say what you attest in the place of {IN_WORDS}")
    if rule.words and not wish.statement.strip().lower().startswith(rule.words):
        raise InvalidInput(f"the statement for {wish.rule} begins with one of: {', '.join(rule.words)}")


def _check_source(session: TenantSession, digest: str) -> None:
    known = sa.select(DatasetVersion.id).where(DatasetVersion.source_digest == check_digest(digest)).limit(1)
    if session.scalar(known) is None:
        raise NotFound(f"no dataset version was made of a file {digest}")
