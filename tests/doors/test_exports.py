"""An exported adapter opens elsewhere, by the very words that stand beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.weights.conftest import MakeAdapter, make_adapter, make_model, tiny_llama, tokenizer_dir
from tunery.cli.main import run

__all__ = ["make_adapter", "make_model", "tiny_llama", "tokenizer_dir"]

Tunery = Callable[..., tuple[int, Any, str]]
pytestmark = pytest.mark.xdist_group("doors")


def test_peft_loads_an_exported_adapter_as_the_page_beside_it_says(
    tunery: Tunery, tiny_llama: Path, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    assert run(["models", "register", str(tiny_llama), "--name", "exported-base", "--is-base"]) == 0
    adapter = make_adapter(tiny_llama)
    assert run(["models", "register", str(adapter), "--name", "exported", "--base-model", "exported-base"]) == 0
    out = tmp_path / "out"
    code, _, err = tunery("models", "export", "exported", "-o", out)
    assert code == 0
    assert "it needs its base, which --with-base writes beside it" in err
    assert "tunery models export exported:1.0.0 --output . --with-base" in (out / "LOADING.md").read_text()
    code, found, err = tunery("models", "export", "exported", "-o", out, "--with-base")
    assert (code, found["written"]) == (0, [str(out), str(out / "base"), str(out / "LOADING.md")])
    assert f"how peft and vLLM load it: {out / 'LOADING.md'}" in err
    (code_of_page,) = re.findall(r"```python\n(.*?)```", (out / "LOADING.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code_of_page + "print(type(model).__name__, model.num_parameters(), len(tokenizer))"],
        cwd=out,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("PeftModelForCausalLM ")
    assert (out / "adapter_config.json").read_bytes() == (adapter / "adapter_config.json").read_bytes()
