"""How to load an exported adapter: its signed files name the base as the registry does, which nothing else can open."""

from __future__ import annotations

from pathlib import Path

from tunery.registry.schemas import VersionView

__all__ = ["GUIDE", "write_guide"]

GUIDE = "LOADING.md"


def write_guide(version: VersionView, folder: Path, base: Path | None) -> Path:
    """Write beside an adapter how peft and vLLM load it, and return the file.

    Args:
        version: The adapter.
        folder: Its folder.
        base: Folder of its base inside that one; None where it was not exported.
    """
    path = folder / GUIDE
    told = _with_base(version, base.relative_to(folder)) if base else _without_base(version)
    path.write_text(
        f"""# {version.reference}

A LoRA adapter of {version.base_reference or version.base_digest}. Its files are byte for byte the signed ones, so
`adapter_config.json` names the base as Tunery's registry does. peft cannot open that name: load the base by its folder.

{told}""",
        encoding="utf-8",
    )
    return path


def _with_base(version: VersionView, base: Path) -> str:
    name = version.reference.split(":")[0]
    return f"""```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(f"{{folder}}/{base}")
model = AutoModelForCausalLM.from_pretrained(f"{{folder}}/{base}")
model = PeftModel.from_pretrained(model, folder)
```

    vllm serve ./{base} --enable-lora --lora-modules {name}=.
"""


def _without_base(version: VersionView) -> str:
    return f"""The base is not here. The same export with `--with-base` adds it, and its folder to this page:

    tunery models export {version.reference} --output . --with-base
"""
