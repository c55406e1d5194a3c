"""The Delta log of a dataset: which files made up each of its versions.

    <table>/_delta_log/00000000000000000003.json

It holds no rows and no statistics of them. Files are named ``<sequence>-<sha256>.parquet``; ``sequence`` orders them.
Each commit turns what stands into all files of its version, so one that a crash left behind needs no repair: nobody
names it, for SQL records which commits count, and the next commit says anew what stands. A log that is lost is made
again from SQL. With its files laid beside it it is a table that any engine of Delta Lake reads, history and all.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tunery.datasets.versions.row_files import schema_of_rows
from tunery.errors import IntegrityError, Unavailable

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["DeltaLog", "LoggedFile"]

_CHANGE = "tunery.change"
_TRIES = 20


@dataclass(frozen=True, order=True)
class LoggedFile:
    """A file of rows as the log names it.

    Attributes:
        sequence: Its place among the files of its version.
        digest: SHA-256 of its bytes, by which the store has it.
        size_bytes: Its length.
    """

    sequence: int
    digest: str
    size_bytes: int

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"{self.sequence:08d}-{self.digest}.parquet"

    @classmethod
    def named(cls, name: str, size_bytes: int) -> LoggedFile:
        """Return the file that a name of the log means."""
        sequence, digest = name.removesuffix(".parquet").split("-")
        return cls(int(sequence), digest, size_bytes)


class DeltaLog:
    """The log of one table.

    Args:
        url: Folder or URL of the table.
        options: Of the object storage, as ``deltalake`` takes them.
    """

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._options = dict(options or {})

    def commit(self, change_id: str, files: Sequence[LoggedFile]) -> int:
        """Make these files the table's newest version, durable, and return its number.

        Raises: Unavailable: others commit all the time.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import CommitFailedError

        # Delta by default forgets log entries after 30 days, and with them the versions; ours are kept.
        keep = {"delta.enableExpiredLogCleanup": "false"}
        for _ in range(_TRIES):
            try:
                DeltaTable.create(
                    self.url, schema_of_rows(), mode="ignore", configuration=keep, storage_options=self._options
                )
                number = self._append(change_id, files)
            except CommitFailedError:
                continue  # another one was first; what this version consists of stays the same
            self._sync()
            return number
        raise Unavailable("the dataset is being changed by many at once; try again")

    def _append(self, change_id: str, files: Sequence[LoggedFile]) -> int:
        """Commit right after the newest version, or fail."""
        from deltalake import CommitProperties, PostCommitHookProperties
        from deltalake.transaction import AddAction, RemoveAction

        table, made_at = self._table(), int(time.time() * 1000)
        standing = _files_of(table)
        added = [AddAction(f.name, f.size_bytes, {}, made_at, True, "{}") for f in files if f not in standing]
        removed = [RemoveAction(f.name, True, made_at, f.size_bytes) for f in standing if f not in files]
        next_number = table.version() + 1
        table.create_write_transaction(
            [*added, *removed],
            mode="append",
            schema=schema_of_rows(),
            commit_properties=CommitProperties(custom_metadata={_CHANGE: change_id}, max_commit_retries=0),
            post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
        )
        return next_number

    def files(self, number: int) -> list[LoggedFile]:
        """Return the files of a version in order. Raises: IntegrityError: the log is missing or damaged."""
        return _files_of(self._table(number))

    def discard_if_damaged(self) -> None:
        """Take a log away that cannot be opened, where it lies on a disk. Raises: IntegrityError: it is in a bucket."""
        from deltalake import DeltaTable

        if not DeltaTable.is_deltatable(self.url, self._options):
            return
        try:
            self._table()
        except IntegrityError:
            if "://" in self.url:
                raise
            shutil.rmtree(Path(self.url) / "_delta_log")

    def _table(self, number: int | None = None) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            return DeltaTable(self.url, version=number, storage_options=self._options)
        except (DeltaError, OSError) as error:
            raise IntegrityError(
                f"version {number} of the dataset's log {self._name} cannot be opened; "
                "`tunery store rebuild` makes it again"
            ) from error

    @cached_property
    def _name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    def _sync(self) -> None:
        """Make the newest commits on a disk durable: ``deltalake`` itself does not fsync."""
        if "://" in self.url:
            return
        log = Path(self.url) / "_delta_log"
        for path in (*sorted(log.iterdir())[-3:], log, log.parent):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _files_of(table: DeltaTable) -> list[LoggedFile]:
    import pyarrow as pa

    actions = pa.table(table.get_add_actions()).select(["path", "size_bytes"]).to_pylist()
    return sorted(LoggedFile.named(action["path"], action["size_bytes"]) for action in actions)
