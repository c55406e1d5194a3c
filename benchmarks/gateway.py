"""What the gateway costs: ``python benchmarks/gateway.py``; prints medians, asserts none.

A tiny random model answers 300 pairs of equal requests, one direct to its engine and one through the gateway, in turns.
The asking client is a process of its own; server and engine are two more.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--max-tokens", type=int, default=1)
    parser.add_argument("--engine", default="llama.cpp")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        serve(Path(folder), arguments)


def serve(folder: Path, arguments: argparse.Namespace) -> None:
    """Deploy the model, and let a client process ask it on both ways."""
    import uvicorn

    from tunery.app import build_house, server_config
    from tunery.identity.operations import OWNER_TOKEN
    from tunery.platform.telemetry import configure_logging
    from tunery.settings import Settings

    settings = Settings(home=folder / "home", log_level="warning", _env_file=None)
    configure_logging(settings)
    house = build_house(settings, with_worker=False)
    house.start()
    server = uvicorn.Server(server_config(house.app, port=0))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        held = deploy(house, tiny_model(folder / "tiny"), arguments.engine)
        while not server.started:
            time.sleep(0.01)
        asked: dict[str, Any] = {"messages": MESSAGES, "temperature": 0, "max_tokens": arguments.max_tokens}
        order = {
            "pairs": arguments.pairs,
            "engine": [held.engine.url, held.engine.key, held.engine.request(asked, None)],
            "gateway": [
                f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}",
                (folder / "home" / OWNER_TOKEN).read_text(),
                {**asked, "model": "tiny"},
            ],
        }
        subprocess.run([sys.executable, __file__, "--client"], input=json.dumps(order), text=True, check=True)
        house.engines.release(held)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        house.stop()


def deploy(house: Any, folder: Path, engine: str) -> Any:
    """Register and deploy a model of the local tenant; gives its engine."""
    import sqlalchemy as sa

    from tunery.identity.tables import Tenant
    from tunery.kit.actor import Actor
    from tunery.registry.operations import prepare_version, register_version
    from tunery.registry.schemas import ArtifactFile, RegisterVersion
    from tunery.serving.operations import deploy_version
    from tunery.serving.schemas import DeploymentCreate

    ground = house.ground
    with ground.database.system_session("a benchmark looks for the local tenant") as session:
        actor = Actor(session.scalars(sa.select(Tenant.id)).one(), None, "benchmark")
    prepared = prepare_version(ground, actor.tenant_id, folder)
    files = [ArtifactFile(path=path, digest=blob.digest) for path, blob in prepared.files]
    with ground.database.session(actor.tenant_id) as session:
        register_version(session, ground, actor, "tiny", RegisterVersion(files=files, is_base=True), prepared)
        deploy_version(session, ground, actor, DeploymentCreate(version="tiny", engine=engine))
    house.engines.wake()
    while not house.engines.deployments(actor.tenant_id):
        time.sleep(0.05)
    return house.engines.lease(house.engines.resolve(actor.tenant_id, "tiny")[1])


def tiny_model(folder: Path) -> Path:
    """Write a random llama of two layers with a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    bpe.train_from_iterator(["the quick brown fox"], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<s>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def ask(order: dict[str, Any]) -> None:
    """Ask in turns and print what it took."""
    seconds: dict[str, list[float]] = {"engine": [], "gateway": []}
    clients = {
        way: httpx.Client(base_url=order[way][0], headers={"Authorization": f"Bearer {order[way][1]}"}, timeout=60)
        for way in seconds
    }
    for _ in range(10 + order["pairs"]):
        for way, client in clients.items():
            began = time.perf_counter()
            client.post("/v1/chat/completions", json=order[way][2]).raise_for_status()
            seconds[way].append(time.perf_counter() - began)
    direct, through = (times[10:] for times in seconds.values())  # the first ten open connections and caches
    more = [b - a for a, b in zip(direct, through, strict=True)]
    print(f"{len(more)} pairs, one request at a time, median (90th percentile):")
    for label, times in (("direct to the engine", direct), ("through the gateway", through), ("difference", more)):
        tenth = statistics.quantiles(times, n=10)[-1]
        print(f"  {label}: {statistics.median(times) * 1000:.2f} ms ({tenth * 1000:.2f} ms)")


if __name__ == "__main__":
    if sys.argv[1:] == ["--client"]:
        ask(json.load(sys.stdin))
    else:
        main()
