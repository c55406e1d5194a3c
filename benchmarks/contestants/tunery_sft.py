"""Tunery's turn of ``benchmarks/training.py``: the order is JSON on the command line, the answer the last line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tunery.training.fit import fit


def main() -> None:
    order = json.loads(sys.argv[1])
    folder = Path(order["folder"])
    spec = {
        "model_dir": order["model"],
        "train_path": order["rows"],
        "work_dir": str(folder / "work"),
        "output_dir": str(folder / "output"),
        "device": "cpu",
        "dtype": order["dtype"],
        "threads": order["threads"],
        "adapter": {"r": order["rank"], "lora_alpha": 2 * order["rank"], **order["adapter"]},
        "hyperparameters": {"batch_size": order["batch_size"], "epochs": 1, "learning_rate": 2e-3},
    }
    result = fit(spec, lambda event: None, lambda: False)
    print(json.dumps({"seconds": result["seconds"], "tokens": result["tokens"], "loss": result["final_loss"]}))


if __name__ == "__main__":
    main()
