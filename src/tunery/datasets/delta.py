"""Versions of a dataset as versions of one Delta table on local disk.

    <table>/<import id>-00000.parquet    rows of one import, in the file's order; written and fsynced before the commit
    <table>/_delta_log/                  the commits; each replaces the table's rows, older ones stay readable by number

The Parquet files are written here and only the commit is left to ``deltalake``: its own writer deals rows out to
several files at once and so loses their order. A commit carries the import's id, as application transaction and in its
metadata: when a crash struck between the commit and the SQL row that records it, the repeated import finds its commit
and takes it up. A commit that nobody takes up stays unseen, for readers ask for the number that SQL records.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunery.errors import IntegrityError
from tunery.kit.digests import canonical_json, sha256_bytes

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["StoredRow", "Written", "digest_of", "read_rows", "write_version"]

_BATCH_ROWS = 4096
_BATCH_BYTES = 16 * 2**20
_FILE_BYTES = 256 * 2**20
_IMPORT = "tunery.import"


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of a dataset version: its id, the split it belongs to, its source line, its columns as canonical JSON."""

    row_id: str
    split: str
    line: int
    content: str

    @property
    def values(self) -> dict[str, Any]:
        """The row's columns."""
        values: dict[str, Any] = json.loads(self.content)
        return values


@dataclass(frozen=True)
class Written:
    """A version in the table.

    Attributes:
        number: The Delta version.
        digest: SHA-256 over its sorted pairs of row id and row hash.
        rows: Number of rows by split.
        size_bytes: Bytes of its Parquet files.
    """

    number: int
    digest: str
    rows: dict[str, int]
    size_bytes: int


def digest_of(rows: Iterable[StoredRow]) -> str:
    """Return a version's digest: SHA-256 over sorted lines ``[row id, SHA-256 of the row]``; order is nothing."""
    lines = sorted(canonical_json([row.row_id, sha256_bytes(row.content.encode())]) for row in rows)
    hasher = hashlib.sha256()
    for line in lines:
        hasher.update(line + b"\n")
    return hasher.hexdigest()


def write_version(table: Path, rows: Iterable[StoredRow], import_id: str) -> Written:
    """Write rows as a new version, all or nothing. The same import again returns the version that it wrote before.

    One writer at a time works on a table; others wait.

    Args:
        table: Folder of the table; made if it is not there.
        rows: All rows of the version, in order.
        import_id: Id of the import, ``[A-Za-z0-9-]``.
    """
    table.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _lock(table):
        number = _find(table, import_id)
        if number is None:
            number = _commit(table, import_id, list(_write_files(table, rows, import_id)))
    return _describe(table, number)


def read_rows(
    table: Path, number: int, *, split: str | None = None, offset: int = 0, limit: int | None = None
) -> Iterator[StoredRow]:
    """Yield the rows of a version in the order of their import, one batch in memory at a time.

    Args:
        table: Folder of the table.
        number: The Delta version, as SQL records it.
        split: Only rows of this split.
        offset: Rows (of the split) to pass over.
        limit: Most rows to yield; none for all.

    Raises:
        IntegrityError: The version or a file of it is missing or damaged.
    """
    left = limit
    for batch in _batches(table, number):
        found = batch.to_pylist()
        if split is not None:
            found = [row for row in found if row["split"] == split]
        kept = found[offset : None if left is None else offset + left]
        offset = max(0, offset - len(found))
        for row in kept:
            yield StoredRow(row["row_id"], row["split"], row["line"], row["row"])
        if left is not None:
            left -= len(kept)
            if left <= 0:
                return


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    types = {"row_id": text, "split": text, "line": number, "position": number, "row": text}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def _write_files(table: Path, rows: Iterable[StoredRow], import_id: str) -> Iterator[tuple[Path, int, int]]:
    """Write the rows to files; yield each one's path, first position and number of rows."""
    import pyarrow.parquet as pq

    for leftover in table.glob(f"{import_id}-*.parquet"):
        leftover.unlink()
    batches = _to_batches(rows)
    batch = next(batches, None)
    count = position = 0
    while batch is not None:
        path, first = table / f"{import_id}-{count:05d}.parquet", position
        with path.open("xb") as file:
            with pq.ParquetWriter(file, _schema(), compression="zstd") as writer:
                while batch is not None:
                    writer.write_batch(_with_position(batch, position))
                    position += batch.num_rows
                    batch = next(batches, None)
                    if file.tell() >= _FILE_BYTES:
                        break
            file.flush()
            os.fsync(file.fileno())
        yield path, first, position - first
        count += 1


