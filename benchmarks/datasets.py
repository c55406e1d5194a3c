"""What datasets cost: ``python benchmarks/datasets.py PART ...``; prints numbers, asserts none.

Each part runs in a process of its own, so that its peak of memory is its own:

    near        near_deduplicate on a million rows of about 1,000 characters, a tenth of them near-copies
    steps       every row-local sanitising step with its defaults, in MB/s of one core
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

MB = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="+", choices=sorted(PARTS))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for part in arguments.part:
        if arguments.child:
            PARTS[part](arguments.rows)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{part}: peak memory {peak:,.0f} MiB", flush=True)
        else:
            subprocess.run([sys.executable, __file__, part, "--rows", str(arguments.rows), "--child"], check=True)


def make_texts(count: int, seed: int = 1) -> Iterator[str]:
    """Yield texts of about 1,000 characters in words of a made-up language; every tenth is a near-copy."""
    rng = random.Random(seed)
    syllables = ["ka", "lo", "mi", "tu", "ren", "sot", "vil", "da", "pe", "xo", "zu", "an", "er", "is"]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(20_000)]
    kept: list[list[str]] = []
    for number in range(count):
        if number % 10 == 9:
            words = list(rng.choice(kept))
            for _ in range(len(words) // 40):
                words[rng.randrange(len(words))] = rng.choice(vocabulary)
        else:
            words = rng.choices(vocabulary, k=rng.randint(80, 240))
            if len(kept) < 2_000:
                kept.append(words)
            else:
                kept[rng.randrange(2_000)] = words
        yield " ".join(words)


def near(count: int) -> None:
    from tunery.datasets.rows import Row
    from tunery.datasets.sanitize import Sanitation, SanitizeStep
    from tunery.datasets.sanitize.near_deduplicate import NearDeduplicate

    size = 0

    def rows() -> Iterator[Row]:
        nonlocal size
        for number, text in enumerate(make_texts(count), start=1):
            size += len(text)
            yield Row(f"{number:032x}", number, {"text": text})

    step: Any = NearDeduplicate()  # type: ignore[call-arg]
    steps: list[SanitizeStep] = [step]
    sanitation = Sanitation(steps, "text")
    made = time.process_time()
    for _ in make_texts(count):  # what making the texts takes is not the step's
        pass
    made = time.process_time() - made
    start = time.process_time()
    left = sum(1 for _ in sanitation.run(rows()))
    cpu = time.process_time() - start - made
    record = sanitation.records()[0]
    print(
        f"near: {count:,} rows, {size / MB:,.0f} MB of text: {left:,} left ({record.affected_samples:,} near-copies), "
        f"{record.seconds:,.0f} s, {size / record.seconds / MB:,.1f} MB/s; {cpu:,.0f} s of a core"
    )


def steps(count: int) -> None:
    from tunery.datasets.rows import Row
    from tunery.datasets.sanitize import SANITIZERS, Sanitation

    rows = [Row(str(number), number, {"text": text}) for number, text in enumerate(make_texts(min(count, 20_000)))]
    size = sum(len(row.values["text"]) for row in rows)
    needed: dict[str, dict[str, Any]] = {
        "strip_keys": {"keys": ["name"]},
        "filter_by_length": {"max_len": 10_000},
        "filter_language": {"languages": ["en"]},
    }
    for name, step in SANITIZERS:
        if step.row_local:
            start = time.process_time()
            sum(1 for _ in Sanitation([step.model_validate({"step": name} | needed.get(name, {}))], "text").run(rows))
            print(f"{name}: {size / (time.process_time() - start) / MB:,.1f} MB/s of a core", flush=True)


PARTS = {"near": near, "steps": steps}


if __name__ == "__main__":
    main()
