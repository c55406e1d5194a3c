"""Rows are counted in the tokens of a registered model."""

from __future__ import annotations

import json

import pytest

from tests.datasets.test_imports import context_of, newest, wish_for
from tests.registry.conftest import Shelf, shelf
from tests.registry.folders import make_model_folder
from tunery.datasets.imports import execute_import
from tunery.errors import NotFound
from tunery.pipelines.tokenizers import read_tokenizer

__all__ = ["shelf"]


def test_rows_are_measured_by_the_tokenizer_of_a_registered_model(shelf: Shelf) -> None:
    folder = make_model_folder(shelf.folder / "base")
    model = {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}
    content = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    shelf.register("small", folder, is_base=True)
    assert json.loads(read_tokenizer(shelf.ground, shelf.actor.tenant_id, "small")) == content
    step = {"step": "filter_by_length", "unit": "tokens", "tokenizer": "small:1.0.0", "max_len": 2}
    rows = [{"text": "row" + " of words" * number} for number in range(4)]
    wish = wish_for(shelf.ground, shelf.actor, rows, sanitize=[step], validation_split=0, test_split=0)
    execute_import(context_of(shelf.ground, shelf.actor), wish)
    [record] = newest(shelf.ground, shelf.actor).provenance["preprocessingSteps"]
    assert (record["affectedSamples"], len(record["details"]["tokenizer_digest"])) == (3, 64)  # 1, 3, 5 and 7 tokens


@pytest.mark.parametrize("reference", ["nothing", "small:9.9.9"])
def test_a_model_that_is_not_here_counts_no_tokens(shelf: Shelf, reference: str) -> None:
    with pytest.raises(NotFound):
        read_tokenizer(shelf.ground, shelf.actor.tenant_id, reference)
