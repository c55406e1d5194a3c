"""One run from its files to its files: encode, train or resume, write."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunery.errors import Conflict
from tunery.kit.digests import sha256_file, sha256_json
from tunery.training.batches import Plan
from tunery.training.checkpoints import Checkpoints
from tunery.training.devices import Machine, choose_machine
from tunery.training.flops import ModelShape, Work, forward_flops, training_flops
from tunery.training.loop import Emit, Loop
from tunery.training.model import Policy, load_policy, model_config
from tunery.training.outputs import load_weights, write_adapter, write_consumed_rows, write_full_model
from tunery.training.ports import METHODS
from tunery.training.random_state import seed_everything
from tunery.training.rows import EncodedRows, encode_rows
from tunery.training.schemas import TrainSpec
from tunery.training.text import ChatText
from tunery.weights.files import read_json_object, write_json

__all__ = ["Data", "encode_data", "make_plan", "train"]

_PLACES = {"model_dir", "train_path", "validation_path", "work_dir", "output_dir", "threads", "checkpoint_every_steps"}


@dataclass(frozen=True)
class Data:
    """The encoded rows of a run."""

    train: EncodedRows
    validation: EncodedRows | None


def train(spec: TrainSpec, emit: Emit, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Train as ordered, from the newest whole checkpoint where there is one, and write the trained files.

    Repeating a finished run only writes its files again, the same bytes. The caller holds the run's lock.
    """
    machine = _claim(spec, emit)
    data = encode_data(spec)
    for name, rows in (("training", data.train), ("validation", data.validation)):
        if rows and rows.dropped:
            emit({"type": "note", "text": f"{len(rows.dropped)} {name} rows over max_length were left out"})
    seed_everything(spec.seed)
    policy = load_policy(Path(spec.model_dir), machine, spec.lora)
    shape = ModelShape.of(policy.model)
    checkpoints = Checkpoints(Path(spec.work_dir))
    validation = data.validation.examples if data.validation else []
    loop = Loop(
        spec=spec,
        policy=policy,
        method=METHODS.get(spec.method),
        train=data.train.examples,
        validation=validation,
        plan=make_plan(spec, data),
        checkpoints=checkpoints,
        emit=emit,
        cancelled=cancelled,
    )
    if found := checkpoints.latest():
        loop.resume(found)
        emit({"type": "note", "text": f"goes on from the checkpoint of step {found.step}"})
    resumed_from = found.step if found else None
    loop.run()
    if loop.best_weights_step is not None:
        load_weights(policy, checkpoints.best(loop.best_weights_step))
    _write(spec, policy)
    return _result(loop, shape, data, machine) | {"resumed_from_step": resumed_from}


def encode_data(spec: TrainSpec) -> Data:
    """Encode the rows of a run. Raises: InvalidInput: rows that cannot be used, all at once."""
    text = ChatText.load(Path(spec.model_dir))
    method = METHODS.get(spec.method)
    positions = getattr(model_config(Path(spec.model_dir)).get_text_config(), "max_position_embeddings", None)
    limit = min(spec.hyperparameters.max_length, positions or spec.hyperparameters.max_length)
    too_long = spec.hyperparameters.too_long
    train_rows = encode_rows(Path(spec.train_path), method, text, limit, too_long)
    validation = spec.validation_path and encode_rows(Path(spec.validation_path), method, text, limit, too_long)
    return Data(train_rows, validation or None)


def make_plan(spec: TrainSpec, data: Data) -> Plan:
    """Plan every step of a run."""
    parameters = spec.hyperparameters
    return Plan(
        lengths=tuple(example.length for example in data.train.examples),
        batch_size=parameters.batch_size,
        accumulation=parameters.gradient_accumulation_steps,
        epochs=parameters.epochs,
        max_steps=parameters.max_steps,
        seed=spec.seed,
    )


def _claim(spec: TrainSpec, emit: Emit) -> Machine:
    """Choose the machine, the same as before where the run goes on; refuse a folder that belongs to another run."""
    record = Path(spec.work_dir) / "run.json"
    files = {name: sha256_file(Path(path)) for name, path in _rows(spec).items()}
    order = sha256_json({"order": spec.model_dump(mode="json", exclude=_PLACES), "files": files})
    before = read_json_object(record) if record.exists() else None
    if before is None:
        machine = choose_machine(spec.device, spec.dtype, spec.threads)
        write_json(record, {"schema": 1, "order": order, "machine": machine.describe()})
        return machine
    if before["order"] != order:
        raise Conflict("this work folder holds a run with other settings or rows; give each run a folder of its own")
    was = before["machine"]
    machine = choose_machine(was["device"], was["dtype"], spec.threads or was["threads"])
    if changed := [key for key, value in machine.describe().items() if value != was[key]]:
        emit(
            {
                "type": "note",
                "text": f"the machine changed since the run began ({', '.join(changed)}): the trained "
                "weights may differ in their last bits from those of an uninterrupted run",
            }
        )
    return machine


def _rows(spec: TrainSpec) -> dict[str, str]:
    return {"train": spec.train_path} | ({"validation": spec.validation_path} if spec.validation_path else {})


def _write(spec: TrainSpec, policy: Policy) -> None:
    if spec.lora:
        write_adapter(policy, Path(spec.output_dir), spec.base_name)
    else:
        write_full_model(policy, Path(spec.output_dir), Path(spec.model_dir))


def _result(loop: Loop, shape: ModelShape, data: Data, machine: Machine) -> dict[str, Any]:
    spec, plan, speed = loop.spec, loop.plan, loop.speed
    consumed = Path(spec.work_dir) / "consumed_rows.jsonl"
    epochs = write_consumed_rows(consumed, plan, data.train.examples, speed.steps)
    last = loop.validation_losses[max(loop.validation_losses)] if loop.validation_losses else None
    kept = loop.stopper.best if loop.best_weights_step is not None else last
    trainable = sum(weight.numel() for weight in loop.policy.trainable.values())
    total = sum(weight.numel() for weight in loop.policy.model.parameters())
    passes = speed.tokens / data.train.tokens
    measured = len(loop.validation_losses) * forward_flops(shape, Work.of(loop.validation))
    return {
        "output_dir": spec.output_dir,
        "files": sorted(path.name for path in Path(spec.output_dir).iterdir()),
        "total_steps": speed.steps,
        "epochs": epochs,
        "row_ids_path": str(consumed),
        "dropped_rows": {
            "train": data.train.dropped,
            "validation": data.validation.dropped if data.validation else [],
        },
        "final_loss": loop.training_loss,
        "final_validation_loss": last,
        "best_validation_loss": loop.stopper.best,
        "validation_losses": [{"step": step, "loss": loss} for step, loss in sorted(loop.validation_losses.items())],
        "perplexity": math.exp(min(kept if kept is not None else loop.training_loss, 700.0)),
        "convergence_step": loop.best_weights_step or loop.stopper.best_step or speed.steps,
        "stopped_early": loop.stopped_early,
        "tokens": speed.tokens,
        "tokens_per_second": speed.tokens_per_second,
        "seconds": speed.seconds,
        "peak_memory_bytes": max(speed.peak_memory_bytes, machine.peak_memory_bytes()),
        "estimated_flops": training_flops(shape, Work.of(data.train.examples)) * passes + measured,
        "total_params": total,
        "trainable_params": trainable,
        "trainable_percentage": 100.0 * trainable / total,
        "learning_rate": spec.learning_rate,
    } | machine.describe()
