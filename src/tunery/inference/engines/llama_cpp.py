"""The llama.cpp engine: a GGUF of the base and its adapters stay resident, each request says which adapter applies."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

from tunery.inference.child import ChildEngine, engine_log, serving_spec, start_child, usable_threads
from tunery.inference.conversions import converted
from tunery.inference.ports import ENGINES, EngineSpec
from tunery.inference.requests import check_request
from tunery.inference.templates import template_digest
from tunery.kit.extras import require

__all__ = ["LlamaCppEngine"]


class LlamaCppEngine:
    """Runs a float16 GGUF made of the model folder; the fast one on a CPU."""

    name = "llama.cpp"

    def start(self, spec: EngineSpec, *, timeout_seconds: float = 300.0) -> ChildEngine:
        """Start serving and return once the engine is healthy; see ``Engine.start``."""
        if find_spec("xllamacpp") is None:
            require("xllamacpp", "serve")
        deadline = time.monotonic() + timeout_seconds
        spec, log_path = serving_spec(spec), engine_log(spec, self.name)
        model, adapters = converted(spec, log_path, deadline)
        order = {
            "model": str(model),
            "tokenizer": str(spec.model_dir.absolute() / "tokenizer.json"),
            "adapters": [str(path) for path in adapters],
            "slots": spec.slots,
            "context_length": spec.context_length,
            "threads": usable_threads(spec),
        }
        process, url, key = start_child("tunery.inference.engines.llama_cpp_server", order, log_path, deadline)
        return ChildEngine(
            name=self.name,
            spec=spec,
            url=url,
            key=key,
            log_path=log_path,
            template_digest=template_digest(spec.model_dir),
            can_score=False,
            process=process,
            shape=_shape,
        )


def _shape(engine: ChildEngine, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
    checked = check_request(engine, body, adapter)
    if "seed" in checked:
        checked["seed"] %= 2**31  # it keeps 32 bits, and the largest of them means "draw one"
    temperature = checked.setdefault("temperature", 1.0)
    # Its own defaults would cut the tail in ways OpenAI's API does not; for greedy answers a full sort is wasted.
    cut = {"samplers": ["temperature", "top_p"]} if temperature > 0 else {"samplers": ["top_k"], "top_k": 1}
    scales = [{"id": number, "scale": float(held.name == adapter)} for number, held in enumerate(engine.spec.adapters)]
    return {"top_p": 1.0, **checked, **cut, "lora": scales}


ENGINES.register(LlamaCppEngine.name)(LlamaCppEngine())
