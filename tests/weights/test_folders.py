from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.weights.conftest import MakeAdapter
from tunery.errors import FormatInvalid, UnsafeFormat
from tunery.weights.folders import inspect_folder
from tunery.weights.safetensors import write_safetensors
from tunery.weights.sniff import refuse_pickle, sniff


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def _archive(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def _tar(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("model_config.yaml")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _saved(value: object, **options: bool) -> bytes:
    packed = io.BytesIO()
    torch.save(value, packed, **options)
    return packed.getvalue()


def _npy(array: np.ndarray) -> bytes:
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=True)
    return packed.getvalue()


BOMBS = {f"pickle protocol {n}": (pickle.dumps(_Bomb(), n), "pickle") for n in range(6)}
UNSAFE: dict[str, tuple[bytes, str]] = BOMBS | {
    "pickle without its protocol": (pickle.dumps(_Bomb(), 2)[2:], "pickle"),
    "pickle that breaks after it ran": (pickle.dumps(_Bomb(), 0)[:-1] + b"\xff\xff", "pickle"),
    "pickle with a text before nothing": (b"cos\nsystem\n(S'exit 1'\ntR.", "pickle"),
    "old torch": (_saved({"a": torch.zeros(1)}, _use_new_zipfile_serialization=False), "pickle"),
    "torch": (_saved({"a": torch.zeros(1)}), "zip"),
    "keras": (_archive("config.json", b"{}"), "zip"),
    "pickle in a polyglot": (b"# Read me\n" + _archive("data.pkl", pickle.dumps(_Bomb())), "zip"),
    "array of objects": (_npy(np.array([_Bomb()], object)), "npy_object"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "hdf5"),
    "hdf5 after a user block": (bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(100), "hdf5"),
    "nemo": (_tar(b"x: 1"), "tar"),
    "joblib": (gzip.compress(pickle.dumps(_Bomb())), "compressed"),
}


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("file_name", ["adapter_model.bin", "model.safetensors", "README.md", "tokenizer.model"])
def test_what_can_run_code_is_refused_whatever_its_name_says(tmp_path: Path, name: str, file_name: str) -> None:
    content, kind = UNSAFE[name]
    path = tmp_path / file_name
    path.write_bytes(content)
    assert sniff(path) == kind
    with pytest.raises(UnsafeFormat, match=kind):
        refuse_pickle(path)


SAFE: dict[str, tuple[bytes, str]] = {
    "json": (b' {"a": 1}', "json"),
    "text": ("contributing\nfoo\n(é) 2^x".encode(), "text"),
    "text beginning like zlib": (b"x^2 + 1", "text"),
    "text of one dot": (b".", "text"),
    "a character cut at the limit": (b"a" * (64 * 1024 - 1) + "é".encode(), "text"),
    "empty": (b"", "text"),
    "gguf": (b"GGUF\x03\0\0\0", "gguf"),
    "numbers": (_npy(np.zeros(3)), "npy"),
    "sentencepiece": (b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02", "unknown"),
}


@pytest.mark.parametrize("name", SAFE)
def test_what_cannot_run_code_is_told_by_its_bytes(tmp_path: Path, name: str) -> None:
    content, kind = SAFE[name]
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    assert refuse_pickle(path) == kind


def test_safetensors_are_told_even_when_their_length_looks_like_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "x"
    # A header of 0x280 = 640 bytes makes the file begin with 80 02, as pickles of protocol 2 do.
    header = b'{"__metadata__":{"a":"' + b"x" * (640 - 25) + b'"}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header.ljust(640))
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert sniff(path) == "safetensors"


def test_a_model_folder_is_described(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").write_text("# A model")
    (folder / "runs").mkdir()
    report = inspect_folder(folder)
    assert report.kind == "full"
    assert report.files == (
        "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json",
    )  # fmt: skip
    assert report.left_out == ("notes.txt",)
    vocab = report.architecture["vocab_size"]
    # Tied embeddings; per layer q and o 64 x 64, k and v 32 x 64, three of 128 x 64, two norms; one norm at the end.
    assert report.parameter_count == vocab * 64 + 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 128 * 64 + 2 * 64) + 64
    assert report.dtypes == {"BF16": report.parameter_count}
    assert report.architecture == {
        "model_family": "llama", "layers": 2, "hidden_size": 64, "attention_heads": 4, "vocab_size": vocab,
        "max_sequence_length": 512,
    }  # fmt: skip
    assert report.remote_code == ()


def test_an_adapter_folder_is_described(tiny_llama: Path, make_adapter: MakeAdapter) -> None:
    folder = make_adapter(tiny_llama, target_modules=["q_proj"])
    report = inspect_folder(folder)
    assert report.kind == "adapter"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(report.files)
    # Two layers, A of 4 x 64 and B of 64 x 4
    assert report.parameter_count == 2 * (4 * 64 + 64 * 4)
    assert report.declared_base == str(tiny_llama)
    assert report.architecture == {}


def test_a_pickle_among_the_files_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    (folder / "training_args.bin").write_bytes(_saved({"a": 1}))
    with pytest.raises(UnsafeFormat, match=r"training_args\.bin"):
        inspect_folder(folder)


def test_links_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    (folder / "README.md").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeFormat, match="link"):
        inspect_folder(folder)
    (folder / "README.md").unlink()
    (folder / "onnx").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UnsafeFormat, match="link"):
        inspect_folder(folder)


def test_pipes_are_refused_without_waiting(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    os.mkfifo(folder / "README.md")
    with pytest.raises(UnsafeFormat, match="plain files"):
        inspect_folder(folder)


def test_python_code_is_flagged_and_left_out(tiny_llama: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "modeling_x.X"}, "vision": [{"trust_remote_code": True}]}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_x.py").write_text("raise SystemExit")
    report = inspect_folder(folder)
    assert report.remote_code == ("config.json: auto_map", "config.json: trust_remote_code", "modeling_x.py")
    assert "modeling_x.py" in report.left_out


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("config.json", b"[1]", "object"),
        ("config.json", b'{"a":' * 100_000, "JSON"),
        ("tokenizer.json", b"not json", "JSON"),
        ("README.md", b"GGUF\x03\0\0\0", "what its name says"),
        ("model.safetensors", b"{}", "safetensors"),
    ],
)
def test_files_that_are_not_what_their_names_say_are_refused(
    tiny_llama: Path, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "model")
    (folder / name).write_bytes(content)
    with pytest.raises(FormatInvalid, match=reason):
        inspect_folder(folder)


def test_a_folder_is_a_model_or_an_adapter_but_not_both_nor_neither(
    tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    both = shutil.copytree(make_adapter(tiny_llama, target_modules=["q_proj"]), tmp_path / "both")
    write_safetensors(both / "model.safetensors", {"a": np.zeros(1, np.float32)})
    with pytest.raises(FormatInvalid, match="each a folder of its own"):
        inspect_folder(both)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatInvalid, match="no model and no adapter"):
        inspect_folder(tmp_path / "empty")
