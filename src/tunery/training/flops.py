"""How many floating-point operations a training takes, counted from shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunery.training.ports import Example

__all__ = ["ModelShape", "Work", "forward_flops", "training_flops"]


@dataclass(frozen=True)
class ModelShape:
    """What the number of operations depends on.

    Attributes:
        body: Parameters of the blocks' matrices, without adapters.
        above: Those of them that gradients flow back through: all, or the blocks above the lowest adapted one.
        head: Parameters of the output matrix.
        adapter: Parameters of the adapter's matrices; 0 when all weights are trained.
        attention: Blocks times attention width (heads times head size).
        attention_above: The same for the blocks that gradients flow back through.
        learns_body: Whether the blocks' own matrices are trained.
    """

    body: int
    above: int
    head: int
    adapter: int
    attention: int
    attention_above: int
    learns_body: bool

    @classmethod
    def of(cls, model: Any) -> ModelShape:
        """Read the shape of a transformers or peft model; one on the meta device will do."""
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        config = causal.config.get_text_config()
        outside = {id(causal.get_input_embeddings().weight), id(causal.get_output_embeddings().weight)}
        blocks: dict[int, int] = {}
        adapter, lowest = 0, config.num_hidden_layers
        for name, weight in causal.named_parameters():
            block = next((int(part) for part in name.split(".") if part.isdigit()), None)
            if ".lora_" in name:
                adapter += weight.numel()
            elif weight.ndim == 2 and block is not None and id(weight) not in outside:
                blocks[block] = blocks.get(block, 0) + weight.numel()
            if weight.requires_grad:
                lowest = min(lowest, block or 0)
        width = config.num_attention_heads * (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        return cls(
            body=sum(blocks.values()),
            above=sum(size for block, size in blocks.items() if block >= lowest),
            head=causal.get_output_embeddings().weight.numel(),
            adapter=adapter,
            attention=width * config.num_hidden_layers,
            attention_above=width * (config.num_hidden_layers - lowest),
            learns_body=adapter == 0,
        )


@dataclass(frozen=True)
class Work:
    """What one pass over some rows has to compute: tokens, their pairs within a row, and tokens that are learned."""

    tokens: int
    pairs: int
    learned: int

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Work:
        return cls(
            sum(example.length for example in examples),
            sum(example.length**2 for example in examples),
            sum(example.weight for example in examples),
        )


def forward_flops(shape: ModelShape, work: Work) -> float:
    """Return the operations of one pass without gradients.

    Two for each parameter and token, four for each pair of tokens and channel of attention.

    Source: Chowdhery et al., "PaLM" (2022), arXiv 2204.02311, appendix B (2N and 4LHQT forward); the vocabulary is
    only computed for the tokens that are learned.
    """
    body = 2.0 * (shape.body + shape.adapter) * work.tokens
    return body + 2.0 * shape.head * work.learned + 4.0 * shape.attention * work.pairs


def training_flops(shape: ModelShape, work: Work) -> float:
    """Return the operations of one pass with gradients.

    Backward takes as much as forward for the gradients of the activations (twice for attention), as far down as
    something learns, and as much again for the gradients of the weights that learn: all matrices in a full fine-tune,
    only the small ones with an adapter. That makes about 6N a token for the first and 4N for the second.

    Source: Kaplan et al., "Scaling Laws" (2020), arXiv 2001.08361, section 2.1; PaLM, appendix B.
    """
    activations = 2.0 * (shape.above + shape.adapter) * work.tokens + 2.0 * shape.head * work.learned
    attention = 8.0 * shape.attention_above * work.pairs
    weights = 2.0 * shape.adapter * work.tokens
    if shape.learns_body:
        weights += 2.0 * shape.body * work.tokens + 2.0 * shape.head * work.learned
    return forward_flops(shape, work) + activations + attention + weights
