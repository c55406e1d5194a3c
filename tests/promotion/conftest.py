"""The lab of the evaluation tests, with gates held against what it measured."""

from tests.evaluation.conftest import lab, make_adapter, make_model, tiny_llama, tokenizer_dir

__all__ = ["lab", "make_adapter", "make_model", "tiny_llama", "tokenizer_dir"]
