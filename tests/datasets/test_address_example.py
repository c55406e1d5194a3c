"""How the address example turns labels into rows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

HOME = Path(__file__).parents[2] / "examples" / "address-to-json"


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", HOME / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def address(*tokens: tuple[str, str]) -> str:
    return "<AddressString>" + " ".join(f"<{tag}>{text}</{tag}>" for tag, text in tokens) + "</AddressString>"


def convert(prepare: ModuleType, *addresses: str) -> tuple[list[dict[str, str]], dict[str, int]]:
    return prepare.convert(f"<AddressCollection>{''.join(addresses)}</AddressCollection>".encode())  # type: ignore[no-any-return]


def test_parts_are_copied_in_a_fixed_order_without_the_comma_that_ends_them(prepare: ModuleType) -> None:
    rows, left_out = convert(
        prepare,
        address(
            ("OccupancyType", "Suite"),
            ("OccupancyIdentifier", "5,"),
            ("AddressNumber", "12"),
            ("StreetNamePreDirectional", "N."),
            ("StreetName", "Main"),
            ("StreetNamePostType", "St.,"),
            ("StreetNamePostDirectional", "NW,"),
            ("PlaceName", "St."),
            ("PlaceName", "Paul,"),
            ("StateName", "MN"),
            ("ZipCode", "55101"),
        ),
    )
    assert rows == [
        {
            "prompt": "Suite 5, 12 N. Main St., NW, St. Paul, MN 55101",
            "completion": '{"number":"12","street":"N. Main St., NW","unit":"Suite 5","city":"St. Paul","state":"MN",'
            '"zip":"55101"}',
        }
    ]
    assert not left_out


def test_what_is_left_out_is_counted_by_reason(prepare: ModuleType) -> None:
    rows, left_out = convert(
        prepare,
        address(("Recipient", "Ann"), ("AddressNumber", "1"), ("StreetName", "Elm")),
        address(("AddressNumber", "1"), ("StreetName", "Elm"), ("AddressNumber", "2")),
        address(("PlaceName", "Ames"), ("StateName", "IA")),
    )
    assert rows == []
    assert left_out == {
        "with the label Recipient": 1,
        "whose parts are torn apart": 1,
        "without street or box": 1,
    }


def test_every_part_of_every_row_stands_in_its_prompt(prepare: ModuleType) -> None:
    assert prepare.main() == 0  # fetches the source package once; what stands is kept
    rows = [json.loads(line) for line in prepare.TARGET.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 1291  # of 1,513; prepare.py counts the others
    for row in rows:
        parts = json.loads(row["completion"])
        assert list(parts) == [name for name in prepare.PARTS if name in parts]
        assert all(part and part in row["prompt"] for part in parts.values())
