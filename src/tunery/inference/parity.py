"""Prove that a GGUF file computes what its model folder computes."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import EngineFailed, FormatInvalid
from tunery.kit.extras import require
from tunery.weights.gguf_header import read_gguf_header

__all__ = ["TOLERANCE", "ParityReport", "prove_parity"]

TOLERANCE = 0.15
"""Largest difference of log-probabilities that is still rounding.

Measured on a model of 135 M parameters: 0.02 for its f16 file; 15.9 with query and key rows left in the wrong order,
3.4 with a wrong rotary base.
"""

POSITIONS_PER_PROMPT = 8
TOP_TOKENS = 10
_PROMPTS = (
    "The capital of France is",
    "def area(r):\n    return 3.14159 * r ** 2\n\nprint(",
    "It's 350 Fifth Ave, NY 10118; we'd say “Größe” or 東京:",
)


@dataclass(frozen=True)
class ParityReport:
    """How close llama.cpp came to transformers (float32).

    Attributes:
        positions: Number of next-token distributions compared.
        same_top_token: How many of them had the same most likely token.
        max_difference: Largest difference of log-probabilities (natural logarithm) among the likely tokens.
    """

    positions: int
    same_top_token: int
    max_difference: float


@dataclass(frozen=True)
class _Trace:
    """A prompt, and the likely next tokens with their log-probabilities after each of its last prefixes."""

    prompt: list[int]
    likely: list[dict[int, float]]


def prove_parity(
    model_dir: Path, gguf_path: Path, adapter_dir: Path | None = None, adapter_gguf: Path | None = None
) -> ParityReport:
    """Compare what llama.cpp and transformers (float32) expect to come next at many places of fixed prompts.

    Blocks for some seconds and needs memory for the model in float32 as well as for the GGUF file.

    Raises:
        FormatInvalid: the two split text differently or diverge beyond ``TOLERANCE``: the GGUF file must not be served.
        EngineFailed: llama.cpp does not open the file.
    """
    for path in filter(None, (gguf_path, adapter_gguf)):
        read_gguf_header(path)
    traces = _ask_llama_cpp(model_dir, gguf_path, adapter_gguf)
    return _compare(traces, model_dir, adapter_dir)


def _ask_llama_cpp(model_dir: Path, gguf_path: Path, adapter_gguf: Path | None) -> list[_Trace]:
    tokenizer = require("tokenizers", "serve").Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    special = next((token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special), "")
    plain = tokenizer.encode("The", add_special_tokens=False).ids[0]
    key = secrets.token_urlsafe()
    server = _start(gguf_path, adapter_gguf, key)
    traces = []
    for text in (*_PROMPTS, f"{special}user\nHi!{special}\n"):
        prompt = tokenizer.encode(text).ids
        if (other := _tokenize(server.listening_address, key, text)) != prompt:
            raise FormatInvalid(
                f"the GGUF file splits {text!r} into {other}, the tokenizer.json of its model into {prompt}"
            )
        traces.append(_Trace(prompt, [_next_tokens(server, prompt[:end], plain) for end in _ends(prompt)]))
    return traces


def _start(gguf_path: Path, adapter_gguf: Path | None, key: str) -> Any:
    xllamacpp = require("xllamacpp", "serve")
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf_path)
    params.api_keys = [key]
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 512, 1, 0
    params.warmup, params.verbosity = False, -1
    # Its threads wait for one another by spinning; with all cores, one busy neighbour makes this ten times slower.
    params.cpuparams.n_threads = max(1, (os.cpu_count() or 1) // 2)
    # The default 16-bit cache and flash attention would add their own rounding to what is measured here.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    if adapter_gguf is not None:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = str(adapter_gguf), 1.0
        params.lora_adapters = [adapter]
    try:
        return xllamacpp.Server(params)
    except RuntimeError as fault:
        raise EngineFailed(f"llama.cpp does not open {gguf_path.name}: {fault}") from fault


def _tokenize(address: str, key: str, text: str) -> list[int]:
    import httpx

    answer = httpx.post(
        f"{address}/tokenize",
        json={"content": text, "add_special": True, "parse_special": True},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    if answer.status_code != httpx.codes.OK:
        raise EngineFailed(f"llama.cpp answered {answer.status_code} when asked to tokenize: {answer.text[:200]}")
    return list(answer.json()["tokens"])


def _ends(prompt: list[int]) -> range:
    return range(max(1, len(prompt) - POSITIONS_PER_PROMPT + 1), len(prompt) + 1)


def _next_tokens(server: Any, prompt: list[int], plain: int) -> dict[int, float]:
    """Return the likely next tokens with their log-probabilities.

    ``plain`` is what llama.cpp is made to choose, as it tells nothing about a token that is part of a character. What
    it tells are the model's own probabilities, before that bias.
    """
    answer = server.handle_completions(
        {"prompt": prompt, "n_predict": 1, "n_probs": TOP_TOKENS, "temperature": 0, "logit_bias": [[plain, 1e6]]}
    )
    if "choices" not in answer:
        raise EngineFailed(f"llama.cpp did not continue a prompt: {str(answer)[:200]}")
    return {e["id"]: e["logprob"] for e in answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]}


def _compare(traces: list[_Trace], model_dir: Path, adapter_dir: Path | None) -> ParityReport:
    torch = require("torch", "train")
    model = _load(model_dir, adapter_dir)
    worst, same, positions = 0.0, 0, 0
    for trace in traces:
        with torch.inference_mode():
            ids = torch.tensor([trace.prompt])
            rows = model(ids, use_cache=False, logits_to_keep=len(trace.likely)).logits[0].log_softmax(-1)
        for row, likely in zip(rows, trace.likely, strict=True):
            best = max(likely, key=lambda token: likely[token])
            # The second term sees a token that llama.cpp should have found most likely and did not even list.
            worst = max(worst, float(row.max() - row[best]), *(abs(float(row[t]) - p) for t, p in likely.items()))
            same += int(row.argmax()) == best
            positions += 1
    # Not "worst > TOLERANCE": NaN must fail too.
    if not worst <= TOLERANCE:
        raise FormatInvalid(
            f"the GGUF file does not compute what {model_dir.name!r} computes: log-probabilities differ by {worst:.2f}"
            f" (at most {TOLERANCE} is rounding), {same} of {positions} most likely tokens agree; convert it anew",
            max_difference=worst,
            same_top_token=same,
            positions=positions,
        )
    return ParityReport(positions, same, worst)


def _load(model_dir: Path, adapter_dir: Path | None) -> Any:
    transformers = require("transformers", "train")
    torch = require("torch", "train")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )
    if adapter_dir is not None:
        model = require("peft", "train").PeftModel.from_pretrained(model, adapter_dir, local_files_only=True)
    return model.eval()
