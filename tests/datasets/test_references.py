"""What steps refer to is found within the tenant: versions, their splits, uploaded files, tokenizers."""

from __future__ import annotations

import json

import pytest

from tests.datasets.test_imports import context_of, newest, wish_for
from tests.datasets.test_splits import make_texts
from tests.fixtures import make_actor
from tunery.datasets.imports import execute_import
from tunery.datasets.operations import rows_of
from tunery.errors import InvalidInput, NotFound
from tunery.kit.actor import Actor
from tunery.platform.ground import Ground

HELD_OUT = make_texts(8, 0, seed=1)
OWN = make_texts(12, 0, seed=2)


def texts(lines: list[str]) -> list[dict[str, str]]:
    return [{"text": line} for line in lines]


def test_dat_05_rows_of_an_evaluation_set_are_taken_out_and_named_in_the_record(ground: Ground, actor: Actor) -> None:
    wish = wish_for(ground, actor, texts(HELD_OUT), name="held-out", validation_split=0, test_split=4)
    execute_import(context_of(ground, actor), wish)
    against = [f"held-out:1{split}" for split in ("", "/test", "/train")]
    mixed = texts(OWN + HELD_OUT)
    for number, reference in enumerate(against, start=1):
        steps = [{"step": "decontaminate", "against": [reference]},
                 {"step": "check_leakage", "against": [reference]}]  # fmt: skip
        execute_import(context_of(ground, actor), wish_for(ground, actor, mixed, sanitize=steps))
        version = newest(ground, actor)
        assert version.version == number
        taken, checked = version.provenance["preprocessingSteps"]
        assert taken["affectedSamples"] == taken["details"]["evaluation_rows"] == (4 if "/" in reference else 8)
        assert {m["evaluation"] for m in taken["details"]["matches"]} == {reference}
        evaluation_ids = {row.row_id for row in rows_of(ground, newest(ground, actor, "held-out"))}
        assert {m["evaluation_row"] for m in taken["details"]["matches"]} <= evaluation_ids
        assert checked["details"]["share"] == 0
        assert {"seconds", "parameters", "timestamp", "description"} < set(taken)
        assert len(taken["examples"]) == min(5, taken["affectedSamples"])


def test_an_uploaded_file_is_an_evaluation_set_and_its_rows_are_named_by_line(ground: Ground, actor: Actor) -> None:
    data = "".join(json.dumps(row) + "\n" for row in texts(HELD_OUT)).encode()
    digest = ground.blobs.put(actor.tenant_id, data).digest
    steps = [{"step": "check_leakage", "against": [f"file:{digest}.jsonl"]}]
    wish = wish_for(ground, actor, texts(OWN + HELD_OUT[:2]), sanitize=steps)
    with pytest.raises(InvalidInput, match=r"2 of 8 evaluation rows \(25.0%\).*like line 1 of file:"):
        execute_import(context_of(ground, actor), wish)
    with pytest.raises(NotFound):
        newest(ground, actor)  # nothing is visible


def test_another_tenants_sets_are_not_there(ground: Ground, actor: Actor) -> None:
    other = make_actor(ground, "other")
    execute_import(context_of(ground, other), wish_for(ground, other, texts(HELD_OUT), name="held-out"))
    digest = ground.blobs.put(other.tenant_id, b'{"text": "secret"}\n').digest
    for reference in ("held-out:1", f"file:{digest}.jsonl"):
        steps = [{"step": "decontaminate", "against": [reference]}]
        with pytest.raises(NotFound):
            execute_import(context_of(ground, actor), wish_for(ground, actor, texts(OWN), sanitize=steps))


def test_tokens_are_counted_by_an_uploaded_tokenizer(ground: Ground, actor: Actor) -> None:
    content = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
               "pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": []}  # fmt: skip
    digest = ground.blobs.put(actor.tenant_id, json.dumps(content).encode()).digest
    step = {"step": "filter_by_length", "unit": "tokens", "tokenizer": f"file:{digest}.json", "max_len": 29}
    wish = wish_for(ground, actor, texts([*OWN, "one two three"]), sanitize=[step], validation_split=0, test_split=0)
    execute_import(context_of(ground, actor), wish)
    [record] = newest(ground, actor).provenance["preprocessingSteps"]
    assert record["affectedSamples"] == 12  # of 30 words each
    assert record["details"] == {"tokenizer_digest": digest}
