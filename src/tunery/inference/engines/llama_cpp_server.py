"""The llama.cpp engine's process: ``python -m tunery.inference.engines.llama_cpp_server``, order on standard input."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from tunery.inference.control_tokens import ControlTokens
from tunery.inference.engines.listening import serve
from tunery.inference.engines.llama_cpp_front import build_front
from tunery.inference.lifeline import begin
from tunery.kit.extras import require

__all__ = ["main"]


def main() -> None:
    """Serve until the parent ends."""
    order, ready = begin()
    xllamacpp = require("xllamacpp", "serve")
    server = xllamacpp.Server(_parameters(xllamacpp, order))
    control = ControlTokens(Path(order["tokenizer"]).read_text(encoding="utf-8"))
    serve(build_front(server.listening_address, control, order["context_length"]), ready)


def _parameters(xllamacpp: ModuleType, order: dict[str, Any]) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = order["model"]
    parameters.model_alias = {"model"}
    # At scale 0 a request that names no adapter is answered by the base alone.
    parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 0.0) for path in order["adapters"]]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [order["key"]]
    parameters.n_parallel = order["slots"]
    parameters.n_ctx = order["slots"] * order["context_length"]
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = order["threads"]
    parameters.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    parameters.force_pure_content_parser = True
    parameters.prefill_assistant = False
    parameters.cache_ram_mib = 0  # each slot keeps its last prompt; 8 GiB of older ones are not worth their memory
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.endpoint_metrics = True
    parameters.cors_origins = ""
    return parameters


if __name__ == "__main__":
    main()
