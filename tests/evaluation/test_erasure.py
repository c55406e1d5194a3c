"""Evaluations during which rows of their dataset are erased."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.evaluation.conftest import Lab, question
from tunery.datasets.operations import rows_of
from tunery.datasets.tables import DatasetVersion
from tunery.datasets.versions.contents import batches_of, files_of
from tunery.datasets.versions.row_files import StoredRow, rows_in
from tunery.errors import Refused
from tunery.evaluation import runs
from tunery.evaluation.operations import measure_difference
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.prompts import PromptSpec
from tunery.evaluation.runs import execute_evaluation
from tunery.platform.ground import Ground
from tunery.subjects.jobs import erase_subject
from tunery.subjects.operations import start_erasure
from tunery.subjects.schemas import EraseWish


@pytest.mark.parametrize("split", ["test", "train"])
def test_predictions_that_show_rows_erased_meanwhile_are_not_kept(
    lab: Lab, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"prompt": f"p{n:02}@example.com {question(n)}", "completion": f"out {n}"} for n in range(60)]
    stored = [*rows_of(lab.ground, lab.import_rows(rows))]
    person, another = [row.values["prompt"].split()[0] for row in stored if row.split == split][:2]
    prompt = PromptSpec(shots=20 if split == "train" else 0)  # 60 - 40 = 20: every row of train
    before, late = lab.evaluate("small", prompt=prompt), lab.open("tuned", prompt=prompt)
    lab.parrot.asked.clear()
    begun: list[str] = []

    def while_it_asks() -> bool:
        if lab.parrot.asked and not begun:
            begun.append(person)
            erase(person)
            monkeypatch.setattr(runs, "rows_of", while_it_looks_at_what_stands)
        return False

    def erase(identifier: str) -> None:
        with lab.ground.database.session(lab.actor.tenant_id) as session:
            job = start_erasure(lab.ground, session, lab.actor, EraseWish(identifier=identifier))
        erase_subject(lab.context(), job.payload)

    def while_it_looks_at_what_stands(ground: Ground, left: DatasetVersion) -> Iterator[StoredRow]:
        if len(begun) == 1:
            begun.append(another)
            with ground.database.session(left.tenant_id, read_only=True) as session:
                files = files_of(session, left)
            erase(another)
            return (row for batch in batches_of(ground, left.tenant_id, files) for row in rows_in(batch))
        return rows_of(ground, left)

    row = execute_evaluation(lab.context(stopping=while_it_asks), late)
    assert begun == [person, another]
    assert (row.status, row.sample_count) == ("completed", 40)
    assert not lab.ground.settings.home.joinpath("evaluations", row.id).exists()
    if split == "train":
        assert lab.look(before.id).predictions_digest is row.predictions_digest is None
        with pytest.raises(Refused, match="went with rows that were erased"):
            measure_difference(lab.ground, lab.actor.tenant_id, before.id, row.id)
        return
    left = {one["row_id"] for one in read_predictions(lab.ground, lab.actor.tenant_id, str(row.predictions_digest))}
    assert left == {
        one.row_id for one in stored if one.split == "test" and not {person, another} & {*one.values["prompt"].split()}
    }
    assert measure_difference(lab.ground, lab.actor.tenant_id, before.id, row.id)[0].n == 38
