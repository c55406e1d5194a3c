"""The second example as a person goes through it: messy tickets with people's data in them become a clean dataset."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tunery.client import Client
from tunery.pipelines.recipe import load_recipe

HOME = Path(__file__).parents[2] / "examples" / "support-tickets"
pytestmark = pytest.mark.xdist_group("doors")


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, HOME / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder, with the files that it makes."""
    made = tmp_path_factory.mktemp("support")
    shutil.copy(HOME / "recipe.yaml", made)
    return made


def test_nothing_that_was_planted_is_left_and_the_record_says_what_was_done(
    client: Client, tunery: Callable[..., tuple[int, Any, str]], folder: Path
) -> None:
    counts = script("prepare").prepare(folder, 300, seed=7)
    read, foreign, broken = counts["tickets in tickets.jsonl"], counts["of them not in English"], 3  # a hundredth
    assert (read, foreign, counts["lines that are no rows"]) == (300 + 300 // 50 + 300 // 20, 300 // 50, broken)

    recipe = load_recipe(folder / "recipe.yaml")
    options = recipe.training_data.import_options(recipe.sanitize, recipe.seed).model_dump(mode="json")
    started = client.datasets.import_(folder / "tickets.jsonl", name="support", options=options, license="MIT")
    job = client.jobs.wait(started.job_id)
    assert job.status == "succeeded", job.error

    record = client.datasets.provenance("support:1")
    steps = {step.step: step for step in record.preprocessing_steps}
    removed = {name: steps[name].affected_samples for name in ("filter_quality", "filter_language", "near_deduplicate")}
    assert record.total_samples == read - sum(removed.values())
    assert removed["filter_language"] == foreign
    assert removed["near_deduplicate"] > 0
    assert (record.sources[0].sample_count, record.quality_metrics["quarantined"]) == (read, broken)
    assert (record.compliance.pii_detected, record.compliance.pii_removed) == (True, True)
    planted = [json.loads(line) for line in (folder / "planted.jsonl").read_text("utf-8").splitlines()]
    of_first = Counter(entry["kind"] for entry in planted if entry["ticket"] < "T-00900")
    for kind in ("CARD", "EMAIL", "IBAN", "PHONE"):
        assert steps["redact_pii"].details[f"found {kind}"] >= of_first[kind] > 0
    assert script("check").left_in(client, "support:1", folder / "planted.jsonl") == Counter()

    how = ("--sanitize", folder / "recipe.yaml", "--key", "ticket", "--subject-column", "customer", "--mode", "append")
    more_tickets = (folder / "more-tickets.csv", "--name", "support", "--encoding", "cp1252")
    code, version, _ = tunery("datasets", "import", *more_tickets, *how)
    assert (code, version["reference"], version["parent"]) == (0, "support:2", 1)
    code, difference, _ = tunery("datasets", "diff", "support:1", "support:2")
    more = version["totalSamples"] - record.total_samples
    assert (code, difference["added"], difference["removed"], difference["changed"]) == (0, more, 0, 0)
    assert 0 < more <= counts["tickets in more-tickets.csv"]
    assert script("check").left_in(client, "support", folder / "planted.jsonl") == Counter()

    rows = client.datasets.rows("support", limit=500)
    customer = rows[0].row["customer"]
    about = {item.row_id for item in rows if item.row["customer"] == customer}
    assert {found.row_id for found in client.subjects.trace(customer).rows} == about
    code, erased, _ = tunery("subjects", "erase", customer, "--yes")
    assert (code, bool(erased["certificate"])) == (0, True)
    assert client.datasets.rows("support").total == len(rows) - len(about)


def test_the_check_finds_what_was_not_redacted(client: Client, folder: Path) -> None:
    """Else the test above would show nothing."""
    script("prepare").prepare(folder, 100, seed=8)
    options = {"on_error": "quarantine", "key": "ticket"}
    client.jobs.wait(client.datasets.import_(folder / "tickets.jsonl", name="support-raw", options=options).job_id)
    left = script("check").left_in(client, "support-raw", folder / "planted.jsonl")
    assert set(left) == {"CARD", "EMAIL", "IBAN", "PERSON", "PHONE", "SECRET"}
