"""What is read of a model folder without heavy libraries."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tunery.errors import FormatInvalid, InvalidInput
from tunery.inference.ports import AdapterSpec, EngineSpec
from tunery.inference.templates import chat_template, model_context_length, template_digest


def test_the_template_s_own_file_counts_before_the_tokenizer_s_configuration(tmp_path: Path) -> None:
    assert template_digest(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old"}))
    assert chat_template(tmp_path) == "old"
    (tmp_path / "chat_template.jinja").write_text("new ü")
    assert template_digest(tmp_path) == hashlib.sha256("new ü".encode()).hexdigest()


def test_of_several_templates_the_default_counts(tmp_path: Path) -> None:
    several = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert chat_template(tmp_path) == "d"


def test_a_configuration_that_is_no_json_is_named(tmp_path: Path) -> None:
    assert model_context_length(tmp_path) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(FormatInvalid, match=r"config\.json"):
        model_context_length(tmp_path)


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "../" + "a" * 64])
def test_a_spec_takes_only_digests_as_names_of_files(tmp_path: Path, digest: str) -> None:
    with pytest.raises(InvalidInput, match="is no digest"):
        EngineSpec(tmp_path, digest, tmp_path, tmp_path)
    with pytest.raises(InvalidInput, match="is no digest"):
        EngineSpec(tmp_path, "a" * 64, tmp_path, tmp_path, (AdapterSpec("a", tmp_path, digest),))


def test_two_adapters_of_one_name_are_refused(tmp_path: Path) -> None:
    twins = (AdapterSpec("a", tmp_path, "1" * 64), AdapterSpec("a", tmp_path, "2" * 64))
    with pytest.raises(InvalidInput, match="same name"):
        EngineSpec(tmp_path, "a" * 64, tmp_path, tmp_path, twins)


def test_looking_up_engines_loads_no_heavy_library() -> None:
    program = """
import sys
from tunery.inference.completing import complete
from tunery.inference.ports import ENGINES
ENGINES.get("llama.cpp"), ENGINES.get("transformers")
print({"torch", "transformers", "peft", "gguf", "xllamacpp"} & set(sys.modules))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
