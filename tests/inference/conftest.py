"""The tiny models of the weights tests serve the engines' contract too."""

from tests.weights.conftest import make_adapter, make_model, tiny_llama, tokenizer_dir

__all__ = ["make_adapter", "make_model", "tiny_llama", "tokenizer_dir"]
