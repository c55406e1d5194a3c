"""Look into the folder of a model or adapter: which files belong to it, what it is, and whether it is safe to keep."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tunery.errors import FormatInvalid, UnsafeFormat
from tunery.weights.adapters import read_adapter
from tunery.weights.files import read_json_object
from tunery.weights.safetensors import model_tensors, summarize_weights
from tunery.weights.sniff import UNSAFE, sniff, unsafe

__all__ = ["FolderReport", "inspect_folder", "refuse_remote_code"]

_BESIDE = re.compile(
    r"(generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json"
    r"|merges\.txt|tokenizer\.model|chat_template\.jinja|README\.md|LICENSE(\.txt|\.md)?|NOTICE(\.txt)?"
)
_REMOTE_CODE = frozenset({"auto_map", "trust_remote_code", "custom_pipelines", "_attn_implementation_internal"})
_CONFIGS = frozenset({"config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json"})
_INDEX = "model.safetensors.index.json"
_ARCHITECTURE = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "attention_heads": "num_attention_heads",
    "vocab_size": "vocab_size",
    "max_sequence_length": "max_position_embeddings",
}
"""The registry's word by the key of config.json."""


@dataclass(frozen=True)
class FolderReport:
    """What a folder holds.

    Attributes:
        kind: ``full`` model or LoRA ``adapter``.
        files: Names of the files that belong to it, sorted; all lie at the top of the folder.
        left_out: Names of what else lies there; it is no part of the artifact.
        parameter_count: From the headers of the weights.
        dtypes: Number of parameters by dtype.
        architecture: ``model_family``, ``layers``, ``hidden_size``, ``attention_heads``, ``vocab_size`` and
            ``max_sequence_length``, as far as config.json says them; empty for an adapter.
        declared_base: What an adapter says of its base: a hint for people, never followed.
        remote_code: Places that ask for Python code of the folder to be run; empty for what is safe to load.
        unsafe: Kinds of the files, by name, that can run code when they are loaded, or hide that; where there are any,
            nothing else was looked at.
    """

    kind: Literal["full", "adapter"]
    files: tuple[str, ...]
    left_out: tuple[str, ...]
    parameter_count: int
    dtypes: dict[str, int]
    architecture: dict[str, Any] = field(default_factory=dict)
    declared_base: str | None = None
    remote_code: tuple[str, ...] = ()
    unsafe: dict[str, str] = field(default_factory=dict)


def inspect_folder(folder: Path, *, quarantine: bool = False) -> FolderReport:
    """Check every file of a model or adapter folder and say which belong to it; nothing is loaded or imported.

    Args:
        folder: The folder.
        quarantine: Report files that can run code, for somebody who keeps and never loads them, instead of refusing.

    Raises:
        UnsafeFormat: a pickle file or an archive, whatever its name; or a link.
        FormatInvalid: no model or adapter, damaged weights, or broken JSON.
    """
    names = _names(folder)
    kinds = {name: sniff(folder / name) for name in sorted(names)}
    if found := {name: kind for name, kind in kinds.items() if kind in UNSAFE}:
        if not quarantine:
            raise unsafe(*next(iter(found.items())))
        return FolderReport(
            "adapter" if "adapter_config.json" in names else "full", tuple(sorted(names)), (), 0, {}, unsafe=found
        )
    if "adapter_config.json" in names:
        kind: Literal["full", "adapter"] = "adapter"
        own = _adapter_files(folder, names)
    elif "config.json" in names:
        kind, own = "full", _model_files(folder, names)
    else:
        raise FormatInvalid(
            f"{folder.name!r} holds neither config.json nor adapter_config.json: no model and no adapter"
        )
    files = sorted(own | {name for name in names if _BESIDE.fullmatch(name)})
    for name in files:
        if name.endswith(".json"):
            read_json_object(folder / name)
        elif kinds[name] not in {"safetensors", "text", "json"} and name != "tokenizer.model":
            raise FormatInvalid(f"{name} is not what its name says: its bytes are of kind {kinds[name]!r}")
    summary = summarize_weights(folder / name for name in files if name.endswith(".safetensors"))
    return FolderReport(
        kind=kind,
        files=tuple(files),
        left_out=tuple(sorted(names - set(files))),
        parameter_count=summary.parameter_count,
        dtypes=summary.dtypes,
        architecture=_architecture(folder) if kind == "full" else {},
        declared_base=read_adapter(folder).base if kind == "adapter" else None,
        remote_code=_remote_code(folder, names),
    )


def refuse_remote_code(report: FolderReport) -> FolderReport:
    """Return the report if nothing asks for code of the folder to be run. Raises: UnsafeFormat: names the places."""
    if report.remote_code:
        raise UnsafeFormat(
            f"this model brings Python code of its own ({', '.join(report.remote_code[:5])}), which is never run here; "
            f"use a model whose family transformers knows, or take these out if it is one",
            remote_code=list(report.remote_code),
        )
    return report


def _names(folder: Path) -> set[str]:
    """List the files at the top of a folder; folders in it are left alone, a link could point anywhere."""
    names: set[str] = set()
    for path in folder.iterdir():
        if path.is_symlink():
            raise UnsafeFormat(
                f"{path.name!r} is a link; only plain files are taken: copy the folder with its contents"
            )
        if path.is_file():
            names.add(path.name)
        elif not path.is_dir():
            raise UnsafeFormat(f"{path.name!r} is neither a file nor a folder; only plain files are taken")
    return names


def _adapter_files(folder: Path, names: set[str]) -> set[str]:
    if names & {"model.safetensors", _INDEX}:
        raise FormatInvalid(f"{folder.name!r} holds a full model and an adapter; give each a folder of its own")
    read_adapter(folder)
    return {"adapter_config.json", "adapter_model.safetensors"}


def _model_files(folder: Path, names: set[str]) -> set[str]:
    weights = {info.path.name for info in model_tensors(folder).values()}
    return weights | {"config.json"} | (names & {_INDEX})


def _architecture(folder: Path) -> dict[str, Any]:
    config = read_json_object(folder / "config.json")
    family = config.get("model_type")
    found: dict[str, Any] = {"model_family": family} if isinstance(family, str) else {}
    for name, key in _ARCHITECTURE.items():
        if type(value := config.get(key)) is int:
            found[name] = value
    return found


def _remote_code(folder: Path, names: set[str]) -> tuple[str, ...]:
    places = [name for name in names if name.endswith((".py", ".pyc", ".so"))]
    for name in names & _CONFIGS:
        places += [f"{name}: {key}" for key in _keys(read_json_object(folder / name)) & _REMOTE_CODE]
    return tuple(sorted(places))


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()
