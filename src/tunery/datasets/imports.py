"""Import an uploaded file as a new version: rows into the store first, then visible in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
import sqlalchemy.exc

from tunery.datasets.build import Built, Standing, Watch, build_rows
from tunery.datasets.formats import guess_format
from tunery.datasets.licensing.expressions import license_of_card
from tunery.datasets.operations import resolve_version
from tunery.datasets.origins import Account, Origin
from tunery.datasets.provenance import record_of_import
from tunery.datasets.quarantine import Quarantine
from tunery.datasets.references import TenantSources
from tunery.datasets.shapes import Shape, input_of
from tunery.datasets.sources.hub import clear_hub_cache
from tunery.datasets.sources.obtaining import obtain_source
from tunery.datasets.splits import Split
from tunery.datasets.subject_watch import SubjectWatch
from tunery.datasets.tables import ERASED, Dataset, DatasetFile, DatasetVersion
from tunery.datasets.tokens import count_tokens
from tunery.datasets.versions.contents import batches_of, files_of, read_rows
from tunery.datasets.versions.recording import Change, record_version, while_it_stands
from tunery.datasets.versions.rewriting import after, replace_rows
from tunery.datasets.versions.successors import last_of
from tunery.datasets.versions.writing import put_index, put_rows, write_version
from tunery.datasets.views import DatasetFetch, DatasetImport
from tunery.errors import InvalidInput, StaleState
from tunery.kit.digests import sha256_json
from tunery.kit.ids import new_id
from tunery.kit.references import check_name
from tunery.lineage.operations import Node
from tunery.platform.db import TenantSession
from tunery.platform.housekeeping import scratch_folder
from tunery.platform.jobs import JobContext
from tunery.platform.jobs.context import LeaseLost

__all__ = ["execute_fetch", "execute_import"]

_SET_ASIDE = "quarantine.jsonl"
_WATCH_EVERY = 1000
_TRIES = 5


def execute_import(
    context: JobContext, wish: DatasetImport, details: Mapping[str, Any] | None = None, *, any_standing: bool = False
) -> DatasetVersion:
    """Import a file and return the version; where the newest is of the same file, options and origin, return that.

    Args:
        context: The job's.
        wish: The file, and how it is imported.
        details: What else the provenance record keeps of the source, such as a commit; plain JSON.
        any_standing: Whether an older version that this file made will do, though another is the newest.

    Raises:
        NotFound: The file was never uploaded. RowInvalid, FormatInvalid, TooLarge, InvalidInput: nothing is visible.
        Cancelled: repeating it goes on.
    """
    if wish.mode == "merge" and wish.options.key is None:
        raise InvalidInput("mode: merge needs key, the column by which a row is found that gives way to a new one")
    for left in reversed(range(_TRIES)):
        try:
            return _import(context, wish, details, any_standing)
        except LeaseLost:
            raise
        except StaleState:
            if not left:
                raise
    raise AssertionError


def execute_fetch(context: JobContext, wish: DatasetFetch, *, any_standing: bool = False) -> DatasetVersion:
    """Fetch a source into the store and import it as ``execute_import`` does; what the Hub's cache has is not fetched.

    Raises: as ``obtain_source`` and ``execute_import``.
    """
    found = obtain_source(context, wish.source, wish.options)
    said = {name: getattr(wish, name) for name in ("name", "mode", *Account.model_fields)}
    said["options"] = found.read_with(wish.options)
    said["license"] = wish.license or license_of_card(found.license)
    said["source_type"] = wish.source_type or wish.source.source
    file = DatasetImport(**said, file_digest=found.digest, file_name=found.file_name, url=found.url)
    version = execute_import(context, file, found.details, any_standing=any_standing)
    if version.source_digest is None:  # someone is in the file who was erased
        clear_hub_cache(context.ground, context.tenant_id, version.provenance["sources"])
    return version


def _import(
    context: JobContext, wish: DatasetImport, details: Mapping[str, Any] | None, any_standing: bool
) -> DatasetVersion:
    options = wish.options.model_dump(mode="json")
    key = {"file": wish.file_digest, "format": _format(wish), "options": options}
    said = Origin.model_validate(wish, from_attributes=True).model_dump(mode="json")
    same = sha256_json(key | ({"origin": said} if wish.mode == "replace" else {"mode": wish.mode}))[:20]
    with context.session() as session:
        dataset = _dataset(session, context, wish)
        if (done := _done(session, context, dataset, same, any_standing)) is not None:
            return done
        stands = wish.mode != "replace" and dataset.current_version
        parent = resolve_version(session, dataset.name) if stands else None
        standing = files_of(session, parent) if parent else []
    # A worker that was taken over may still be at it, so each attempt has a folder of its own.
    with while_it_stands(context.ground, parent), scratch_folder(context.ground.settings, "import") as scratch:
        subjects = SubjectWatch.of_import(context.ground, context.tenant_id, wish.options)
        built = _build(context, wish, standing, _standing(context, wish, parent, standing), subjects, scratch)
        files = _files(context, dataset.id, wish, standing, built, scratch)
        written = write_version(context.ground, context.tenant_id, dataset.id, files)
        columns = {
            "shape": built.shape,
            **_source(context, wish, subjects),
            "quarantine_digest": _keep_quarantine(context, built, scratch / _SET_ASIDE),
            "quarantined": built.quarantined,
            "options": options,
            "provenance": record_of_import(wish, built, parent, details),
            "total_tokens": _tokens(context, wish, files, built.shape, scratch),
        }
    source = Node("source", wish.file_digest, wish.file_name, wish.file_digest)
    kind = "import" if wish.mode == "replace" else wish.mode
    with context.session() as session:
        dataset = _dataset(session, context, wish)
        session.refresh(dataset, with_for_update=True)
        if (done := _done(session, context, dataset, same, any_standing)) is not None:
            return done
        change = Change(kind, f"{same}-{context.job_id}", parent, source, columns)
        version = record_version(session, context.actor, dataset, written, change)
        subjects.check_current(session)  # last: all locks are waited for
        return version


def _standing(
    context: JobContext, wish: DatasetImport, parent: DatasetVersion | None, files: list[DatasetFile]
) -> Standing:
    if parent is None:
        return Standing()
    splits: dict[str, Split] = {}
    inputs: dict[str, str] = {}
    shape, replaced = cast("Shape", parent.shape), wish.mode == "merge"
    held_out = any(count for split, count in parent.rows.items() if split != "train")
    options = wish.options
    if not (held_out or options.validation_split or options.test_split or options.split_column):  # nobody compares them
        for batch in batches_of(context.ground, context.tenant_id, files, ["row_id"]):
            for row_id in batch["row_id"].to_pylist():
                splits[row_id] = "train"
        return Standing(splits, shape=shape, replaced=replaced)
    for row in read_rows(context.ground, parent):
        splits[row.row_id] = cast("Split", row.split)
        inputs[row.row_id] = input_of(shape, row.values)
    return Standing(splits, inputs, shape, replaced)


def _files(
    context: JobContext, dataset_id: str, wish: DatasetImport, standing: list[DatasetFile], built: Built, scratch: Path
) -> list[DatasetFile]:
    where = context.ground, context.tenant_id, dataset_id
    watch, indexed = _watch(context), wish.options.subject_index
    if wish.mode != "merge":
        return [*standing, *put_rows(*where, built.batches(watch), scratch, after(standing), indexed=indexed)]
    merged = built.by_id()
    kept, found = replace_rows(*where, standing, merged, scratch, indexed=indexed)
    new = (merged[row_id] for row_id in _watched(merged, watch) if row_id not in found)
    return [*kept, *put_rows(*where, new, scratch, after(kept), indexed=indexed)]


def _watched(row_ids: Iterable[str], watch: Watch) -> Iterator[str]:
    for number, row_id in enumerate(row_ids):
        if number % _WATCH_EVERY == 0:
            watch("write", number)
        yield row_id


def _build(
    context: JobContext,
    wish: DatasetImport,
    files: Sequence[DatasetFile],
    standing: Standing,
    subjects: SubjectWatch,
    scratch: Path,
) -> Built:
    ground = context.ground
    ground.blobs.checkout(context.tenant_id, wish.file_digest, scratch / "source")
    with (scratch / _SET_ASIDE).open("wb") as file:
        return build_rows(
            scratch / "source",
            _format(wish),
            wish.options,
            scratch=scratch,
            quarantine=Quarantine(wish.options.on_error, file),
            max_row_bytes=ground.settings.max_row_bytes,
            standing=standing,
            subjects=subjects,
            sources=TenantSources(ground, context.tenant_id, scratch, files if wish.mode == "append" else ()),
            watch=_watch(context),
        )


def _tokens(
    context: JobContext, wish: DatasetImport, files: list[DatasetFile], shape: Shape, scratch: Path
) -> int | None:
    if wish.options.tokenizer is None:
        return None
    sources = TenantSources(context.ground, context.tenant_id, scratch)
    return count_tokens(context.ground, context.tenant_id, files, shape, sources.tokenizer(wish.options.tokenizer))


def _watch(context: JobContext) -> Watch:
    def watch(stage: str, rows: int) -> None:
        context.check_cancelled()
        context.progress({"type": "importing", "stage": stage, "rows": rows}, always=False)

    return watch


def _format(wish: DatasetImport) -> str:
    return wish.options.format or guess_format(wish.file_name)


def _source(context: JobContext, wish: DatasetImport, subjects: SubjectWatch) -> dict[str, str | None]:
    """Name the source and its index; a file with someone in it who was erased is not kept again."""
    if subjects.passed_over or subjects.withheld:
        return {"source_digest": None, "source_subjects_digest": None}
    index = put_index(context.ground, context.tenant_id, subjects.entries)
    return {"source_digest": wish.file_digest, "source_subjects_digest": index}


def _keep_quarantine(context: JobContext, built: Built, path: Path) -> str | None:
    if not built.quarantined:
        return None
    return context.ground.blobs.put(context.tenant_id, path, "application/x-ndjson").digest


def _dataset(session: TenantSession, context: JobContext, wish: DatasetImport) -> Dataset:
    """Return the dataset; a new one is seen by nobody else before it has a version."""
    statement = sa.select(Dataset).where(Dataset.name == check_name(wish.name))
    row = session.scalars(statement).one_or_none()
    if row is not None:
        return row
    row = Dataset(id=new_id(), name=wish.name, description=wish.description, created_by=context.actor.name)
    try:
        with session.begin_nested():
            session.add(row)
    except sa.exc.IntegrityError:  # another import made it a moment ago
        return session.scalars(statement).one()
    return row


def _done(
    session: TenantSession, context: JobContext, dataset: Dataset, same: str, any_standing: bool
) -> DatasetVersion | None:
    """Return the version that this job made before a crash, or one of the same file and options that will do."""
    versions = sa.select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
    made = f"{same}-{context.job_id}"
    ours = session.scalars(versions.where(DatasetVersion.import_id.in_([made, f"{ERASED}{made}"]))).one_or_none()
    if ours is not None:
        return last_of(session, ours.id)
    like = versions.where(DatasetVersion.import_id.startswith(f"{same}-"))
    will_do = sa.true() if any_standing else DatasetVersion.version == dataset.current_version
    return session.scalars(like.where(will_do).order_by(DatasetVersion.version.desc()).limit(1)).first()
