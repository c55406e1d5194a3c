"""What a training method has to provide. How to add one: methods/ADDING.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol

from tunery.datasets.shapes import MAP_A_TABLE, Shape
from tunery.errors import InvalidInput
from tunery.plugins import Registry
from tunery.training import methods

if TYPE_CHECKING:
    import torch

    from tunery.training.model import Policy
    from tunery.training.text import ChatText

__all__ = ["METHODS", "Example", "LossSum", "Method", "check_shape"]


class Example(Protocol):
    """One encoded row. A method may keep in it what it likes; the loop needs these three."""

    @property
    def row_id(self) -> str:
        """The row it was made of."""

    @property
    def length(self) -> int:
        """Tokens of its longest sequence: rows of like length share a batch, and ``max_length`` bounds it."""

    @property
    def weight(self) -> int:
        """By how much it counts in the mean loss of a step, such as the number of tokens to learn."""


@dataclass(frozen=True)
class LossSum:
    """Loss of one batch: the differentiable sum over its parts, whose number is the batch's weight."""

    total: torch.Tensor
    weight: int


class Method(Protocol):
    """A way to train: what a row says, and how wrong the model is about it."""

    summary: str
    """One sentence for people who choose a method."""

    shapes: frozenset[Shape]
    """Shapes of datasets that it learns from; a run on another is refused before it begins."""

    def encode(self, row: Mapping[str, Any], text: ChatText) -> Example:
        """Turn a row into tokens. Raises: InvalidInput: the row is not of a shape this method learns from."""

    def loss(self, policy: Policy, examples: Sequence[Any]) -> LossSum:
        """Compute the loss of a batch of this method's examples.

        ``total / weight`` is the mean that people see. ``total`` must not depend on how rows are put into batches.
        """


def check_shape(method: str, shape: str) -> None:
    """Refuse a dataset of a shape that a method does not learn from. Raises: InvalidInput: with what would do."""
    known = METHODS.get(method).shapes
    if shape == "table":
        raise InvalidInput(f"the dataset is a plain table, of which the method {method} learns nothing; {MAP_A_TABLE}")
    if shape not in known:
        raise InvalidInput(
            f"the dataset's rows are of the shape {shape}, from which the method {method} does not learn; it takes "
            f"{', '.join(sorted(known))}. Import the data with columns that make such rows, for instance "
            "{prompt: text, completion: label} or {prompt: prompt, completion: chosen}"
        )


METHODS: Registry[Method] = Registry(
    "method", tuple(f"{methods.__name__}.{module.name}" for module in iter_modules(methods.__path__))
)
"""Every known method by name; a package adds its own by an entry point in the group ``tunery.method``."""
