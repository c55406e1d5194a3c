from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import make_model, write_rows
from tunery.errors import Cancelled, Conflict, InvalidInput
from tunery.training.fit import estimate, fit

Events = list[dict[str, Any]]


def run(order: dict[str, Any], cancelled: Callable[[], bool] = lambda: False) -> tuple[dict[str, Any], Events]:
    events: Events = []
    return fit(json.loads(json.dumps(order)), events.append, cancelled), events


def of_type(events: Events, kind: str) -> Events:
    return [event for event in events if event["type"] == kind]


def test_a_run_learns_reports_and_says_what_it_took(order: dict[str, Any]) -> None:
    result, events = run(order)
    progress = of_type(events, "progress")
    assert [event["step"] for event in progress] == list(range(1, 19))  # 48 rows / 8 = 6 steps, 3 epochs
    assert {event["total_steps"] for event in progress} == {18}
    assert [event["epoch"] for event in progress[5:7]] == [1, 2]
    assert progress[-1]["loss"] < progress[0]["loss"] - 0.1  # random frozen embeddings leave an adapter little room
    assert progress[-1]["learning_rate"] == pytest.approx(2e-2 / 18)
    assert [event["step"] for event in of_type(events, "evaluated")] == [6, 12, 18]
    assert result["total_steps"] == 18
    assert result["best_validation_loss"] == min(point["loss"] for point in result["validation_losses"])
    assert result["perplexity"] == pytest.approx(math.exp(result["best_validation_loss"]))
    assert result["tokens"] == 3 * sum(lengths(order))
    assert result["tokens_per_second"] > 0
    assert result["seconds"] > 0
    assert result["peak_memory_bytes"] > 100e6
    assert result["estimated_flops"] > 4 * 27648 * result["tokens"]  # above 4 N for each token, N = 27,648
    # Rank 4 on three blocks: 4 * (64+64+48+48+96+96+96) = 2048 each; the base has 3 blocks, embedding and norms.
    assert result["trainable_params"] == 3 * 2048
    assert result["total_params"] == 3 * (9216 + 2 * 32) + 264 * 32 + 32 + 3 * 2048
    assert result["trainable_percentage"] == pytest.approx(100 * 6144 / result["total_params"])
    assert (result["device"], result["dtype"], result["threads"]) == ("cpu", "float32", 1)
    assert result["cpu_model"]


def lengths(order: dict[str, Any]) -> list[int]:
    """Tokens of each row: one for each byte and control token; the last line feed is cut off."""
    words = [json.loads(line)["messages"][0]["content"] for line in Path(order["train_path"]).read_text().splitlines()]
    before, between, after = len("|user."), len("|.|assistant."), len("|")  # | is a control token, . a line feed
    return [before + len(word) + between + len(word) + after for word in words]


def test_equal_orders_give_equal_bytes_and_another_seed_gives_others(order: dict[str, Any], tmp_path: Path) -> None:
    def adapter(name: str, seed: int) -> bytes:
        run(order | {"work_dir": str(tmp_path / name), "output_dir": str(tmp_path / f"{name}-out"), "seed": seed})
        return (tmp_path / f"{name}-out" / "adapter_model.safetensors").read_bytes()

    assert adapter("a", 1) == adapter("b", 1)
    assert adapter("c", 2) != adapter("a2", 1)


