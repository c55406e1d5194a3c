"""How fast engines answer: ``python benchmarks/engines.py MODEL_DIR [ADAPTER_DIR]``; prints numbers, asserts none.

For each engine: time to start, and chat answers of at most 40 tokens with 1, 4 and 8 asked at once, by the base, by the
adapter, and by both in turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tunery.inference.completing import ChatPrompt, Completion, complete
from tunery.inference.ports import ENGINES, AdapterSpec, EngineSpec, RunningEngine

PROMPTS = [
    ChatPrompt([{"role": "user", "content": f"List what is special about the number {number} in a few sentences."}])
    for number in range(100, 132)
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("adapter_dir", type=Path, nargs="?")
    parser.add_argument("--engine", action="append", choices=ENGINES.names())
    arguments = parser.parse_args()
    adapters = (AdapterSpec("adapter", arguments.adapter_dir, "1" * 64),) if arguments.adapter_dir else ()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.engine or ENGINES.names():
            spec = EngineSpec(arguments.model_dir, "0" * 64, Path(folder), Path(folder), adapters, slots=8)
            measure(name, spec)


def measure(name: str, spec: EngineSpec) -> None:
    with timed(f"{name}: first start"):
        ENGINES.get(name).start(spec).stop()
    with timed(f"{name}: next start"):
        engine = ENGINES.get(name).start(spec)
    who: list[str | None] = [None, *(adapter.name for adapter in spec.adapters)]
    with engine:
        answer(engine, 8, lambda _: None)
        for concurrency in (1, 4, 8):
            for label, choose in choices(who).items():
                began = time.perf_counter()
                made = answer(engine, concurrency, choose)
                seconds = time.perf_counter() - began
                tokens = sum(completion.completion_tokens for completion in made)
                print(f"{name}: {concurrency} at once, {label}: {tokens / seconds:.0f} tokens/s", flush=True)


def choices(who: list[str | None]) -> dict[str, Callable[[int], str | None]]:
    one: dict[str, Callable[[int], str | None]] = {str(w or "base"): lambda _, w=w: w for w in who}
    return one | ({"in turns": lambda number: who[number % 2]} if len(who) > 1 else {})


def answer(engine: RunningEngine, concurrency: int, choose: Callable[[int], str | None]) -> list[Completion]:
    prompts = PROMPTS[: 8 * concurrency]

    def ask(number: int) -> Completion:
        return complete(engine, [prompts[number]], adapter=choose(number), max_tokens=40)[0]

    with ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(ask, range(len(prompts))))


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
