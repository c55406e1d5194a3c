"""The first example as its README leads on from the demo: to a model without the address that was erased (PRV-09)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.doors.readme import Reader, Tunery, make_small, script
from tests.evaluation.parrot import Parrot
from tests.weights.conftest import make_model, tiny_llama, tokenizer_dir
from tunery.audit.tables import AuditEntry
from tunery.client import Client
from tunery.inference.ports import ENGINES
from tunery.platform.db import Database

__all__ = ["make_model", "tiny_llama", "tokenizer_dir"]

EXAMPLE, WHO = "address-to-json", "3600 West 5th Ave"
pytestmark = [pytest.mark.long, pytest.mark.xdist_group("doors")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[Path]:
    """The first two hundred of the example's rows, and its recipe with a gate that a model of two layers passes."""
    made, prepare = tmp_path_factory.mktemp("addresses"), script(EXAMPLE, "prepare")
    assert prepare.main() == 0  # fetches the source package once; what stands is kept
    rows = prepare.TARGET.read_text(encoding="utf-8").splitlines(keepends=True)
    (made / "addresses.jsonl").write_text("".join(rows[:200]), encoding="utf-8")
    ENGINES.register("parrot")(Parrot())
    make_small(
        EXAMPLE,
        made,
        tiny_llama,
        training_data={"validation_split": 10, "test_split": 20},
        gate={"criteria": [{"metric": "exact_match", "threshold": 0, "min_samples": 1}]},
        deployment={"auto_deploy": False},
    )
    yield made
    del ENGINES._found["parrot"]


def test_the_readme_leads_from_raw_rows_to_an_erased_person_and_back(
    client: Client, tunery: Tunery, folder: Path
) -> None:
    reader = Reader(tunery, EXAMPLE, folder)
    reader.said = {"addresses-croissant": str(folder / "croissant")}
    first = dict(reader.block())
    assert first["run"]["result"]["model"]["stage"] == "staging"
    assert [step["step"] for step in first["datasets provenance"]["preprocessingSteps"]] == ["deduplication"]
    run = client.runs.get(first["run"]["result"]["run"]["id"])
    assert (run.config["hyperparameters"]["batch_size"], run.config["seed"]) == (32, 7)
    assert run.metrics["final_loss"] == first["run"]["result"]["run"]["loss"]
    assert {point.name for point in client.runs.metrics(run.id)} == {"loss", "validation_loss"}
    assert client.models.version("address-json:1.0.0").run_id == run.id
    assert [entry.action for entry in _audited(client, f"runs/{run.id}")] == ["run_created", "run_succeeded"]

    erasing = reader.block()
    _, trace = next(erasing)
    [row] = trace["rows"]
    assert row["versions"] == ["addresses:1"]
    assert {one["kind"] for one in trace["seenBy"] if one["saw"] == "consumed"} >= {"run", "model_version", "export"}
    _, erased = next(erasing)
    reader.said |= {"ERASURE": erased["erasure"]}
    after = dict(erasing)
    assert [(one["reference"], one["status"]) for one in after["datasets versions"]] == [
        ("addresses:2", "ready"),
        ("addresses:1", "erased"),
    ]
    assert "addresses:1 held rows that were erased; addresses:2 is what is left" in after["run"]["notRepeatable"]
    assert "is on hold: it learned from rows that were erased" in after["models promote"]
    assert client.models.version("address-json:1.0.0").stage == "staging"

    back = dict(reader.block())
    assert back["run"]["result"]["dataset"]["version"] == 3
    assert [back["datasets diff"][name] for name in ("added", "removed", "changed")] == [0, 0, 0]
    assert back["models promote"]["stage"] == "production"
    assert [back["subjects trace"][name] for name in ("rows", "seenBy", "sources")] == [[], [], {}]
    assert WHO not in {one.row["prompt"] for one in client.datasets.rows("addresses", limit=500)}


def _audited(client: Client, resource: str) -> list[AuditEntry]:
    database = Database(client.settings.effective_database_url)
    try:
        with database.system_session("a test reads the audit", read_only=True) as session:
            ours = sa.select(AuditEntry).where(AuditEntry.resource == resource).order_by(AuditEntry.id)
            return [*session.scalars(ours)]
    finally:
        database.close()
