"""Merge a LoRA adapter into its base model: a full model folder in the base's own dtype."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tunery.errors import FormatInvalid
from tunery.kit.extras import require
from tunery.weights.adapters import LoraPair, read_adapter
from tunery.weights.files import write_whole
from tunery.weights.folders import inspect_folder
from tunery.weights.safetensors import TensorInfo, model_tensors, stream_safetensors

__all__ = ["merge_adapter"]

_WEIGHTS = re.compile(r"\.safetensors(\.index\.json)?$")
_TOKENIZER = re.compile(r"(tokenizer|special_tokens_map|added_tokens|vocab|merges|chat_template)")


def merge_adapter(model_dir: Path, adapter_dir: Path, out_dir: Path) -> None:
    """Write the model folder that the base becomes with the adapter in it; tensors are merged one at a time.

    ``W + scale * B @ A`` is computed in float32 and rounded once to the dtype of ``W``; what the adapter leaves alone
    is copied byte for byte. The weights become one ``model.safetensors``, also of a base in several shards.
    Tokenizer files and chat template of the adapter folder win over the base's: they are what it was trained with.

    Source: Hu et al. 2021, "LoRA" (arXiv:2106.09685), section 4.1; for rsLoRA Kalajdzievski 2023 (arXiv:2312.03732).

    Raises: FormatInvalid: not a plain LoRA adapter (DoRA, modules_to_save, ...), of another base, or with NaN.
    """
    require("numpy", "train")
    base = model_tensors(model_dir)
    adapter = read_adapter(adapter_dir)
    adapter.check_fits(base)
    if out_dir.exists() and out_dir.samefile(model_dir):
        raise FormatInvalid("the merged model needs a folder of its own, not that of its base")

    def produce(name: str) -> bytes | memoryview:
        pair = adapter.pairs.get(name.removesuffix(".weight"))
        return _raw(base[name]) if pair is None else _merged(base[name], pair)

    specs = {name: (info.dtype, info.shape) for name, info in base.items()}
    stream_safetensors(out_dir / "model.safetensors", specs, produce)
    base_files = [name for name in inspect_folder(model_dir).files if not _WEIGHTS.search(name)]
    adapter_files = [name for name in inspect_folder(adapter_dir).files if _TOKENIZER.match(name)]
    for source in [model_dir / name for name in base_files] + [adapter_dir / name for name in adapter_files]:
        with write_whole(out_dir / source.name) as partial:
            shutil.copyfile(source, partial)


def _raw(info: TensorInfo) -> bytes:
    with info.path.open("rb") as file:
        file.seek(info.start)
        return file.read(info.end - info.start)


def _merged(weight: TensorInfo, pair: LoraPair) -> memoryview:
    from tunery.weights.arrays import float_bytes, read_float32

    change = read_float32(pair.b) @ read_float32(pair.a)
    change *= pair.scale
    change += read_float32(weight)
    return float_bytes(change, weight.dtype, weight.name)
