"""The recipe's sections that training owns, and the whole order of one run for the child process."""

from __future__ import annotations

import difflib
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tunery.training.ports import METHODS

__all__ = [
    "ADAPTER_LEARNING_RATE",
    "FULL_LEARNING_RATE",
    "AdapterSection",
    "EarlyStopping",
    "Hyperparameters",
    "LoraAdapter",
    "Optimization",
    "TrainSpec",
    "TrainingSection",
]

ADAPTER_LEARNING_RATE = 5e-4
"""About ten times the rate of a full fine-tune. Source: Schulman et al., "LoRA Without Regret" (2025)."""

FULL_LEARNING_RATE = 5e-5

_LAYERS = re.compile(r"(top|bottom):([1-9][0-9]{0,3})")


class Section(BaseModel):
    """A section of a recipe: unknown keys are faults, and nothing in it changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Hyperparameters(Section):
    """How far and how fast to move the weights."""

    learning_rate: float | None = Field(
        None, gt=0, lt=10, description="Highest learning rate; none: 5e-4 for an adapter, 5e-5 for all weights."
    )
    batch_size: int = Field(8, ge=1, le=4096, description="Rows that are computed at once.")
    epochs: int = Field(3, ge=1, le=10_000, description="How often every training row is seen.")
    warmup_steps: int = Field(0, ge=0, description="Steps in which the learning rate rises from 0.")
    weight_decay: float = Field(0.0, ge=0, le=10, description="Pull of the weights towards 0 (decoupled, AdamW).")
    max_steps: int | None = Field(None, ge=1, description="Steps after which training ends, whatever the epochs say.")
    gradient_accumulation_steps: int = Field(
        1, ge=1, le=4096, description="Batches whose gradients make up one step; saves memory, costs no accuracy."
    )
    max_grad_norm: float = Field(1.0, gt=0, description="Longest gradient (2-norm) that is not scaled down.")
    max_length: int = Field(
        1024, ge=8, le=1_048_576, description="Most tokens a row may have; longer ones are reported, never cut."
    )
    too_long: Literal["error", "drop"] = Field(
        "error", description="Rows over `max_length`: `error` stops before training, `drop` leaves them out, counted."
    )


class EarlyStopping(Section):
    """When to stop before the last epoch."""

    enabled: bool = Field(False, description="Whether to stop when the metric no longer gets better.")
    patience: int = Field(2, ge=1, description="Evaluations without a better value after which training stops.")
    metric: Literal["validation_loss"] = Field("validation_loss", description="What has to get better.")


class Optimization(Section):
    """Which optimizer moves the weights, and by which schedule."""

    optimizer: Literal["adamw"] = Field("adamw", description="The optimizer.")
    scheduler: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="Course of the learning rate after the warm-up; `linear` and `cosine` fall to 0."
    )
    early_stopping: EarlyStopping = Field(default_factory=EarlyStopping, description="When to stop early.")
    evaluate_every_steps: int | None = Field(
        None, ge=1, description="Steps between two measurements of the validation loss; none: after every epoch."
    )


class LoraAdapter(Section):
    """Low-rank changes of the base's linear layers. Source: Hu et al., "LoRA" (2021), arXiv 2106.09685."""

    kind: Literal["lora"] = Field("lora", description="The kind of adapter.")
    r: int = Field(16, ge=1, le=4096, description="Rank of each change.")
    lora_alpha: float = Field(32, gt=0, lt=1e6, description="The change is scaled by `lora_alpha / r`.")
    lora_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of the adapter's inputs that is dropped at random; above 0 training is slower.",
    )
    target_modules: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="Names of the layers to adapt, such as `[q_proj, v_proj]`; or all linear ones."
    )
    layers: str | list[int] | None = Field(
        None,
        description="Blocks to adapt: `top:10` (fast: nothing is computed back below them), a list, or none for all.",
    )

    @field_validator("target_modules")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        if isinstance(value, list) and (not value or not all(re.fullmatch(r"[A-Za-z0-9_.]{1,128}", v) for v in value)):
            raise ValueError("must be all-linear or a list of layer names such as [q_proj, v_proj]")
        return value

    @field_validator("layers")
    @classmethod
    def _are_blocks(cls, value: Any) -> Any:
        if isinstance(value, str) and not _LAYERS.fullmatch(value):
            raise ValueError("must look like top:10 or bottom:4, or be a list of block numbers counted from 0")
        if isinstance(value, list) and (not value or min(value) < 0):
            raise ValueError("must name at least one block, counted from 0")
        return value

    def blocks(self, count: int) -> list[int] | None:
        """Return the numbers of the blocks to adapt in a model of ``count`` blocks; None for all of them."""
        if isinstance(self.layers, str):
            side, _, number = self.layers.partition(":")
            wanted = min(int(number), count)
            return list(range(count - wanted, count)) if side == "top" else list(range(wanted))
        return sorted(set(self.layers)) if self.layers is not None else None


AdapterSection = Literal["lora", "none"] | LoraAdapter
"""The recipe's ``adapter``: ``lora`` with its defaults, ``none`` for all weights, or a block."""


class TrainingSection(Section):
    """The keys of a recipe that say how to train; R5's sections and what Tunery adds to them."""

    method: str = Field("sft", description="The training method; a package may add its own (tunery.method).")
    adapter: AdapterSection = Field("lora", description="`lora`, `none` (all weights are trained), or a LoRA block.")
    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters, description="How far and how fast.")
    optimization: Optimization = Field(default_factory=Optimization, description="Optimizer, schedule, early stop.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of everything random: order of rows, dropout, new weights.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to compute; auto: the fastest.")

    @field_validator("method")
    @classmethod
    def _method_exists(cls, name: str) -> str:
        known = METHODS.names()
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"there is no method {name[:60]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return name

    @property
    def lora(self) -> LoraAdapter | None:
        """The adapter block with its defaults filled in; None when all weights are trained."""
        if self.adapter == "none":
            return None
        return LoraAdapter() if self.adapter == "lora" else self.adapter

    @property
    def learning_rate(self) -> float:
        """The learning rate that counts: the one given, or the default of the adapter."""
        given = self.hyperparameters.learning_rate
        return given if given is not None else (ADAPTER_LEARNING_RATE if self.lora else FULL_LEARNING_RATE)


class TrainSpec(TrainingSection):
    """The whole order of one training run. The child process that gets it knows files only."""

    model_dir: str = Field(description="Folder of the base model: config, tokenizer, safetensors.")
    base_name: str = Field("", description="What the adapter says of its base (a name, never a path).")
    train_path: str = Field(description="Training rows, one JSON object a line.")
    validation_path: str | None = Field(None, description="Validation rows, one JSON object a line.")
    work_dir: str = Field(description="Folder of this run alone: lock, checkpoints, row ids.")
    output_dir: str = Field(description="Folder for the trained files; appears whole or not at all.")
    save_best_model: bool = Field(True, description="Keep the weights of the best validation loss, not the last ones.")
    threads: int | None = Field(None, ge=1, le=1024, description="CPU threads; none: one for each physical core.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Dtype of the computation; auto: bfloat16 where the device computes in it natively."
    )
    checkpoint_every_steps: int | None = Field(
        None, ge=1, description="Steps between two checkpoints; none: as often as costs under 5 % of the time."
    )

    @model_validator(mode="after")
    def _can_stop_early(self) -> TrainSpec:
        if self.optimization.early_stopping.enabled and self.validation_path is None:
            raise ValueError("optimization.early_stopping needs validation rows: set training_data.validation_split")
        return self
