"""What a run will take, before it runs: counted work over the measured speed of this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field

from tunery.kit.extras import require
from tunery.training.devices import Machine, choose_machine
from tunery.training.flops import ModelShape, Work, forward_flops, training_flops
from tunery.training.model import add_adapter, model_config
from tunery.training.schemas import TrainSpec
from tunery.training.trainer import Data, encode_data, make_plan

__all__ = ["Estimate", "estimate_run"]

_SHARE_OF_GEMM = 0.45
"""Part of the speed of bare matrix products that whole training steps reach; measured on CPUs, 135 M parameters."""

_LOAD_SECONDS = 10.0
"""Importing torch and transformers and opening a model of this size."""

_PROCESS_BYTES = 700_000_000
"""Of a process that has torch, transformers and peft loaded, before any model."""


class Estimate(BaseModel):
    """What a run is expected to take."""

    seconds: float = Field(description="Time on this machine when nothing else runs on it.")
    peak_memory_bytes: int = Field(description="Most memory of the training process (of the GPU where there is one).")
    flops: float = Field(description="Floating-point operations, counted from shapes.")
    tokens: int = Field(description="Tokens of all rows, over all epochs.")
    rows: int = Field(description="Training rows.")
    steps: int = Field(description="Steps at most; early stopping may end sooner.")
    dropped_rows: int = Field(description="Rows over `max_length` that will be left out.")
    total_params: int = Field(description="Parameters of the model with its adapter.")
    trainable_params: int = Field(description="Parameters that learn.")
    gemm_flops_per_second: float = Field(description="Measured speed of matrix products of this model's size.")
    device: str = Field(description="Where it would compute.")
    dtype: str = Field(description="In which dtype.")


def estimate_run(spec: TrainSpec) -> Estimate:
    """Estimate a run without loading weights.

    Rows are encoded as for training, so tokens are exact and rows that do not fit are reported now. Operations are
    counted from the model's shapes (``flops``). Seconds are operations over the speed of a matrix product of this
    model's size, measured here for half a second, times the share of it that training reaches. Memory is counted from
    weights, gradients, optimizer state and the activations of the largest batch.

    Raises: InvalidInput: rows that cannot be used, all at once.
    """
    machine = choose_machine(spec.device, spec.dtype, spec.threads)
    data = encode_data(spec)
    plan = make_plan(spec, data)
    model = _empty_model(spec)
    shape = ModelShape.of(model)
    passes = plan.total_steps / plan.steps_per_epoch
    flops = training_flops(shape, Work.of(data.train.examples)) * passes
    if data.validation:
        every = spec.optimization.evaluate_every_steps or plan.steps_per_epoch
        flops += forward_flops(shape, Work.of(data.validation.examples)) * -(-plan.total_steps // every)
    speed = _gemm_speed(machine, model.config.get_text_config().hidden_size)
    dropped = len(data.train.dropped) + (len(data.validation.dropped) if data.validation else 0)
    return Estimate(
        seconds=_LOAD_SECONDS + flops / (speed * _SHARE_OF_GEMM),
        peak_memory_bytes=_peak_memory(spec, model, machine, data),
        flops=flops,
        tokens=round(data.train.tokens * passes),
        rows=len(data.train.examples),
        steps=plan.total_steps,
        dropped_rows=dropped,
        total_params=sum(weight.numel() for weight in model.parameters()),
        trainable_params=sum(weight.numel() for weight in model.parameters() if weight.requires_grad),
        gemm_flops_per_second=speed,
        device=machine.device.type,
        dtype=str(machine.dtype).removeprefix("torch."),
    )


def _empty_model(spec: TrainSpec) -> Any:
    """Build the model with its adapter on the meta device: every shape, no numbers."""
    transformers = require("transformers", "train")
    with torch.device("meta"):
        base = transformers.AutoModelForCausalLM.from_config(model_config(Path(spec.model_dir)))
        return add_adapter(base, spec.lora) if spec.lora else base


def _gemm_speed(machine: Machine, hidden_size: int) -> float:
    """Measure operations a second of ``[1024, hidden] x [hidden, 3 hidden]``: the best time, as others may disturb."""
    x = torch.randn(1024, hidden_size, device=machine.device, dtype=machine.dtype)
    weight = torch.randn(3 * hidden_size, hidden_size, device=machine.device, dtype=machine.dtype)
    best, end = float("inf"), time.perf_counter() + 0.5
    while time.perf_counter() < end:
        began = time.perf_counter()
        float((x @ weight.t())[0, 0])  # reading a number waits for a GPU to finish
        best = min(best, time.perf_counter() - began)
    return 2.0 * x.shape[0] * weight.numel() / best


def _peak_memory(spec: TrainSpec, model: Any, machine: Machine, data: Data) -> int:
    """Add up weights and what each block keeps of each token for its backward.

    Frozen weights stand in the dtype of the computation, trained ones as float32 with gradient and two moments. A block
    keeps 12 times its width, 4 times its MLP's, and the scores of attention.
    """
    config = model.config.get_text_config()
    size = machine.dtype.itemsize
    weights = sum(w.numel() * (16 if w.requires_grad else size) for w in model.parameters())
    batch = sorted((example.length for example in data.train.examples), reverse=True)[: spec.hyperparameters.batch_size]
    positions = len(batch) * batch[0]
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    scores = 2 * config.num_attention_heads * batch[0] if batch[0] <= 1024 else 0
    blocks = config.num_hidden_layers
    if spec.lora and (adapted := spec.lora.blocks(blocks)):
        blocks -= adapted[0]
    kept = positions * blocks * (12 * config.hidden_size + 4 * inner + scores) * size
    process = 0 if machine.device.type == "cuda" else _PROCESS_BYTES
    return int(process + weights + kept)
