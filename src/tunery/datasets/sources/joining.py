"""Files of one split as one: JSON lines in UTF-8, each row and each fault as a reader of its own file tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tunery.datasets.formats import IMPORTERS, Malformed, Record, guess_format
from tunery.datasets.formats.encodings import as_utf8
from tunery.datasets.quarantine import OnError
from tunery.errors import Cancelled, RowInvalid
from tunery.kit.digests import canonical_json

__all__ = ["join_files"]


def join_files(
    paths: Sequence[Path],
    target: Path,
    *,
    format_name: str | None,
    encoding: str | None,
    on_error: OnError,
    max_row_bytes: int,
    cancelled: Callable[[], bool],
) -> None:
    """Write the rows of files in order. A piece that is no row becomes a line of text, which the import sets aside.

    Args:
        paths: The files.
        target: Where to.
        format_name: Their format; none: as their names say.
        encoding: How they are written; none: UTF-8, or as their byte order marks say.
        on_error: Whether to stop at what is no row.
        max_row_bytes: Longest row, in bytes.
        cancelled: Asked at each row.

    Raises:
        RowInvalid: What is no row, by file and line. FormatInvalid: a file cannot be read. Cancelled.
    """
    with target.open("wb") as lines:
        for path in paths:
            kind = format_name or guess_format(path.name)
            what = f"{path.name}, {'row' if kind == 'parquet' else 'line'}"
            with path.open("rb") as file:
                for found in IMPORTERS.get(kind)(as_utf8(file, encoding), max_row_bytes):
                    if cancelled():
                        raise Cancelled
                    if isinstance(found, Malformed):
                        lines.write(canonical_json(_told(found, what, on_error)) + b"\n")
                    elif isinstance(found, Record):
                        lines.write(canonical_json(found.values) + b"\n")


def _told(found: Malformed, what: str, on_error: OnError) -> str:
    reason = f"{what} {found.line}: {found.reason}"
    if on_error == "stop":
        raise RowInvalid(
            f"{reason}. Nothing was imported; on_error: quarantine (--on-error quarantine) sets such rows aside",
            line=found.line,
            reason=found.reason,
        )
    return f"{reason}: {found.text}"
