"""Which rows a run took in, as far as it can be told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from tests.datasets.test_imports import context_of, pairs, wish_for
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import rows_of
from tunery.datasets.tables import DatasetVersionFile
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground
from tunery.training.consumed import consumed_bits, pack_bits, took_in, without_places
from tunery.training.tables import TrainingRun


def test_a_run_took_in_the_rows_of_its_steps_and_no_other(ground: Ground, actor: Actor, tmp_path: Path) -> None:
    version = execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20)))
    ids = [row.row_id for row in rows_of(ground, version)]
    steps = tmp_path / "row_ids.jsonl"
    steps.write_text("".join(json.dumps({"row_ids": [ids[place]]}) + "\n" for place in (3, 9, 3)))
    run = TrainingRun(consumed=consumed_bits(ground, actor.tenant_id, version.id, steps))
    assert [place for place in range(20) if took_in(run, [place])] == [3, 9]


def test_bits_of_many_rows_are_told_and_taken_out_one_by_one() -> None:
    rng = np.random.default_rng(3)
    for count in (0, 1, 65_535, 65_536, 65_537, 200_001):
        bits = rng.random(count) < 1 / 3
        run = TrainingRun(consumed=pack_bits(bits))
        asked = sorted({0, count - 1, *rng.integers(0, max(count, 1), 200).tolist()} & {*range(count)})
        assert [took_in(run, [place]) for place in asked] == bits[asked].tolist()
        assert took_in(run, asked) == bits[asked].any()
        gone = rng.choice(count, min(count, 50), replace=False)
        left = TrainingRun(consumed=without_places(pack_bits(bits), gone.tolist()))
        kept = np.delete(bits, gone)[::97].tolist()
        assert [took_in(left, [place]) for place in range(0, count - len(gone), 97)] == kept


def test_a_run_on_a_version_that_was_erased_meanwhile_ends_well_and_cannot_tell(
    ground: Ground, actor: Actor, tmp_path: Path
) -> None:
    version = execute_import(context_of(ground, actor), wish_for(ground, actor, pairs(20)))
    with ground.database.session(actor.tenant_id) as session:
        session.execute(sa.delete(DatasetVersionFile).where(DatasetVersionFile.version_id == version.id))
    (tmp_path / "row_ids.jsonl").write_text("")
    bits = consumed_bits(ground, actor.tenant_id, version.id, tmp_path / "row_ids.jsonl")
    assert took_in(TrainingRun(consumed=bits), [3]) is None
