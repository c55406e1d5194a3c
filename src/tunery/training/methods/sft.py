"""``sft``: supervised fine-tuning on what the assistant said, on a completion, or on a whole text."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunery.datasets.shapes import Shape
from tunery.errors import InvalidInput
from tunery.training.ports import METHODS, LossSum

if TYPE_CHECKING:
    from torch import Tensor

    from tunery.training.model import Policy
    from tunery.training.text import ChatText, Tokens

__all__ = ["Sft", "SftExample"]


@dataclass(frozen=True)
class SftExample:
    """One row as tokens; ``targets`` are the positions of the learned ones."""

    row_id: str
    ids: array[int]
    targets: array[int]

    @property
    def length(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> int:
        return len(self.targets)


class Sft:
    """Learns to produce the answers of the rows."""

    summary = "Supervised fine-tuning: learn to give the answers that the rows give. Chats that use tools are refused."
    shapes: frozenset[Shape] = frozenset({"chat", "completion", "text"})

    def encode(self, row: Mapping[str, Any], text: ChatText) -> SftExample:
        """Tokenize a row of messages, of prompt and completion, or of text."""
        tokens = _tokens(row, text)
        targets = array("i", (place for place, learned in enumerate(tokens.learned) if learned and place > 0))
        if not targets:
            raise InvalidInput("there is nothing in it to learn: no answer of an assistant, or an empty text")
        return SftExample(row["row_id"], array("i", tokens.ids), targets)

    def loss(self, policy: Policy, examples: Sequence[SftExample]) -> LossSum:
        """Sum the cross-entropy over the learned tokens."""
        ids, places, labels = self.batch(policy, examples)
        return LossSum(policy.token_loss(ids, places, labels), len(labels))

    def batch(self, policy: Policy, examples: Sequence[SftExample]) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids ``[batch, length]``, the places in them (flattened) that predict a target, and the targets.

        Sequences are padded on the right and no mask is needed: a token never looks at what comes after it, and
        padding is never a target. The vocabulary is only computed where a target follows.
        """
        import torch

        longest = max(example.length for example in examples)
        ids = torch.zeros(len(examples), longest, dtype=torch.long)
        places, labels = array("q"), array("i")
        for number, example in enumerate(examples):
            ids[number, : example.length] = torch.frombuffer(example.ids, dtype=torch.int32)
            places.extend(number * longest + target - 1 for target in example.targets)
            labels.extend(example.ids[target] for target in example.targets)
        return (
            ids.to(policy.device),
            torch.frombuffer(places, dtype=torch.int64).to(policy.device),
            torch.frombuffer(labels, dtype=torch.int32).long().to(policy.device),
        )


def _tokens(row: Mapping[str, Any], text: ChatText) -> Tokens:
    if row.get("tools") or any(message.get("tool_calls") for message in row.get("messages", ())):
        raise InvalidInput("it uses tools (tools, tool_calls), which sft does not train yet")
    if "messages" in row:
        return text.chat(row["messages"])
    if "prompt" in row and "completion" in row:
        return text.completion(row["prompt"], row["completion"])
    if "text" in row:
        return text.plain(row["text"])
    raise InvalidInput("it has neither messages, nor prompt and completion, nor text")


METHODS.register("sft")(Sft())
