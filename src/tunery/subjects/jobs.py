"""The durable job of an erasure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from tunery.datasets.sources.hub import clear_hub_cache
from tunery.datasets.tables import DatasetVersion
from tunery.errors import NotFound
from tunery.evaluation.runs import clear_evaluation
from tunery.evaluation.tables import Evaluation
from tunery.platform.blobs.destroying import Destroyed, destroy
from tunery.platform.blobs.index import in_parts
from tunery.platform.blobs.tables import BlobRow
from tunery.platform.housekeeping import clear_scratch
from tunery.platform.jobs import JobContext, job
from tunery.subjects.certificates import certify
from tunery.subjects.erasing import decide_erasure, hold_datasets
from tunery.subjects.tables import Erasure
from tunery.subjects.tracing import find_subject
from tunery.training.runs import clear_run
from tunery.training.tables import TrainingRun

__all__ = ["erase_subject"]

_ROUNDS = 3


@job("subjects.erase")
def erase_subject(context: JobContext, payload: dict[str, Any]) -> dict[str, Any]:
    """Erase the rows that the entries of the payload lead to; repeated after a crash it goes on."""
    entries = [bytes.fromhex(entry) for entry in payload["entries"]]
    with context.session() as session:
        standing = session.get(Erasure, context.job_id)
    if standing is None or standing.status != "certified":
        for _ in range(_ROUNDS):  # an import that had begun before brings its rows a moment later
            context.check_cancelled()
            erasure = decide_erasure(context, entries, payload["forgotten"], payload["reason"])
            _clear_folders(context, erasure)
            destroyed = _destroy(context, erasure.doomed)
            _note(context, destroyed, clear_hub_cache(context.ground, context.tenant_id, _sources(context, erasure)))
            if not (left := _left(context, entries)):
                break
        standing = certify(context, context.job_id, left)
    destruction = standing.reached["destruction"]
    return {
        "erasure": standing.id,
        "certificate": standing.certificate_digest,
        "spared": destruction["spared"],
    }


def _sources(context: JobContext, erasure: Erasure) -> list[dict[str, Any]]:
    """Return the sources that named the person, and those of the versions that held the rows."""
    versions, digests = {one["version"] for one in erasure.reached["versions"]}, {*erasure.reached["sources"]}
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        return [
            source
            for row in session.scalars(sa.select(DatasetVersion))
            for source in row.provenance.get("sources", [])
            if row.reference in versions or source["digest"] in digests
        ]


def _note(context: JobContext, destroyed: Destroyed, cached: list[str]) -> None:
    """Write down what was destroyed; what an attempt before a crash destroyed is told by what is not there any more."""
    with context.session() as session:
        erasure = session.get_one(Erasure, context.job_id)
        before = erasure.reached.get("destruction", {"packKeys": [], "lost": []})
        destruction: dict[str, Any] = {
            "files": sorted({*erasure.doomed} - {*destroyed.spared}),
            "packKeys": sorted({*before["packKeys"], *destroyed.pack_ids}),
            "lost": sorted({*before["lost"], *destroyed.lost}),
            "spared": destroyed.spared,
        }
        caches = sorted({*erasure.reached.get("hubCaches", []), *cached})
        erasure.reached = erasure.reached | {"destruction": destruction, "hubCaches": caches}
        erasure.status = "destroyed"


def _left(context: JobContext, entries: list[bytes]) -> int:
    with context.session() as session:
        hold_datasets(session)
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        found = find_subject(context.ground, session, entries)
    return len(found.rows) + sum(map(len, found.lines.values()))


def _clear_folders(context: JobContext, erasure: Erasure) -> None:
    """Remove the rows from working folders; who is at work there now does so in the end."""
    clear_scratch(context.ground.settings)
    with context.ground.database.session(context.tenant_id, read_only=True) as session:
        for one in erasure.reached["runs"]:
            if session.get_one(TrainingRun, one["id"]).status != "running":
                clear_run(context.ground, one["id"], "work", "rows")
        for one in erasure.reached["evaluations"]:
            if session.get_one(Evaluation, one["id"]).status != "running":
                clear_evaluation(context.ground, one["id"])


def _destroy(context: JobContext, digests: list[str]) -> Destroyed:
    """Destroy what is still there of these files."""
    while True:
        with context.ground.database.session(context.tenant_id, read_only=True) as session:
            present = (sa.select(BlobRow.digest).where(BlobRow.digest.in_(part)) for part in in_parts(digests))
            here = {digest for some in present for digest in session.scalars(some)}
        with suppress(NotFound):  # somebody else destroyed one at this moment
            return destroy(context.ground.blobs, context.tenant_id, here, lose_damaged=False)
