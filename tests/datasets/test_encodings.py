"""Text files of other encodings are read, or the row that cannot be is reported (DAT-01)."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.formats.encodings import as_utf8, check_encoding
from tunery.datasets.quarantine import Quarantine, read_records
from tunery.datasets.schemas import ImportOptions
from tunery.errors import FormatInvalid, InvalidInput

TEXT = "Größe Ωμέγα Жук 日本 😀"


def read(data: bytes, encoding: str | None = None, name: str = "jsonl") -> list[Record | Malformed]:
    return list(IMPORTERS.get(name)(as_utf8(io.BytesIO(data), encoding), 10_000))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("name", ["jsonl", "json", "csv", "tsv", "text"])
def test_a_byte_order_mark_tells_the_encoding(name: str, encoding: str) -> None:
    texts = {
        "json": json.dumps([{"text": TEXT}, {"text": "b"}], ensure_ascii=False),
        "jsonl": f'{{"text": "{TEXT}"}}\r\n{{"text": "b"}}\r\n',
        "text": f"{TEXT}\r\n\r\nb\r\n",
    }
    data = texts.get(name, f"text\r\n{TEXT}\r\nb\r\n").encode(encoding)
    found = read(data, name=name)
    assert [item.values for item in found if isinstance(item, Record)] == [{"text": TEXT}, {"text": "b"}]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("latin-1", "Größe"),
        ("cp1252", "„Größe“ – €"),
        ("cp1251", "Жук"),
        ("koi8-r", "Жук"),
        ("shift_jis", "日本語表"),
        ("euc-jp", "日本語"),
        ("gb18030", "中文 😀"),
        ("big5", "中文"),
        ("euc-kr", "한국어"),
        ("utf-16-le", TEXT),
        ("utf-32-be", TEXT),
    ],
)
def test_a_declared_encoding_is_read_also_across_the_borders_of_pieces(encoding: str, text: str) -> None:
    rows = [{"text": f"{text} {number}"} for number in range(10_000)]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding)
    assert [item.values for item in read(data, encoding) if isinstance(item, Record)] == rows


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [
        ("cp1252", b"\x81"),  # no character of the code page
        ("shift_jis", b"\x81\x00"),
        ("gb18030", b"\xff"),
        ("utf-16-le", b"\x00\xd8"),  # half of a surrogate pair
        ("ascii", b"\xe9\xc3\xa9"),
    ],
)
def test_a_row_with_bytes_of_no_text_is_reported_and_the_others_are_read(encoding: str, bad: bytes) -> None:
    line = '{"a": "MARK"}\n'
    before, after = (half.encode(encoding) for half in line.split("MARK"))
    data = line.encode(encoding) + before + bad + after + line.encode(encoding)
    found = read(data, encoding)
    assert [type(item) for item in found] == [Record, Malformed, Record]
    assert isinstance(found[1], Malformed)
    assert found[1].line == 2
    assert "no text in the file's encoding" in found[1].reason
    found[1].text.encode()


def test_text_without_a_mark_in_a_wide_encoding_is_named() -> None:
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        with pytest.raises(FormatInvalid, match=f"declare encoding: {encoding}"):
            read('{"a": 1}\n'.encode(encoding))


@pytest.mark.parametrize(
    "name", ["zip", "rot13", "hex", "unicode_escape", "idna", "utf-7", "undefined", "klingon", "\0"]
)
def test_codecs_that_are_no_encodings_of_text_files_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no encoding"):
        check_encoding(name)
    with pytest.raises(ValueError, match="is no encoding"):
        ImportOptions(encoding=name)


def test_the_encoding_is_an_option_of_the_import(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text;label\nGröße;ü\n".encode("cp1252"))
    options = ImportOptions(encoding="windows-1252")
    assert options.encoding == "cp1252"
    (record,) = read_records(path, "csv", 1000, Quarantine("stop"), options.encoding)
    assert record.values == {"text": "Größe", "label": "ü"}
