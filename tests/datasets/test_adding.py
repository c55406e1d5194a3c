"""The examples of the ADDING.md pages work as they are printed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunery.datasets
from tunery.datasets.formats import IMPORTERS, Malformed, Record
from tunery.datasets.pii import DETECTORS, Finding
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import SANITIZERS, Tally
from tunery.plugins import Registry

ROOM = Path(tunery.datasets.__file__).parent


@pytest.fixture
def forgetting() -> Iterator[None]:
    """Take away afterwards what an example registers."""
    registries: list[Registry[Any]] = [IMPORTERS, SANITIZERS, DETECTORS]
    before = [(registry, dict(registry)) for registry in registries]
    yield
    for registry, known in before:
        for name in set(registry.names()) - set(known):
            del registry._found[name]


def run_example(page: str) -> None:
    found = re.search(r"```python\n(.*?)```", (ROOM / page).read_text(), re.DOTALL)
    assert found is not None
    exec(compile(found[1], page, "exec", dont_inherit=True), {"__name__": page})


@pytest.mark.usefixtures("forgetting")
def test_the_example_of_a_format_reads_lines() -> None:
    run_example("formats/ADDING.md")
    found = list(IMPORTERS.get("lines")(io.BytesIO(b"one\r\n\xe9\n" + b"x" * 99 + b"\ntwo"), 50))
    assert [item.values["text"] if isinstance(item, Record) else "-" for item in found] == ["one", "-", "-", "two"]
    assert [item.line for item in found if isinstance(item, Malformed)] == [2, 3]


@pytest.mark.usefixtures("forgetting")
def test_the_example_of_a_step_changes_and_counts() -> None:
    run_example("sanitize/ADDING.md")
    step, tally = SANITIZERS.get("lower_case")(key="text"), Tally()  # type: ignore[call-arg]
    rows = [Row("a", 1, {"text": "ONE"}), Row("b", 2, {"text": "two"})]
    assert [row.values["text"] for row in step.apply(rows, "text", tally)] == ["one", "two"]
    assert (tally.affected, step.describe()) == (1, "Wrote the column text in lower case")


@pytest.mark.usefixtures("forgetting")
def test_the_example_of_a_detector_finds() -> None:
    run_example("pii/ADDING.md")
    assert DETECTORS.get("badges")().find("badge B-123456.") == [Finding("BADGE", 6, 14, 0.9)]