def _to_batches(rows: Iterable[StoredRow]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    schema = _schema().remove(_schema().get_field_index("position"))
    held: list[StoredRow] = []
    size = 0

    def batch() -> pa.RecordBatch:
        columns = [[r.row_id for r in held], [r.split for r in held], [r.line for r in held], [r.content for r in held]]
        return pa.record_batch([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)

    for row in rows:
        held.append(row)
        size += len(row.content)
        if len(held) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch()
            held, size = [], 0
    if held:
        yield batch()


def _with_position(batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
    import pyarrow as pa

    schema = _schema()
    positions = pa.array(range(start, start + batch.num_rows), pa.int64())
    columns = [positions if name == "position" else batch.column(name) for name in schema.names]
    return pa.record_batch(columns, schema=schema)


def _commit(table: Path, import_id: str, files: list[tuple[Path, int, int]]) -> int:
    from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
    from deltalake.transaction import AddAction, RemoveAction

    # Delta by default forgets log entries after 30 days, and with them the versions; ours are kept.
    keep = {"delta.enableExpiredLogCleanup": "false"}
    DeltaTable.create(table, _schema(), mode="ignore", configuration=keep)
    actions: list[AddAction | RemoveAction] = [
        AddAction(path.name, path.stat().st_size, {}, int(time.time() * 1000), True, _statistics(first, count))
        for path, first, count in files
    ]
    DeltaTable(table).create_write_transaction(
        actions,
        mode="overwrite",
        schema=_schema(),
        commit_properties=CommitProperties(
            custom_metadata={_IMPORT: import_id}, app_transactions=[Transaction(f"{_IMPORT}.{import_id}", 1)]
        ),
        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
    )
    number = _find(table, import_id)
    written = {path.name for path, _, _ in files}
    if number is None or {Path(uri).name for uri in _open(table, number).file_uris()} != written:
        raise IntegrityError("the commit to the dataset's table cannot be found or holds other files; import again")
    return number


def _statistics(first: int, count: int) -> str:
    """Return a file's statistics. Source: Delta transaction log protocol, "Per-file Statistics"."""
    bounds = {"minValues": {"position": first}, "maxValues": {"position": first + count - 1}}
    return json.dumps({"numRecords": count, **bounds, "nullCount": {"position": 0}})


def _find(table: Path, import_id: str) -> int | None:
    """Return the version that an import committed, made durable, or None."""
    from deltalake import DeltaTable

    if not DeltaTable.is_deltatable(str(table)):
        return None
    current = DeltaTable(table)
    if current.transaction_version(f"{_IMPORT}.{import_id}") is None:
        return None
    for entry in current.history():
        if entry.get(_IMPORT) == import_id:
            _sync(table)
            return int(entry["version"])
    return None


def _sync(table: Path) -> None:
    """Make the newest commits durable: ``deltalake`` itself does not fsync."""
    newest = sorted((table / "_delta_log").iterdir())[-3:]
    for path in (*newest, table / "_delta_log", table):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _describe(table: Path, number: int) -> Written:
    counts: Counter[str] = Counter()

    def counted() -> Iterator[StoredRow]:
        for row in read_rows(table, number):
            counts[row.split] += 1
            yield row

    digest = digest_of(counted())
    size = sum(os.path.getsize(table / name) for name in _file_names(table, number))
    return Written(number, digest, dict(counts), size)


def _open(table: Path, number: int) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(table, version=number)
    except (DeltaError, OSError) as error:
        raise IntegrityError(
            f"version {number} of the dataset's table cannot be opened; restore the folder {table.name} from a backup"
        ) from error


def _file_names(table: Path, number: int) -> list[str]:
    """Return the files of a version in the order of their rows."""
    import pyarrow as pa

    actions = pa.table(_open(table, number).get_add_actions(flatten=True)).to_pylist()
    return [action["path"] for action in sorted(actions, key=lambda action: action["min.position"])]


def _batches(table: Path, number: int) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in _file_names(table, number):
        try:
            with pq.ParquetFile(table / name) as file:
                yield from file.iter_batches(_BATCH_ROWS)
        except (OSError, pa.ArrowException) as error:
            raise IntegrityError(
                f"the dataset file {name} is missing or damaged; restore it from a backup. Its version was not used"
            ) from error


@contextmanager
def _lock(table: Path) -> Iterator[None]:
    """Let one writer at a time work on a table: two overwriting commits at once would leave both one's rows."""
    with (table / "_writer.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
