"""The transformers engine: torch and peft in a child process, on whatever device there is; the one that scores."""

from __future__ import annotations

import time
from importlib.util import find_spec
from typing import Any

from tunery.inference.child import ChildEngine, engine_log, serving_spec, start_child, usable_threads
from tunery.inference.ports import ENGINES, EngineSpec
from tunery.inference.requests import check_request
from tunery.inference.templates import template_digest
from tunery.kit.extras import require

__all__ = ["TransformersEngine"]


class TransformersEngine:
    """Runs the model folder as it is: float32 on a CPU or MPS, bfloat16 on CUDA."""

    name = "transformers"

    def start(self, spec: EngineSpec, *, timeout_seconds: float = 300.0) -> ChildEngine:
        """Start serving and return once the engine is healthy; see ``Engine.start``."""
        for module in ("torch", "transformers", *(["peft"] if spec.adapters else [])):
            if find_spec(module) is None:
                require(module, "train")
        deadline = time.monotonic() + timeout_seconds
        spec, log_path = serving_spec(spec), engine_log(spec, self.name)
        order = {
            "model": str(spec.model_dir.absolute()),
            "adapters": {adapter.name: str(adapter.dir.absolute()) for adapter in spec.adapters},
            "slots": spec.slots,
            "context_length": spec.context_length,
            "threads": usable_threads(spec),
        }
        process, url, key = start_child("tunery.inference.engines.transformers_server", order, log_path, deadline)
        return ChildEngine(
            name=self.name,
            spec=spec,
            url=url,
            key=key,
            log_path=log_path,
            template_digest=template_digest(spec.model_dir),
            can_score=True,
            process=process,
            shape=_shape,
        )


def _shape(engine: ChildEngine, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
    checked = check_request(engine, body, adapter)
    return {**checked, "adapter": adapter}


ENGINES.register(TransformersEngine.name)(TransformersEngine())
