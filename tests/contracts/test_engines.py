"""The contract of ``Engine`` and ``RunningEngine``, over every built-in engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.weights.conftest import MakeAdapter
from tunery.errors import EngineFailed, MalformedRequest, NotFound
from tunery.inference.completing import ChatPrompt, Prompt, TextPrompt, complete
from tunery.inference.ports import ENGINES, AdapterSpec, EngineSpec, RunningEngine
from tunery.serving.gateway.shapes import ChatAnswer, TextAnswer

# One process of tests pays for the engines.
pytestmark = pytest.mark.xdist_group("engines-contract")
NAMES = ["llama.cpp", "transformers"]
CHAT = ChatPrompt([{"role": "user", "content": "What is the capital of France?"}])
TEXT = TextPrompt("The quick brown fox")


@pytest.fixture(scope="module")
def spec(tiny_llama: Path, make_adapter: MakeAdapter, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    folder = tmp_path_factory.mktemp("engines")
    adapters = tuple(
        AdapterSpec(name, make_adapter(tiny_llama, seed=seed), str(seed) * 64)
        for seed, name in enumerate(["v1.0", "b"], 1)
    )
    return EngineSpec(tiny_llama, "0" * 64, folder / "cache", folder / "work", adapters, 128, slots=2, threads=1)


@pytest.fixture(scope="module", params=NAMES)
def engine(request: pytest.FixtureRequest, spec: EngineSpec) -> Iterator[RunningEngine]:
    with ENGINES.get(request.param).start(spec, timeout_seconds=120) as running:
        yield running


def test_the_contract_covers_every_built_in_engine() -> None:
    assert set(NAMES) <= set(ENGINES.names())  # other tests may have registered engines of their own


def client(engine: RunningEngine, key: str | None = None) -> httpx.Client:
    return httpx.Client(base_url=engine.url, headers={"Authorization": f"Bearer {key or engine.key}"}, timeout=60)


def body(prompt: Prompt, **wishes: Any) -> dict[str, Any]:
    content = {"messages": prompt.messages} if isinstance(prompt, ChatPrompt) else {"prompt": prompt.text}
    return {**content, "temperature": 0, "max_tokens": 12, **wishes}


def texts(engine: RunningEngine, *prompts: Prompt, adapter: str | None = None, **wishes: Any) -> list[str]:
    return [made.text for made in complete(engine, prompts, adapter=adapter, **{"max_tokens": 12, **wishes})]


def test_a_chat_and_a_completion_are_answered_with_their_token_counts(engine: RunningEngine) -> None:
    chat, text = complete(engine, [CHAT, TEXT], max_tokens=5)
    assert chat.text
    assert text.text
    assert {chat.finish_reason, text.finish_reason} == {"length"}
    assert chat.completion_tokens == text.completion_tokens == 5
    assert chat.prompt_tokens > text.prompt_tokens > 0


@pytest.mark.parametrize(("prompt", "shape"), [(CHAT, ChatAnswer), (TEXT, TextAnswer)], ids=["chat", "completion"])
def test_an_answer_has_the_documented_shape(engine: RunningEngine, prompt: Prompt, shape: type[BaseModel]) -> None:
    path = "/v1/chat/completions" if prompt is CHAT else "/v1/completions"
    with client(engine) as http:
        answer = http.post(path, json=engine.request(body(prompt), None)).json()
    shape.model_validate(answer | {"model": "tuned:1.0.0"})  # the gateway says itself who answers


def test_a_greedy_answer_is_the_same_each_time(engine: RunningEngine) -> None:
    assert texts(engine, CHAT) == texts(engine, CHAT)


def test_answers_come_in_the_order_of_the_prompts(engine: RunningEngine) -> None:
    prompts = [TextPrompt(f"{number} times the dog") for number in range(7)]
    alone = [texts(engine, prompt)[0] for prompt in prompts]
    assert len(set(alone)) > 1
    assert texts(engine, *prompts) == alone


def test_naming_an_adapter_changes_the_answer_and_leaving_it_out_restores_it(engine: RunningEngine) -> None:
    base = texts(engine, CHAT, TEXT)
    first, second = texts(engine, CHAT, TEXT, adapter="v1.0"), texts(engine, CHAT, TEXT, adapter="b")
    assert len({*map(tuple, (base, first, second))}) == 3
    assert texts(engine, CHAT, TEXT) == base
    assert texts(engine, CHAT, TEXT, adapter="v1.0") == first


def test_a_control_token_that_a_text_spells_is_text(engine: RunningEngine) -> None:
    # As one token it would be counted once; the tiny tokenizer writes it with several.
    plain, chatted, text = complete(
        engine,
        [
            ChatPrompt([{"role": "user", "content": "Hi"}]),
            ChatPrompt([{"role": "user", "content": "Hi<|im_end|>"}]),
            TextPrompt("<|im_end|>"),
        ],
        max_tokens=1,
    )
    assert text.prompt_tokens > 2  # one, and perhaps one that begins every text
    assert chatted.prompt_tokens - plain.prompt_tokens > 1


def test_an_unknown_adapter_is_refused_and_the_base_does_not_answer(engine: RunningEngine) -> None:
    with pytest.raises(NotFound, match="holds no adapter 'c'"):
        engine.request(body(CHAT), "c")


def test_a_stop_text_ends_the_answer_and_is_no_part_of_it(engine: RunningEngine) -> None:
    whole = texts(engine, TEXT)[0]
    stop = re.findall("[ -~]{2}", whole)[-1]  # plain characters: a random model also writes broken ones
    (cut,) = complete(engine, [TEXT], max_tokens=12, stop=[stop])
    assert cut.text == whole[: whole.index(stop)]
    assert cut.finish_reason == "stop"


def test_a_seed_repeats_a_sampled_answer_and_another_seed_does_not(engine: RunningEngine) -> None:
    once, again, other = (texts(engine, TEXT, temperature=1.0, seed=seed)[0] for seed in (7, 7, 8))
    assert once == again
    assert once != other


@pytest.mark.parametrize("prompt", [CHAT, TEXT], ids=["chat", "completion"])
def test_the_pieces_of_a_stream_make_up_the_whole_answer(engine: RunningEngine, prompt: Prompt) -> None:
    path = "/v1/chat/completions" if prompt is CHAT else "/v1/completions"
    wishes = {"stream": True, "stream_options": {"include_usage": True}}
    with (
        client(engine) as http,
        http.stream("POST", path, json=engine.request(body(prompt, **wishes), None)) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    pieces = [choice["delta"].get("content") if prompt is CHAT else choice["text"] for choice in choices]
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(piece or "" for piece in pieces) == texts(engine, prompt)[0]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["length"]
    assert chunks[-1]["usage"]["completion_tokens"] == 12


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions", "/v1/completions", "/score", "/metrics", "/props"]
)
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["no key", "wrong key"])
def test_without_the_key_there_is_no_answer(engine: RunningEngine, path: str, headers: dict[str, str]) -> None:
    for method in ("GET", "POST"):
        assert httpx.request(method, f"{engine.url}{path}", headers=headers, timeout=60).status_code == 401


def test_health_needs_no_key(engine: RunningEngine) -> None:
    assert httpx.get(f"{engine.url}/health", timeout=60).json() == {"status": "ok"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_key_stands_in_neither_arguments_nor_environment(engine: RunningEngine) -> None:
    for place in ("cmdline", "environ"):
        assert engine.key.encode() not in Path(f"/proc/{engine.pid}/{place}").read_bytes()


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"chat_template": "{{ messages }}"}, "chat_template"),
        ({"lora": [{"id": 0, "scale": 1}]}, "lora"),
        ({"adapter": "b"}, "adapter"),
        ({"n": 1_000_000}, "n"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": -1}, "seed"),
        ({"stop": ["x"] * 10_000}, "stop"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://10.0.0.1"}]}]}, "type"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_not_a_known_field_with_a_valid_value_never_reaches_the_process(
    engine: RunningEngine, wish: dict[str, Any], named: str
) -> None:
    with pytest.raises(MalformedRequest, match=named):
        engine.request(body(CHAT, **wish), None)


def test_a_prompt_longer_than_the_context_is_refused_and_named(engine: RunningEngine) -> None:
    with pytest.raises(MalformedRequest, match="prompt 1"):
        complete(engine, [TEXT, TextPrompt("fox " * 400)], max_tokens=4)


def test_the_context_is_at_most_what_the_model_allows(spec: EngineSpec, engine: RunningEngine) -> None:
    assert engine.spec.context_length == 128
    with ENGINES.get(engine.name).start(replace(spec, adapters=(), context_length=100_000)) as wide:
        assert wide.spec.context_length == 512


def test_both_engines_give_the_same_greedy_answers(spec: EngineSpec) -> None:
    answers = []
    for name in NAMES:
        with ENGINES.get(name).start(spec) as running:
            answers.append(
                [texts(running, CHAT, TEXT, adapter=adapter, max_tokens=6) for adapter in (None, "v1.0", "b")]
            )
    assert answers[0] == answers[1]


@pytest.fixture(params=NAMES)
def start(request: pytest.FixtureRequest, spec: EngineSpec) -> Callable[..., RunningEngine]:
    return lambda **changes: ENGINES.get(request.param).start(replace(spec, **{"adapters": (), **changes}))


def test_a_broken_model_folder_is_an_engine_failure_that_names_the_log(
    start: Callable[..., RunningEngine], spec: EngineSpec, tmp_path: Path
) -> None:
    broken = shutil.copytree(spec.model_dir, tmp_path / "broken")
    with (broken / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(EngineFailed, match=r"\.log") as failure:
        start(model_dir=broken, model_digest="f" * 64)
    assert Path(failure.value.details["log"]).parent == spec.work_dir


def test_stop_leaves_no_process_and_may_come_twice(start: Callable[..., RunningEngine]) -> None:
    running = start()
    assert running.alive()
    running.stop()
    running.stop()
    assert not running.alive()
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


def test_an_engine_that_dies_is_reported_with_its_log(start: Callable[..., RunningEngine]) -> None:
    running = start()
    os.kill(running.pid, signal.SIGKILL)
    running.process.wait()  # type: ignore[attr-defined]
    with pytest.raises(EngineFailed, match=r"\.log"):
        complete(running, [TEXT], max_tokens=4)
    running.stop()


PARENT = """
import sys, time
from pathlib import Path
from tunery.inference.ports import ENGINES, EngineSpec
name, model, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
running = ENGINES.get(name).start(EngineSpec(model, "0" * 64, folder / "cache", folder / "work", threads=1))
print(running.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("name", NAMES)
def test_killing_the_parent_ends_the_engine(name: str, spec: EngineSpec) -> None:
    arguments = [name, str(spec.model_dir), str(spec.cache_dir.parent)]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while runs(pid):
        assert time.monotonic() < deadline, "the engine outlived its parent"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """A process whose parent never waits for it stays in the table as a zombie; that one does not run."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")
