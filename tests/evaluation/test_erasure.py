"""Evaluations during which rows of their dataset are erased."""

from __future__ import annotations

import pytest

from tests.evaluation.conftest import Lab, question
from tunery.datasets.operations import rows_of
from tunery.errors import Refused
from tunery.evaluation.operations import measure_difference
from tunery.evaluation.predictions import read_predictions
from tunery.evaluation.prompts import PromptSpec
from tunery.evaluation.runs import execute_evaluation
from tunery.subjects.jobs import erase_subject
from tunery.subjects.operations import start_erasure
from tunery.subjects.schemas import EraseWish


@pytest.mark.parametrize("split", ["test", "train"])
def test_predictions_that_show_rows_erased_meanwhile_are_not_kept(lab: Lab, split: str) -> None:
    rows = [{"prompt": f"p{n:02}@example.com {question(n)}", "completion": f"out {n}"} for n in range(60)]
    stored = [*rows_of(lab.ground, lab.import_rows(rows))]
    person = next(row.values["prompt"].split()[0] for row in stored if row.split == split)
    prompt = PromptSpec(shots=20 if split == "train" else 0)  # 60 - 40 = 20: every row of train
    before, late = lab.evaluate("small", prompt=prompt), lab.open("tuned", prompt=prompt)
    lab.parrot.asked.clear()
    begun: list[str] = []

    def while_it_asks() -> bool:
        if lab.parrot.asked and not begun:
            begun.append(person)
            with lab.ground.database.session(lab.actor.tenant_id) as session:
                job = start_erasure(lab.ground, session, lab.actor, EraseWish(identifier=person))
            erase_subject(lab.context(), job.payload)
        return False

    row = execute_evaluation(lab.context(stopping=while_it_asks), late)
    assert begun
    assert (row.status, row.sample_count) == ("completed", 40)
    assert not lab.ground.settings.home.joinpath("evaluations", row.id).exists()
    if split == "train":
        assert lab.look(before.id).predictions_digest is row.predictions_digest is None
        with pytest.raises(Refused, match="went with rows that were erased"):
            measure_difference(lab.ground, lab.actor.tenant_id, before.id, row.id)
        return
    left = {one["row_id"] for one in read_predictions(lab.ground, lab.actor.tenant_id, str(row.predictions_digest))}
    assert left == {one.row_id for one in stored if one.split == "test" and person not in one.content}
    assert measure_difference(lab.ground, lab.actor.tenant_id, before.id, row.id)[0].n == 39
