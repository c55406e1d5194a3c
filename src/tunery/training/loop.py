"""The training loop: steps, validation, early stop, checkpoints; every stop of it can be resumed exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from tunery.errors import Cancelled, InvalidInput
from tunery.training.batches import Plan, in_order_of_length
from tunery.training.checkpoints import Checkpoint, Checkpoints
from tunery.training.early_stopping import EarlyStopper
from tunery.training.model import Policy
from tunery.training.ports import Example, Method
from tunery.training.random_state import load_random_state, random_state
from tunery.training.schedule import learning_rate_at
from tunery.training.schemas import TrainSpec
from tunery.training.throughput import Throughput

__all__ = ["Loop"]

Emit = Callable[[dict[str, Any]], None]

_SAVING_SHARE = 0.05
_LEAST_SECONDS_BETWEEN = 15.0


@dataclass
class Loop:
    """One run in progress.

    Attributes:
        spec: What was ordered.
        policy: The model; its trainable weights move.
        method: Computes the loss.
        train: Examples to learn from.
        validation: Examples to measure on; empty for none.
        plan: Which rows make up which step.
        checkpoints: Where states are kept.
        emit: Takes events.
        cancelled: Asked before every step.
    """

    spec: TrainSpec
    policy: Policy
    method: Method
    train: list[Example]
    validation: list[Example]
    plan: Plan
    checkpoints: Checkpoints
    emit: Emit
    cancelled: Callable[[], bool]
    stopper: EarlyStopper = field(init=False)
    speed: Throughput = field(default_factory=Throughput)
    finished: bool = False
    stopped_early: bool = False
    best_weights_step: int | None = None
    validation_losses: dict[int, float] = field(default_factory=dict)
    epoch_loss: float = 0.0
    epoch_weight: int = 0

    def __post_init__(self) -> None:
        early = self.spec.optimization.early_stopping
        self.stopper = EarlyStopper(early.patience if early.enabled else None)
        self.optimizer = _adamw(self.policy, self.spec)
        self._saved_at = time.monotonic()
        self._saving_seconds = 0.0

    def run(self) -> None:
        """Train to the end. Raises: Cancelled: a checkpoint was written first. InvalidInput: the loss is not finite."""
        self.policy.model.train()
        total = self.plan.total_steps
        while not self.finished:
            epoch = self.plan.epoch_of(self.speed.steps + 1)
            begun = self.speed.steps % self.plan.steps_per_epoch
            if begun == 0:
                self.epoch_loss, self.epoch_weight = 0.0, 0
            for batches in self.plan.epoch(epoch)[begun:]:
                self._check_cancelled()
                clock = time.monotonic()
                self._step(batches, epoch)
                step = self.speed.steps
                if self._is_evaluated(step):
                    self._evaluate(step)
                self.finished = self.finished or step == total
                self.speed.seconds += time.monotonic() - clock
                if self.finished or self._is_saved(step):
                    self._save()
                if self.finished:
                    break

    def resume(self, checkpoint: Checkpoint) -> None:
        """Take over the state of a checkpoint."""
        state = checkpoint.state()
        with torch.no_grad():
            for name, value in checkpoint.tensors("weights").items():
                self.policy.trainable[name].copy_(value)
        _load_moments(self.optimizer, self.policy, checkpoint.tensors("optimizer"))
        load_random_state(checkpoint.tensors("random"), state["random"])
        self.stopper, self.speed = EarlyStopper(**state["stopper"]), Throughput(**state["speed"])
        self.finished, self.stopped_early = state["finished"], state["stopped_early"]
        self.best_weights_step = state["best_weights_step"]
        self.validation_losses = {int(step): value for step, value in state["validation_losses"].items()}
        self.epoch_loss, self.epoch_weight = state["epoch_loss"], state["epoch_weight"]

    @property
    def training_loss(self) -> float:
        """The mean loss over the epoch in progress."""
        return self.epoch_loss / self.epoch_weight if self.epoch_weight else math.nan

    def _step(self, batches: list[list[int]], epoch: int) -> None:
        clock = time.monotonic()
        number, spec = self.speed.steps + 1, self.spec
        rate = learning_rate_at(
            number,
            self.plan.total_steps,
            spec.learning_rate,
            spec.hyperparameters.warmup_steps,
            spec.optimization.scheduler,
        )
        weight = sum(self.train[row].weight for rows in batches for row in rows)
        loss = 0.0
        for rows in batches:
            part = self.method.loss(self.policy, [self.train[row] for row in rows])
            torch.autograd.backward(part.total / weight)
            loss += float(part.total.detach())
        if not math.isfinite(loss):
            raise InvalidInput(
                f"the loss of step {number} is {loss / weight}: training has diverged; lower hyperparameters."
                f"learning_rate ({spec.learning_rate:g}) or raise warmup_steps ({spec.hyperparameters.warmup_steps})"
            )
        torch.nn.utils.clip_grad_norm_(self.policy.trainable.values(), spec.hyperparameters.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.epoch_loss += loss
        self.epoch_weight += weight
        tokens = sum(self.train[row].length for rows in batches for row in rows)
        self.speed.add_step(tokens, time.monotonic() - clock)
        self._report(loss / weight, rate, epoch)

    def _report(self, loss: float, rate: float, epoch: int) -> None:
        total = self.plan.total_steps
        self.emit(
            {
                "type": "progress",
                "step": self.speed.steps,
                "total_steps": total,
                "epoch": epoch,
                "total_epochs": self.plan.epoch_of(total),
                "loss": loss,
                "learning_rate": rate,
                "tokens_per_second": self.speed.tokens_per_second,
                "remaining_seconds": self.speed.remaining_seconds(total),
            }
        )

    def _is_evaluated(self, step: int) -> bool:
        if not self.validation:
            return False
        every = self.spec.optimization.evaluate_every_steps
        due = step % every == 0 if every else self.plan.ends_epoch(step)
        return due or step == self.plan.total_steps

    def _evaluate(self, step: int) -> None:
        loss = self.validation_loss()
        self.validation_losses[step] = loss
        self.emit({"type": "evaluated", "step": step, "validation_loss": loss})
        if self.stopper.observe(loss, step) and self.spec.save_best_model:
            self.checkpoints.save_best(step, self.policy.trainable)
            self.best_weights_step = step
        if self.stopper.exhausted and step < self.plan.total_steps:
            self.stopped_early = self.finished = True
            self.emit(
                {
                    "type": "note",
                    "text": f"stopped after step {step}: no better validation loss in "
                    f"{self.stopper.waited} evaluations (best {self.stopper.best:.4f} at {self.stopper.best_step})",
                }
            )

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Measure the mean loss over the validation rows; no random number is drawn."""
        self.policy.model.eval()
        total, weight = 0.0, 0
        lengths = [example.length for example in self.validation]
        for rows in in_order_of_length(lengths, self.spec.hyperparameters.batch_size):
            if self.cancelled():
                raise Cancelled
            part = self.method.loss(self.policy, [self.validation[row] for row in rows])
            total += float(part.total)
            weight += part.weight
        self.policy.model.train()
        return total / weight

    def _check_cancelled(self) -> None:
        if self.cancelled():
            if self.speed.steps:
                self._save()
            raise Cancelled

    def _is_saved(self, step: int) -> bool:
        if self.spec.checkpoint_every_steps:
            return step % self.spec.checkpoint_every_steps == 0
        least = max(_LEAST_SECONDS_BETWEEN, self._saving_seconds / _SAVING_SHARE)
        return time.monotonic() - self._saved_at >= least

    def _save(self) -> None:
        began = time.monotonic()
        self.speed.peak_memory_bytes = max(self.speed.peak_memory_bytes, self.policy.machine.peak_memory_bytes())
        tensors, plain = random_state()
        state = {
            "schema": 1,
            "stopper": self.stopper.state(),
            "speed": self.speed.state(),
            "finished": self.finished,
            "stopped_early": self.stopped_early,
            "best_weights_step": self.best_weights_step,
            "validation_losses": {str(step): value for step, value in self.validation_losses.items()},
            "epoch_loss": self.epoch_loss,
            "epoch_weight": self.epoch_weight,
            "random": plain,
        }
        groups: dict[str, Mapping[str, torch.Tensor]] = {
            "weights": self.policy.trainable,
            "optimizer": _moments(self.optimizer, self.policy),
            "random": tensors,
        }
        path = self.checkpoints.save(self.speed.steps, state, groups)
        self._saved_at = time.monotonic()
        self._saving_seconds = self._saved_at - began
        self.emit({"type": "checkpoint", "step": self.speed.steps, "path": str(path)})


def _adamw(policy: Policy, spec: TrainSpec) -> torch.optim.Optimizer:
    """Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), arXiv 1711.05101, algorithm 2."""
    decay = spec.hyperparameters.weight_decay
    matrices = [weight for weight in policy.trainable.values() if weight.ndim > 1]
    others = [weight for weight in policy.trainable.values() if weight.ndim <= 1]  # norms and biases do not decay
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=spec.learning_rate, fused=True)


def _moments(optimizer: torch.optim.Optimizer, policy: Policy) -> dict[str, torch.Tensor]:
    return {
        f"{name}|{key}": value
        for name, weight in policy.trainable.items()
        for key, value in optimizer.state[weight].items()
    }


def _load_moments(optimizer: torch.optim.Optimizer, policy: Policy, saved: dict[str, torch.Tensor]) -> None:
    for entry, value in saved.items():
        name, _, key = entry.rpartition("|")
        weight = policy.trainable[name]
        # The step count of the fused optimizer lies beside the weights, and so do the moments.
        optimizer.state[weight][key] = value.to(weight.device)
