from __future__ import annotations

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from tunery.errors import FormatInvalid
from tunery.weights.arrays import array_bytes, float_bytes, read_float32
from tunery.weights.safetensors import model_tensors, read_header, summarize_weights, write_safetensors


def _file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(raw) if length is None else length).to_bytes(8, "little") + raw + data)
    return path


def _tensor(begin: int, end: int, shape: Any = (1,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


LIES: dict[str, tuple[Any, bytes, int | None, str]] = {
    "length 2^63": ({}, b"", 2**63, "claims"),
    "length 100,000,001": ({}, b"", 100_000_001, "claims"),
    "length past the end": ({}, b"", 3, "past the end"),
    "overlap": ({"a": _tensor(0, 4), "b": _tensor(0, 4)}, bytes(4), None, "overlap"),
    "partial overlap": ({"a": _tensor(0, 4), "b": _tensor(2, 6)}, bytes(6), None, "overlap"),
    "hole": ({"a": _tensor(0, 4), "b": _tensor(8, 12)}, bytes(12), None, "hole"),
    "hole at the start": ({"a": _tensor(4, 8)}, bytes(8), None, "hole"),
    "past the end": ({"a": _tensor(0, 8, (2,))}, bytes(4), None, "past the end"),
    "trailing bytes": ({"a": _tensor(0, 4)}, bytes(5), None, "follow"),
    "only data": ({}, b"x", None, "follow"),
    "product wraps": ({"a": _tensor(0, 4, (2**62, 4))}, bytes(4), None, "does not fit"),
    "product wraps to the right size": ({"a": _tensor(0, 4, (2**63 + 1, 2**63 + 1))}, bytes(4), None, "whole numbers"),
    "reversed": ({"a": _tensor(4, 0)}, bytes(4), None, "reversed"),
    "dtype OBJ": ({"a": _tensor(0, 4, dtype="OBJ")}, bytes(4), None, "unknown dtype"),
    "negative length": ({"a": _tensor(0, 4, (-1,))}, bytes(4), None, "whole numbers"),
    "boolean length": ({"a": _tensor(0, 4, (True,))}, bytes(4), None, "whole numbers"),
    "fraction": ({"a": _tensor(0, 4, (1.0,))}, bytes(4), None, "whole numbers"),
    "nine dimensions": ({"a": _tensor(0, 4, (1,) * 9)}, bytes(4), None, "at most 8"),
    "three offsets": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, bytes(4), None, "two whole"),
    "extra field": ({"a": _tensor(0, 4) | {"code": "x"}}, bytes(4), None, "exactly"),
    "not an object": ({"a": 5}, b"", None, "exactly"),
    "not UTF-8": (b'{"\xff":1}', b"", None, "UTF-8"),
    "duplicate names": (b'{"a":{},"a":{}}', b"", None, "twice"),
    "duplicate fields": (b'{"a":{"dtype":"F32","dtype":"F16"}}', b"", None, "twice"),
    "not JSON": (b"{nope}", b"", None, "JSON"),
    "an array": (b"[]", b"", None, "'{'"),
    "leading space": (b" {}", b"", None, "'{'"),
    "a number of many digits": (b'{"a":' + b"9" * 5000 + b"}", b"", None, "JSON"),
    "deep nesting": (b'{"a":' + b"[" * 100_000 + b"}", b"", None, "JSON"),
    "metadata of numbers": ({"__metadata__": {"a": 1}}, b"", None, "__metadata__"),
    "a name that is a path": ({"a/../../b": _tensor(0, 4)}, bytes(4), None, "leads out"),
    "half a byte": ({"a": _tensor(0, 1, (1,), "F4")}, b"\0", None, "does not fit"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_with_the_reason_and_little_memory(tmp_path: Path, lie: str) -> None:
    header, data, length, reason = LIES[lie]
    path = _file(tmp_path / "model.safetensors", header, data, length)
    tracemalloc.start()
    with pytest.raises(FormatInvalid, match=reason) as refused:
        read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert refused.value.details["format"] == "safetensors"


def test_a_file_of_seven_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(bytes(7))
    with pytest.raises(FormatInvalid, match="7 bytes"):
        read_header(path)


def test_more_than_100_000_tensors_are_refused_before_they_are_parsed(tmp_path: Path) -> None:
    path = _file(tmp_path / "model.safetensors", {f"t{i}": _tensor(0, 0, (0,)) for i in range(100_001)})
    with pytest.raises(FormatInvalid, match=r"100001|more than 100000"):
        read_header(path)


@pytest.mark.parametrize(
    "filler",
    [
        b"[0" + b",0" * 8_000_000,
        b"[" + b"[],[]," * 2_000_000,
        b"[" + b"{}," * 5_000_000,
        b'{"__metadata__":{' + b",".join(b'"%d":""' % number for number in range(1_000_000)) + b"}}",
    ],
    ids=["numbers", "lists", "objects", "metadata"],  # pytest hands a test's id to every process that it starts
)
def test_a_header_of_many_small_values_costs_little_more_than_its_bytes(tmp_path: Path, filler: bytes) -> None:
    path = _file(tmp_path / "model.safetensors", b'{"a":' + filler)
    tracemalloc.start()
    with pytest.raises(FormatInvalid):
        read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(filler)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.int64)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatInvalid):
            read_header(path)


def test_whatever_bytes_are_changed_what_passes_here_passes_the_library_too(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.int64)})
    whole, chance, passed = path.read_bytes(), random.Random(0), 0
    for _ in range(2000):
        changed = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(whole))] = chance.choice([0, 0xFF, ord('"'), ord("9"), chance.randrange(256)])
        path.write_bytes(changed)
        try:
            names = set(read_header(path).tensors)
        except FormatInvalid:
            continue
        passed += 1
        with safe_open(path, "np") as file:
            assert set(file.keys()) == names
    assert passed > 100


