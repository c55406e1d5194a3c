"""The loaded model: prompts to token ids, batches of answers, log-probabilities."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import InvalidInput, MalformedRequest, NotFound, UnsafeFormat
from tunery.inference.control_tokens import control_tokens_of, is_marked
from tunery.kit.extras import require

__all__ = ["LoadedModel", "Row"]


@dataclass(frozen=True)
class Row:
    """One prompt of a batch and how its answer is chosen.

    Attributes:
        prompt: Token ids of the prompt, at least one.
        temperature: 0 takes the likeliest token; else logits are divided by it after the tail is cut.
        top_p: Share of the probability that is sampled from.
        seed: Makes sampling repeatable; None draws a fresh one.
        accept: Called with each token; true when the answer is complete.
        cancelled: Asked before each step; true drops the row.
    """

    prompt: Sequence[int]
    temperature: float
    top_p: float
    seed: int | None
    accept: Callable[[int], bool]
    cancelled: Callable[[], bool]


class LoadedModel:
    """A causal language model with its tokenizer and adapters. Only one thread may generate or score at a time.

    Args:
        model_dir: Folder in transformers' layout with safetensors weights.
        adapters: Folder of each adapter by name.
        threads: CPU threads.
    """

    def __init__(self, model_dir: Path, adapters: dict[str, Path], threads: int) -> None:
        torch = require("torch", "train")
        transformers = require("transformers", "train")
        torch.set_num_threads(threads)
        self.device, dtype = _device(torch)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=dtype, use_safetensors=True, local_files_only=True, trust_remote_code=False
        )
        self._adapters = {name: f"adapter_{number}" for number, name in enumerate(adapters)}
        self._model = _with_adapters(model, {self._adapters[name]: dir for name, dir in adapters.items()})
        self._model.to(self.device).eval()
        self._config = model.config
        self.end_tokens = _end_tokens(model, self.tokenizer)
        self._encoding = threading.Lock()
        self._control = control_tokens_of(self.tokenizer)

    def encode_chat(self, messages: list[dict[str, str]]) -> list[int]:
        """Return the token ids of a conversation up to where the answer begins."""
        from jinja2 import TemplateError

        if self.tokenizer.chat_template is None:
            raise InvalidInput("this model has no chat template; ask it through /v1/completions")
        try:
            with self._encoding:
                marked = self._control.mark(messages)
                text = self.tokenizer.apply_chat_template(marked, add_generation_prompt=True, tokenize=False)
        except TemplateError as fault:
            raise MalformedRequest(f"the model's chat template refuses the messages: {fault}") from fault
        return self._encode(text, special=False)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Return the token ids of a text, with the tokens that the tokenizer puts before a text or without.

        A control token that the text spells is text.
        """
        with self._encoding:
            marked = self._control.mark(text)
        return self._encode(marked, special=special)

    def _encode(self, text: str, *, special: bool) -> list[int]:
        with self._encoding:
            if not is_marked(text):
                return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
            around = self.tokenizer("", add_special_tokens=special)["input_ids"]
            return [*around, *self._control.encode(text)[0]]

    def check_adapter(self, name: str | None) -> None:
        """Refuse an adapter that is not here. Raises: NotFound."""
        if name is not None and name not in self._adapters:
            raise NotFound(f"this engine holds no adapter {name!r}")

    def generate(self, rows: Sequence[Row], adapter: str | None) -> None:
        """Write the answers of a batch together; each row's ``accept`` gets its tokens as they come."""
        import torch
        from transformers import DynamicCache

        tokens, mask = self._left_padded([row.prompt for row in rows])
        generators = [_generator(row.seed) for row in rows]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._config)
        live = list(range(len(rows)))
        with torch.inference_mode(), self._active(adapter):
            while True:
                out = self._model(
                    input_ids=tokens,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                chosen = _choose(out.logits[:, -1].float(), [rows[i] for i in live], [generators[i] for i in live])
                going = [
                    place
                    for place, (i, token) in enumerate(zip(live, chosen, strict=True))
                    if not rows[i].accept(token) and not rows[i].cancelled()
                ]
                if not going:
                    return
                if len(going) < len(live):
                    kept = torch.tensor(going, device=self.device)
                    cache.batch_select_indices(kept)
                    mask, positions = mask[kept], positions[kept]
                live = [live[place] for place in going]
                tokens = torch.tensor([[chosen[place]] for place in going], device=self.device)
                mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
                positions = positions[:, -1:] + 1

    def score(self, prompt: Sequence[int], completion: Sequence[int], adapter: str | None) -> list[float]:
        """Return the natural log-probability of each token of the completion after the prompt.

        With an empty prompt the completion's first token has nothing before it and is not scored.
        """
        import torch

        ids = torch.tensor([[*prompt, *completion]], device=self.device)
        scored = len(completion) if prompt else len(completion) - 1
        if scored < 1:
            return []
        with torch.inference_mode(), self._active(adapter):
            logits = self._model(input_ids=ids, use_cache=False, logits_to_keep=scored + 1).logits[0, :-1].float()
            logprobs = logits.log_softmax(-1).gather(1, ids[0, -scored:, None])
        return [float(value) for value in logprobs[:, 0].tolist()]

    @contextmanager
    def _active(self, adapter: str | None) -> Iterator[None]:
        if adapter is not None:
            self._model.set_adapter(self._adapters[adapter])
            yield
        elif self._adapters:
            with self._model.disable_adapter():
                yield
        else:
            yield

    def _left_padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        import torch

        longest = max(map(len, prompts))
        tokens = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        return torch.tensor(tokens, device=self.device), torch.tensor(mask, device=self.device)


def _device(torch: Any) -> tuple[str, Any]:
    if torch.cuda.is_available():
        return "cuda", torch.bfloat16
    if torch.backends.mps.is_available():
        return "mps", torch.float32
    return "cpu", torch.float32


def _with_adapters(model: Any, adapters: dict[str, Path]) -> Any:
    for name, folder in adapters.items():
        if not (folder / "adapter_model.safetensors").is_file():
            raise UnsafeFormat(
                f"the adapter in {folder.name} has no adapter_model.safetensors; other files are not read"
            )
        peft = require("peft", "train")
        if isinstance(model, peft.PeftModel):
            model.load_adapter(folder, adapter_name=name, local_files_only=True)
        else:
            model = peft.PeftModel.from_pretrained(model, folder, adapter_name=name, local_files_only=True)
    return model


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    stated = model.generation_config.eos_token_id
    ids = stated if isinstance(stated, list) else [stated]
    return frozenset(i for i in (*ids, tokenizer.eos_token_id) if i is not None)


def _generator(seed: int | None) -> Any:
    import torch

    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator


def _choose(logits: Any, rows: Sequence[Row], generators: Sequence[Any]) -> list[int]:
    """Pick each row's next token from logits: float32 [rows, vocabulary]."""
    chosen: list[int] = logits.argmax(-1).tolist()
    for place, row in enumerate(rows):
        if row.temperature > 0:
            chosen[place] = _sample(logits[place].cpu(), row, generators[place])
    return chosen


def _sample(logits: Any, row: Row, generator: Any) -> int:
    """Draw from the nucleus. Source: Holtzman et al. 2020, arXiv:1904.09751, section 3.1."""
    import torch

    ordered, ids = (logits / row.temperature).sort(descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    probabilities = probabilities.masked_fill(before >= row.top_p, 0.0)
    return int(ids[torch.multinomial(probabilities, 1, generator=generator)])
