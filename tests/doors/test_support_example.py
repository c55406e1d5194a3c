"""The second example as its README leads a person through it: messy tickets become a dataset, a model, and both again
without the customer who asked to be forgotten. Every command of that section is carried out (DAT-06)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors.readme import Reader, Tunery, make_small, script
from tests.evaluation.parrot import Parrot
from tests.weights.conftest import make_model, tiny_llama, tokenizer_dir
from tunery.client import Client
from tunery.inference.ports import ENGINES

__all__ = ["make_model", "tiny_llama", "tokenizer_dir"]

EXAMPLE, WHO = "support-tickets", "C-1007"
pytestmark = pytest.mark.xdist_group("doors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[Path]:
    """The example's folder, with a smaller recipe."""
    made = tmp_path_factory.mktemp("support")
    ENGINES.register("parrot")(Parrot())
    make_small(EXAMPLE, made, tiny_llama)
    yield made
    del ENGINES._found["parrot"]


def test_the_readme_leads_from_raw_rows_to_an_erased_person_and_back(
    client: Client, tunery: Tunery, folder: Path
) -> None:
    counts = script(EXAMPLE, "prepare").prepare(folder, 300, seed=7)
    check, planted_file = script(EXAMPLE, "check"), folder / "planted.jsonl"
    reader = Reader(tunery, EXAMPLE, folder)
    reader.said = {"support-croissant": str(folder / "croissant"), "threshold=0.1": "threshold=0 min_samples=1"}
    read, foreign, broken = counts["tickets in tickets.jsonl"], counts["of them not in English"], 3  # a hundredth
    assert (read, foreign, counts["lines that are no rows"]) == (300 + 300 // 50 + 300 // 20, 300 // 50, broken)

    first = dict(reader.block())["datasets import"]
    record = client.datasets.provenance(first["reference"])
    steps = {step.name: step for step in record.preprocessing_steps}
    removed = {name: steps[name].affected_samples for name in ("filter_quality", "filter_language", "near_deduplicate")}
    assert record.total_samples == read - sum(removed.values())
    assert removed["filter_language"] == foreign
    assert removed["near_deduplicate"] > 0
    assert (record.sources[0].sample_count, record.quality_metrics["quarantined"]) == (read, broken)
    assert (record.compliance.pii_detected, record.compliance.pii_removed) == (True, True)
    planted = [json.loads(line) for line in planted_file.read_text("utf-8").splitlines()]
    of_first = Counter(entry["kind"] for entry in planted if entry["ticket"] < "T-00900")
    for kind in ("CARD", "EMAIL", "IBAN", "PHONE"):
        assert steps["redact_pii"].details[f"found {kind}"] >= of_first[kind] > 0
    assert check.left_in(client, "support:1", planted_file) == Counter()

    second = dict(reader.block())
    version, difference = second["datasets import"], second["datasets diff"]
    more = version["totalSamples"] - record.total_samples
    assert (version["reference"], version["parent"]) == ("support:2", 1)
    assert (difference["added"], difference["removed"], difference["changed"]) == (more, 0, 0)
    assert 0 < more <= counts["tickets in more-tickets.csv"]
    assert check.left_in(client, "support:gold", planted_file) == Counter()

    outcomes = {one["rule"]: one["status"] for one in dict(reader.block())["compliance validate"]["rules"]}
    assert (outcomes["GDPR-PII-DIRECT"], outcomes["GDPR-17-ERASE"]) == ("pass", "n/a")

    trained = dict(reader.block())["run"]["result"]
    assert trained["dataset"]["rows"] == client.datasets.versions("support")[0].rows

    erasing = reader.block()
    _, trace = next(erasing)
    rows = {row.row_id for row in client.datasets.rows("support", limit=500) if row.row["customer"] == WHO}
    assert {row["rowId"] for row in trace["rows"] if "support:3" in row["versions"]} == rows != set()
    assert {one["kind"] for one in trace["seenBy"]} >= {"run", "model_version", "export"}
    _, erased = next(erasing)
    model = client.models.version("support-answers:1.0.0")
    reader.said |= {"ERASURE": erased["erasure"]}
    after = dict(erasing)
    versions = {one["reference"]: one for one in after["datasets versions"]}
    assert [versions[f"support:{n}"]["status"] for n in range(1, 7)] == ["erased"] * 3 + ["ready"] * 3
    assert versions["support:3"]["successorId"] == versions["support:6"]["id"]
    assert "support:3 held rows that were erased; support:6 is what is left" in after["run"]["notRepeatable"]
    assert model.on_hold is not None
    assert model.on_hold in after["models promote"]
    assert after["subjects decide"]["decision"] == "retrain"
    run = client.runs.get(trained["run"]["id"])
    assert run.not_repeatable is not None
    assert erased["erasure"] in run.not_repeatable

    back = dict(reader.block())
    assert back["run"]["notRepeatable"] is None
    retrained = client.datasets.rows("support", limit=500)
    assert {row.row_id for row in client.datasets.rows("support:6", limit=500)} <= {row.row_id for row in retrained}
    assert WHO not in {row.row["customer"] for row in retrained}
    promoted = back["models promote"]
    assert (promoted["reference"], promoted["stage"]) == ("support-answers:1.1.0", "testing")
    assert [back["subjects trace"][name] for name in ("rows", "seenBy", "sources")] == [[], [], {}]


def test_the_check_finds_what_was_not_redacted(client: Client, folder: Path) -> None:
    """Else the test above would show nothing."""
    script(EXAMPLE, "prepare").prepare(folder, 100, seed=8)
    options = {"on_error": "quarantine", "key": "ticket"}
    client.jobs.wait(client.datasets.import_(folder / "tickets.jsonl", name="support-raw", options=options).job_id)
    left = script(EXAMPLE, "check").left_in(client, "support-raw", folder / "planted.jsonl")
    assert set(left) == {"CARD", "EMAIL", "IBAN", "PERSON", "PHONE", "SECRET"}
