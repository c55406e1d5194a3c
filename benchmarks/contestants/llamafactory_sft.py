"""LLaMA-Factory's turn of ``benchmarks/training.py``; runs in an environment that has llamafactory.

Where torch is a CPU build, PyPI's torchaudio does not load; an empty module of that name in the environment will do, as
only audio uses it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from llamafactory.train.tuner import run_exp


def main() -> None:
    order = json.loads(sys.argv[1])
    torch.set_num_threads(order["threads"])
    folder = Path(order["folder"])
    chats = [json.loads(line)["messages"] for line in Path(order["rows"]).read_text(encoding="utf-8").splitlines()]
    rows = [{"instruction": chat[0]["content"], "input": "", "output": chat[1]["content"]} for chat in chats]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}), encoding="utf-8")
    run_exp(
        {
            "model_name_or_path": order["model"],
            "stage": "sft",
            "do_train": True,
            "finetuning_type": "lora",
            "lora_rank": order["rank"],
            "lora_alpha": 2 * order["rank"],
            "lora_target": "all",
            "dataset": "rows",
            "dataset_dir": str(folder),
            "template": "smollm2",
            "cutoff_len": 1024,
            "preprocessing_num_workers": 1,
            "disable_gradient_checkpointing": True,
            "train_sampling_strategy": "group_by_length",
            "per_device_train_batch_size": order["batch_size"],
            "gradient_accumulation_steps": 1,
            "num_train_epochs": 1,
            "learning_rate": 2e-3,
            "bf16": order["dtype"] == "bfloat16",
            "use_cpu": True,
            "save_strategy": "no",
            "report_to": "none",
            "output_dir": str(folder / "output"),
            "seed": 0,
        }
    )
    metrics = json.loads((folder / "output" / "train_results.json").read_text(encoding="utf-8"))
    print(json.dumps({"seconds": metrics["train_runtime"], "loss": metrics["train_loss"]}))


if __name__ == "__main__":
    main()
