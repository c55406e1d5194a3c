"""The certificate of an erasure: what was reached and what was not, signed with the tenant's key."""

from __future__ import annotations

import json
from typing import Any

from tunery import audit
from tunery.errors import NotFound
from tunery.kit.clock import now
from tunery.kit.digests import canonical_json
from tunery.platform.ground import Ground
from tunery.platform.jobs import JobContext
from tunery.registry.operations.keys import signing_key
from tunery.registry.signing import seal_statement
from tunery.subjects.tables import Erasure
from tunery.subjects.tracing import not_indexed

__all__ = ["PREDICATE_TYPE", "certify", "read_certificate"]

PREDICATE_TYPE = "urn:tunery:erasure-certificate:1"

_NOT_REACHED = [
    "Copies that people took, and rows that they read (under reached.copies): tell them, they are named with the time.",
    "Models on hold (under reached.models): their weights are as they were until a person decides.",
    "Names and whatever the detectors do not find: rows are found by the identifiers in them alone.",
    "Rows that came with a pseudonym or a hash in place of the identifier, such as an export that was imported again.",
    "Bytes of imports and changes that were given up, until the store collects them.",
    "Rows that no import looked at for people (under notIndexed, versions that hold any).",
    "Models whose files somebody brought by hand: where they came from is not known here.",
    "Row ids that are made of a key column stay in the records of runs and evaluations.",
    "Lines of source files that are no rows, behind their first 1,000 characters.",
    "Masked samples and ids of a few rows, in the records of sanitising steps and in reports; names of columns.",
    "Answers that are kept for a while so that a call can be repeated (TUNERY_IDEMPOTENCY_SECONDS).",
    "Working folders on other machines of runs and imports that were not finished.",
    "What the Hub's client keeps on other machines, as chunks (HF_XET_CACHE), or of what was fetched and not imported.",
]


def certify(context: JobContext, erasure_id: str, left: int) -> Erasure:
    """Sign what an erasure did.

    Args:
        context: Its job.
        erasure_id: Which one.
        left: Rows that a search by the same identifiers still finds; 0 where nothing was spared.
    """
    with context.session() as session:
        erasure = session.get_one(Erasure, erasure_id)
        predicate = {
            "schema": 1,
            "erasure": erasure.id,
            "reason": erasure.reason,
            "orderedBy": erasure.created_by,
            "certifiedAt": now().isoformat(),
            "reached": erasure.reached,
            "foundAgain": left,
            "backups": "The keys of the destroyed packs are gone, so no copy of them in a backup can be read.",
            "notReached": _NOT_REACHED,
            "notIndexed": not_indexed(session),
        }
        subjects = {each["version"]: each["digest"] for each in erasure.reached["versions"]}
        envelope = seal_statement(subjects, PREDICATE_TYPE, predicate, signing_key(session, context.ground))
    blob = context.ground.blobs.put(context.tenant_id, canonical_json(envelope), "application/vnd.dsse+json")
    with context.session() as session:
        erasure = session.get_one(Erasure, erasure_id)
        erasure.certificate_digest, erasure.certified_at, erasure.status = blob.digest, now(), "certified"
        erasure.reached = erasure.reached | {"foundAgain": left}
        told = {"certificate": blob.digest, "spared": erasure.reached["destruction"]["spared"]}
        audit.record(session, context.actor, "subject_erased", f"erasures/{erasure.id}", **told)
    return erasure


def read_certificate(ground: Ground, erasure: Erasure) -> dict[str, Any]:
    """Return the signed envelope. Raises: NotFound: the erasure is not at its end yet."""
    if erasure.certificate_digest is None:
        raise NotFound(f"erasure {erasure.id} has no certificate yet; its job goes on")
    envelope: dict[str, Any] = json.loads(ground.blobs.read(erasure.tenant_id, erasure.certificate_digest))
    return envelope