def test_the_adapter_is_opened_by_peft_and_gives_the_loss_that_was_measured(order: dict[str, Any]) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from tests.training.test_model import SEQUENCES, own_loss
    from tunery.weights.adapters import read_adapter

    run(order)
    folder = Path(order["output_dir"])
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = (folder / "adapter_config.json").read_text()
    assert str(Path(order["model_dir"])) not in config
    assert json.loads(config)["base_model_name_or_path"] == "tiny:1.0.0"
    assert list(json.loads(config)) == sorted(json.loads(config))
    assert len(read_adapter(folder).pairs) == 3 * 7
    base = AutoModelForCausalLM.from_pretrained(order["model_dir"])
    before = own_loss(base, SEQUENCES).item()
    tuned = PeftModel.from_pretrained(base, folder)
    assert own_loss(tuned, SEQUENCES).item() != pytest.approx(before)
    assert all(weight.dtype == torch.float32 for weight in tuned.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_full_fine_tune_writes_a_model_in_the_bases_dtype(order: dict[str, Any], tmp_path: Path, dtype: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = make_model(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    order |= {"adapter": "none", "model_dir": str(base), "dtype": dtype}
    result, events = run(order)
    assert result["trainable_percentage"] == 100.0
    assert of_type(events, "progress")[-1]["loss"] < of_type(events, "progress")[0]["loss"]
    tuned = AutoModelForCausalLM.from_pretrained(order["output_dir"])
    assert tuned.dtype == torch.bfloat16
    assert tuned.lm_head.weight is tuned.model.embed_tokens.weight
    assert AutoTokenizer.from_pretrained(order["output_dir"]).chat_template
    stored = {path.name for path in Path(order["output_dir"]).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= stored


def test_training_stops_when_validation_no_longer_gets_better_and_the_best_weights_are_kept(
    order: dict[str, Any],
) -> None:
    order |= {"optimization": {"early_stopping": {"enabled": True, "patience": 2}, "scheduler": "constant"}}
    order["hyperparameters"] |= {"epochs": 40, "learning_rate": 0.1}
    result, events = run(order)
    assert result["stopped_early"]
    assert result["total_steps"] == result["convergence_step"] + 2 * 6  # two epochs of patience
    assert result["best_validation_loss"] < result["final_validation_loss"]
    assert "no better validation loss" in of_type(events, "note")[-1]["text"]
    again, _ = run(order | {"work_dir": order["work_dir"] + "2", "save_best_model": False})
    assert again["perplexity"] == pytest.approx(math.exp(again["final_validation_loss"]))
    assert again["perplexity"] > result["perplexity"]


def test_a_cancelled_run_leaves_a_checkpoint_and_goes_on_from_it(order: dict[str, Any], tmp_path: Path) -> None:
    events: Events = []
    with pytest.raises(Cancelled):
        fit(order, events.append, lambda: len(of_type(events, "progress")) == 7)
    assert of_type(events, "checkpoint")[-1]["step"] == 7
    result, after = run(order)
    assert result["resumed_from_step"] == 7
    assert of_type(after, "progress")[0]["step"] == 8
    whole, _ = run(order | {"work_dir": str(tmp_path / "w"), "output_dir": str(tmp_path / "o")})
    assert whole["validation_losses"] == result["validation_losses"]
    assert (tmp_path / "o/adapter_model.safetensors").read_bytes() == (
        tmp_path / "output/adapter_model.safetensors"
    ).read_bytes()


def test_a_finished_run_repeated_only_writes_its_files_again(order: dict[str, Any]) -> None:
    first, _ = run(order)
    before = (Path(order["output_dir"]) / "adapter_model.safetensors").read_bytes()
    again, events = run(order)
    assert not of_type(events, "progress")
    assert (Path(order["output_dir"]) / "adapter_model.safetensors").read_bytes() == before
    assert again["final_loss"] == first["final_loss"]


def test_a_run_records_the_rows_of_the_batches_it_consumed(order: dict[str, Any]) -> None:
    order["hyperparameters"] |= {"max_steps": 8}
    result, _ = run(order)
    steps = [json.loads(line) for line in Path(result["row_ids_path"]).read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in steps] == [*((1, step) for step in range(1, 7)), (2, 7), (2, 8)]
    assert [epoch["rows"] for epoch in result["epochs"]] == [48, 16]
    first = [row_id for line in steps[:6] for row_id in line["row_ids"]]
    assert sorted(first) == sorted(f"row-{number}" for number in range(48))
    assert result["epochs"][0]["sha256"] == hashlib.sha256("".join(f"{name}\n" for name in first).encode()).hexdigest()


def test_accumulated_batches_teach_what_one_large_batch_teaches(order: dict[str, Any], tmp_path: Path) -> None:
    order |= {"adapter": {"r": 4}, "validation_path": None}
    losses = []
    for name, size, accumulation in (("a", 8, 1), ("b", 4, 2)):
        order["hyperparameters"] |= {"batch_size": size, "gradient_accumulation_steps": accumulation, "epochs": 1}
        rows = write_rows(tmp_path / "eight.jsonl", 8)
        one = order | {
            "train_path": str(rows),
            "work_dir": str(tmp_path / name),
            "output_dir": str(tmp_path / f"{name}o"),
        }
        one["hyperparameters"] = {**order["hyperparameters"], "epochs": 3}
        losses.append([event["loss"] for event in of_type(run(one)[1], "progress")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_work_folder_takes_only_one_run(order: dict[str, Any]) -> None:
    run(order)
    with pytest.raises(Conflict, match="other settings or rows"):
        run(order | {"seed": 9})


def test_a_diverged_run_says_so(order: dict[str, Any]) -> None:
    order |= {"adapter": "none"}
    order["hyperparameters"] |= {"learning_rate": 9.9, "max_grad_norm": 1e9, "epochs": 50}
    with pytest.raises(InvalidInput, match=r"lower hyperparameters\.learning_rate"):
        run(order | {"optimization": {"scheduler": "constant"}, "validation_path": None})


def test_an_order_with_faults_names_all_of_them(order: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(order | {"adapter": {"rank": 4}, "hyperparameters": {"epochs": 0}})
    assert "hyperparameters.epochs" in caught.value.message
    assert "rank" in caught.value.message


def test_an_estimate_counts_what_the_run_then_does(order: dict[str, Any]) -> None:
    guess = estimate(order, lambda event: None, lambda: False)
    result, _ = run(order)
    assert guess["tokens"] == result["tokens"]
    assert guess["steps"] == result["total_steps"]
    assert guess["flops"] == pytest.approx(result["estimated_flops"])
    assert guess["trainable_params"] == result["trainable_params"]
    assert guess["total_params"] == result["total_params"]
    assert guess["seconds"] > 0
    assert guess["peak_memory_bytes"] > 700e6
