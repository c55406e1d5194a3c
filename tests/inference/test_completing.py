"""Batches of completions and scores."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.weights.conftest import MakeModel
from tunery.errors import Cancelled, EngineFailed, MalformedRequest, NotFound, Refused
from tunery.inference.child import ChildEngine
from tunery.inference.completing import ChatPrompt, TextPrompt, complete, score
from tunery.inference.ports import ENGINES, EngineSpec

# One process of tests pays for the engines.
pytestmark = pytest.mark.xdist_group("engines")

TEXTS = [TextPrompt(f"{number} dogs jump over") for number in range(6)]


@contextmanager
def door(engine: ChildEngine, *, slammed: int) -> Iterator[tuple[ChildEngine, list[int]]]:
    """Stand before an engine's port; the first connections are cut as soon as they have sent something."""
    target = int(engine.url.rsplit(":", 1)[1])
    listener = socket.create_server(("127.0.0.1", 0))
    counted: list[int] = []

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                counted.append(len(counted))
                if len(counted) <= slammed:
                    caller.recv(10)
                    caller.close()
                    continue
                inner = socket.create_connection(("127.0.0.1", target))
                for pair in ((caller, inner), (inner, caller)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield replace(engine, url=f"http://127.0.0.1:{listener.getsockname()[1]}"), counted
    finally:
        listener.close()


def test_a_lost_connection_is_tried_again(llama_cpp: ChildEngine) -> None:
    with door(llama_cpp, slammed=3) as (behind, counted):
        (made,) = complete(behind, TEXTS[:1], max_tokens=4)
        assert len(counted) == 4
    assert made.text == complete(llama_cpp, TEXTS[:1], max_tokens=4)[0].text


def test_an_engine_that_loses_every_connection_is_given_up_after_four_tries(llama_cpp: ChildEngine) -> None:
    with door(llama_cpp, slammed=100) as (behind, counted), pytest.raises(EngineFailed, match="prompt 0 after 4 tries"):
        complete(behind, TEXTS[:1], max_tokens=4)
    assert len(counted) == 4


def test_progress_counts_up_to_the_number_of_prompts(llama_cpp: ChildEngine) -> None:
    seen: list[tuple[int, int]] = []
    complete(llama_cpp, TEXTS, max_tokens=2, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (6, 6)


def test_no_prompts_give_no_completions(llama_cpp: ChildEngine) -> None:
    assert complete(llama_cpp, [], max_tokens=2) == []


@pytest.mark.parametrize("name", ["llama.cpp", "transformers"])
def test_cancelling_does_not_wait_for_an_engine_that_hangs(name: str, spec: EngineSpec) -> None:
    with ENGINES.get(name).start(spec) as engine:
        os.kill(engine.pid, signal.SIGSTOP)
        began = time.monotonic()
        with pytest.raises(Cancelled):
            complete(engine, TEXTS, max_tokens=2, cancelled=lambda: time.monotonic() - began > 0.2)
        assert time.monotonic() - began < 30


def test_an_engine_that_hangs_is_given_up_in_time(spec: EngineSpec) -> None:
    with ENGINES.get("llama.cpp").start(spec) as engine:
        os.kill(engine.pid, signal.SIGSTOP)
        with pytest.raises(EngineFailed, match="no answer to prompt 0 in time"):
            complete(engine, TEXTS[:1], max_tokens=2, timeout_seconds=0.3)


def test_scores_are_the_log_probabilities_that_the_model_gives(transformers: ChildEngine, tiny_llama: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    prompt, completion = tokenizer("The quick brown")["input_ids"], tokenizer(" fox jumps")["input_ids"]
    with torch.inference_mode():
        # The logits at place i say what they expect at place i + 1.
        expected = model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
    expected = expected[range(len(completion)), completion]
    (made,) = score(transformers, [(TextPrompt("The quick brown"), " fox jumps")])
    assert made.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
    assert made.tokens == len(completion)
    assert made.logprob_sum == pytest.approx(float(expected.sum()), abs=1e-3)


def test_scores_keep_their_order_and_tell_base_from_adapter(transformers: ChildEngine) -> None:
    chat = ChatPrompt([{"role": "user", "content": "Hi"}])
    pairs = [(chat, "The fox"), (TextPrompt("x"), "The fox"), (TextPrompt(""), "The fox")]
    base = score(transformers, pairs)
    assert [score(transformers, [pair])[0] for pair in pairs] == base
    assert base[2].tokens == base[1].tokens - 1  # nothing stands before the first token of a text alone
    assert score(transformers, pairs, adapter="a") != base


def test_an_engine_that_cannot_score_names_the_one_that_can(llama_cpp: ChildEngine) -> None:
    with pytest.raises(Refused, match=r"llama\.cpp cannot score.*'transformers'"):
        score(llama_cpp, [(TextPrompt("a"), "b")])


def test_an_adapter_that_is_not_there_scores_and_answers_nothing(transformers: ChildEngine) -> None:
    with pytest.raises(NotFound):
        score(transformers, [(TextPrompt("a"), "b")], adapter="c")
    with pytest.raises(NotFound):
        complete(transformers, TEXTS, max_tokens=2, adapter="c")


@pytest.mark.parametrize("name", ["llama.cpp", "transformers"])
def test_messages_that_the_template_refuses_are_the_caller_s_fault(
    name: str, spec: EngineSpec, make_model: MakeModel
) -> None:
    folder = make_model("llama", tie_word_embeddings=True)
    template = folder / "chat_template.jinja"
    guard = "{% if messages[0].role == 'assistant' %}{{ raise_exception('a user begins') }}{% endif %}"
    template.write_text(guard + template.read_text())
    with (
        ENGINES.get(name).start(replace(spec, model_dir=folder, model_digest="c" * 64, adapters=())) as engine,
        pytest.raises(MalformedRequest, match="template refuses the messages: a user begins"),
    ):
        complete(engine, [ChatPrompt([{"role": "assistant", "content": "Hi"}])], max_tokens=2)


@pytest.mark.parametrize("name", ["llama.cpp", "transformers"])
def test_a_model_without_a_template_answers_texts_and_refuses_chats(
    name: str, spec: EngineSpec, make_model: MakeModel
) -> None:
    folder = make_model("llama", tie_word_embeddings=True)
    (folder / "chat_template.jinja").unlink()
    with ENGINES.get(name).start(replace(spec, model_dir=folder, model_digest="d" * 64, adapters=())) as engine:
        assert engine.template_digest is None
        assert complete(engine, TEXTS[:1], max_tokens=2)[0].completion_tokens == 2
        with pytest.raises(MalformedRequest, match="no chat template"):
            complete(engine, [ChatPrompt([{"role": "user", "content": "Hi"}])], max_tokens=2)