def test_equal_tensors_give_equal_bytes_in_whatever_order_and_library_they_come(tmp_path: Path) -> None:
    tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones((3,), np.float16), "c": np.array(7)}
    write_safetensors(tmp_path / "1", tensors)
    turned = {name: torch.from_numpy(tensors[name].copy()) for name in ("c", "a", "b")}
    turned["b"] = turned["b"].T.contiguous().T
    assert not turned["b"].is_contiguous()
    write_safetensors(tmp_path / "2", turned)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    with safe_open(tmp_path / "1", "np") as file:
        assert file.metadata() == {"format": "pt"}
        assert all(np.array_equal(file.get_tensor(name), tensors[name]) for name in tensors)
    assert not list(tmp_path.glob(".*"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.zeros(1, np.float32)})
    before = path.read_bytes()
    with pytest.raises(FormatInvalid, match="object"):
        write_safetensors(path, {"a": np.array([None])})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_headers_tell_parameters_and_dtypes(tmp_path: Path) -> None:
    save_file({"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float16)}, tmp_path / "1.safetensors")
    write_safetensors(tmp_path / "2.safetensors", {"c": torch.zeros(5, dtype=torch.bfloat16), "d": torch.tensor(1.0)})
    summary = summarize_weights([tmp_path / "1.safetensors", tmp_path / "2.safetensors"])
    # 2 x 3 + 1 scalar in F32, 4 in F16, 5 in BF16
    assert summary.dtypes == {"BF16": 5, "F16": 4, "F32": 7}
    assert summary.parameter_count == 16


def test_shards_are_found_through_the_index_and_cannot_point_elsewhere(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model-1.safetensors", {"a": np.zeros(1, np.float32)})
    write_safetensors(tmp_path / "model-2.safetensors", {"b": np.zeros(1, np.float32)})
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    assert set(model_tensors(tmp_path)) == {"a", "b"}
    for bad in ("../model-1.safetensors", "/etc/passwd", "absent.safetensors", 7):
        index.write_text(json.dumps({"weight_map": {"a": bad}}))
        with pytest.raises(FormatInvalid, match="missing"):
            model_tensors(tmp_path)


def test_bfloat16_is_rounded_as_torch_rounds_it(tmp_path: Path) -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=4096), [0.0, -0.0, 1e-40, 3e38, 1.00390625]])
    array = values.astype(np.float32)
    assert float_bytes(array, "BF16", "x") == array_bytes(torch.from_numpy(array).to(torch.bfloat16))
    write_safetensors(tmp_path / "x", {"x": torch.from_numpy(array).to(torch.bfloat16)})
    restored = read_float32(read_header(tmp_path / "x").tensors["x"])
    assert np.array_equal(restored, torch.from_numpy(array).to(torch.bfloat16).float().numpy())


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, "F32"), (np.inf, "BF16"), (65520.0, "F16"), (3.4e38, "BF16")])
def test_a_value_that_the_dtype_cannot_hold_is_named(value: float, dtype: str) -> None:
    with pytest.raises(FormatInvalid, match=r"layers\.0"):
        float_bytes(np.array([1.0, value], np.float32), dtype, "layers.0")
