"""The gateway over the built-in engines, with tiny random models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import openai as sdk
import pytest
from openai import OpenAI

from tests.serving.conftest import Stage, until
from tests.weights.conftest import MakeAdapter
from tunery.inference.templates import template_digest

HELLO: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 12}

pytestmark = pytest.mark.parametrize("ground", ["sqlite"], indirect=True)


@pytest.fixture(params=["llama.cpp", pytest.param("transformers", marks=pytest.mark.long)])
def deployed(request: pytest.FixtureRequest, stage: Stage, tiny_llama: Path, make_adapter: MakeAdapter) -> str:
    """A tiny base and two adapters of it, all deployed; gives the engine's name."""
    stage.shelf.register("tiny", tiny_llama, is_base=True)
    for seed in (1, 2):
        stage.shelf.register("pair", make_adapter(tiny_llama, seed=seed), base="tiny")
    for version, name in [("pair:1.0.0", "one"), ("pair:1.1.0", "two"), ("tiny", None)]:
        stage.wish(version, name, engine=request.param)
    for name in ("one", "two", "tiny"):
        view = until(lambda: (seen := stage.look(name)).status != "starting" and seen, 240)  # noqa: B023
        assert view.status == "ready", view.status_reason
    return str(request.param)


def test_base_and_adapters_answer_each_in_its_own_way(
    deployed: str, stage: Stage, openai: OpenAI, http: httpx.Client, tiny_llama: Path
) -> None:
    whole = {
        name: openai.chat.completions.create(model=name, messages=HELLO, **GREEDY).choices[0].message.content
        for name in ("tiny", "one", "two")
    }
    assert len(set(whole.values())) == 3
    for name, text in whole.items():
        stream = openai.chat.completions.create(
            model=name, messages=HELLO, stream=True, stream_options={"include_usage": True}, **GREEDY
        )
        chunks = list(stream)
        streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        # A character that max_tokens cuts in half is shown as broken only in the whole answer.
        assert streamed.rstrip("\ufffd") == (text or "").rstrip("\ufffd")
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 12
    body = {"model": "one", "messages": HELLO, **GREEDY}
    headers = http.post("/v1/chat/completions", json=body).headers
    assert headers["x-tunery-engine"] == deployed
    assert headers["x-tunery-template-digest"] == template_digest(tiny_llama)
    assert headers["x-tunery-adapter-digest"] == stage.look("one").version_digest
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.chat.completions.create(model="one", messages=[{"role": "user", "content": "word " * 3000}])
    assert caught.value.code == "context_length_exceeded"
    assert openai.completions.create(model="two", prompt="The quick", **GREEDY).choices[0].text
