"""GGUF files made of model folders, kept under the digests of what they were made of, proven before they are used."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from blake3 import blake3

from tunery.errors import Cancelled, FormatInvalid, MissingExtra, TuneryError
from tunery.inference.child import engine_failure
from tunery.inference.parity import ParityReport, prove_parity
from tunery.inference.ports import EngineSpec
from tunery.platform.compute import ENTRIES, run_in_child
from tunery.weights.files import read_json_object, write_json, write_whole
from tunery.weights.gguf_write import adapter_to_gguf, transformers_to_gguf

__all__ = ["convert", "converted"]

_CONVERSION = 1
"""Part of the file names: raise it when the same weights must be converted anew."""

_ENTRY = "inference.convert"
ENTRIES.register(_ENTRY)("tunery.inference.conversions:convert")


def converted(spec: EngineSpec, log_path: Path, deadline: float) -> tuple[Path, list[Path]]:
    """Return the GGUF files of the spec's base and adapters, in order; makes and proves those that are missing.

    A file is used only if its bytes are those that were proven. Converting runs in a child process, as it needs torch
    and reads foreign files.

    Args:
        spec: The base and its adapters.
        log_path: Where the child's output goes.
        deadline: Until when this may take, on ``time.monotonic``.

    Raises:
        EngineFailed: a folder cannot be converted, the result answers otherwise than the original, or time is up.
    """
    folder = spec.cache_dir.absolute() / "gguf"
    model = folder / f"{spec.model_digest}-f16-v{_CONVERSION}.gguf"
    adapters = [folder / f"{held.digest}-on-{spec.model_digest}-v{_CONVERSION}.gguf" for held in spec.adapters]
    if all(map(_is_whole, [model, *adapters])):
        return model, adapters
    order = {
        "model": [str(spec.model_dir.absolute()), str(model)],
        "adapters": [[str(held.dir.absolute()), str(out)] for held, out in zip(spec.adapters, adapters, strict=True)],
    }
    try:
        run_in_child(
            _ENTRY, order, log_path=log_path, on_event=lambda _: None, cancelled=lambda: time.monotonic() > deadline
        )
    except MissingExtra:
        raise
    except Cancelled as late:
        raise engine_failure("converting the weights took too long", log_path) from late
    except TuneryError as fault:
        raise engine_failure(f"the weights cannot be served by llama.cpp: {fault.message}", log_path) from fault
    return model, adapters


def convert(
    order: dict[str, Any], emit: Callable[[dict[str, Any]], None], cancelled: Callable[[], bool]
) -> dict[str, Any]:
    """Make and prove what is missing of an order of ``converted``; runs in the child process."""
    model_dir, model = map(Path, order["model"])
    if not _is_whole(model):
        _go_on(cancelled)
        with write_whole(model) as partial:
            transformers_to_gguf(model_dir, partial, dtype="f16")
            _keep_proof(model, partial, prove_parity(model_dir, partial))
    for folder, out in order["adapters"]:
        adapter_dir, adapter = Path(folder), Path(out)
        if not _is_whole(adapter):
            _go_on(cancelled)
            with write_whole(adapter) as partial:
                adapter_to_gguf(adapter_dir, model_dir, partial, dtype="f32")
                _keep_proof(adapter, partial, prove_parity(model_dir, model, adapter_dir, partial))
    return {}


def _go_on(cancelled: Callable[[], bool]) -> None:
    if cancelled():
        raise Cancelled


def _keep_proof(path: Path, partial: Path, report: ParityReport) -> None:
    """Write the proof before the file gets its name, so that no file stands there unproven."""
    write_json(_proof_path(path), {"schema": 1, "blake3": _blake3(partial), "parity": asdict(report)})


def _is_whole(path: Path) -> bool:
    """Tell whether a converted file is there with the bytes that were proven."""
    try:
        return path.is_file() and read_json_object(_proof_path(path)).get("blake3") == _blake3(path)
    except FormatInvalid:
        return False


def _proof_path(path: Path) -> Path:
    return path.with_suffix(".parity.json")


def _blake3(path: Path) -> str:
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()
