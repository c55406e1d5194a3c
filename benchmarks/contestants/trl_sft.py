"""TRL's turn of ``benchmarks/training.py``; runs in an environment that has trl, datasets and peft."""

from __future__ import annotations

import json
import sys

import torch
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from datasets import Dataset


def main() -> None:
    order = json.loads(sys.argv[1])
    torch.set_num_threads(order["threads"])
    with open(order["rows"], encoding="utf-8") as file:
        rows = [json.loads(line)["messages"] for line in file]
    narrow = order["dtype"] == "bfloat16"
    settings = SFTConfig(
        output_dir=order["folder"],
        use_cpu=True,
        bf16=narrow,
        gradient_checkpointing=False,
        train_sampling_strategy="group_by_length",
        per_device_train_batch_size=order["batch_size"],
        num_train_epochs=1,
        learning_rate=2e-3,
        logging_strategy="epoch",
        save_strategy="no",
        report_to="none",
        model_init_kwargs={"dtype": "bfloat16" if narrow else "float32"},
        seed=0,
    )
    trainer = SFTTrainer(
        model=order["model"],
        args=settings,
        train_dataset=Dataset.from_list([{"prompt": chat[:-1], "completion": chat[-1:]} for chat in rows]),
        peft_config=LoraConfig(
            r=order["rank"], lora_alpha=2 * order["rank"], target_modules="all-linear", task_type="CAUSAL_LM"
        ),
    )
    metrics = trainer.train().metrics
    print(json.dumps({"seconds": metrics["train_runtime"], "loss": metrics["train_loss"]}))


if __name__ == "__main__":
    main()
