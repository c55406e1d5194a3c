"""Each row of docs/checklist.md has a test that names its id, or says why it has none yet."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_row_of_the_checklist_has_a_test_that_names_it() -> None:
    rows = re.findall(r"^\| ([A-Z]+)-([0-9]+) \|.*\| (.*) \|$", (ROOT / "docs/checklist.md").read_text("utf-8"), re.M)
    tests = [path.read_text("utf-8") for path in ROOT.glob("tests/**/test_*.py") if path.name != Path(__file__).name]
    named = {
        tuple(found) for text in tests for found in re.findall(r"(?<![a-z])([a-z]{3})[-_]([0-9]{2})", text.lower())
    }
    later = {(area, number) for area, number, here in rows if here.startswith("later")}
    missing = {(area, number) for area, number, _ in rows if (area.lower(), number) not in named}
    assert len(rows) >= 25
    assert missing == later
