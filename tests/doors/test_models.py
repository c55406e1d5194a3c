"""Models from end to end through SDK and command line: register, look, verify, pull, export, delete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunery.client import Client, ModelRegistry
from tunery.errors import Conflict, InvalidInput, NotFound, UnsafeFormat
from tunery.weights.safetensors import write_safetensors

Tunery = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as small as can be; no one ever runs it."""
    path = tmp_path_factory.mktemp("model")
    rows = np.arange(64, dtype=np.float32).reshape(8, 8)
    write_safetensors(path / "model.safetensors", {"model.embed_tokens.weight": rows})
    path.joinpath("config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1}))
    path.joinpath(".hidden").write_text("not part of it")
    return path


@pytest.fixture(scope="module")
def registered(client: Client, folder: Path) -> str:
    """A version in the registry."""
    return client.models.register("tiny", folder, metadata={"commit": "abc"}, description="A tiny one").reference


def test_a_version_is_registered_with_digest_and_signature(client: Client, registered: str) -> None:
    version = client.models.version("tiny")
    assert registered == version.reference == "tiny:1.0.0"
    assert [file["path"] for file in version.manifest["files"]] == ["config.json", "model.safetensors"]
    assert version.signature["signatures"]
    assert client.models.verify(registered).verified


def test_the_lists_know_it(client: Client, registered: str) -> None:
    assert "tiny" in [model.name for model in client.models.list("tin")]
    assert client.models.list("nothing like it").total == 0
    assert [row.reference for row in client.models.versions("tiny")] == [registered]


def test_pulled_bytes_are_the_registered_bytes(client: Client, registered: str, folder: Path, tmp_path: Path) -> None:
    pulled = client.models.pull(registered, tmp_path / "pulled")
    for name in ("config.json", "model.safetensors"):
        assert (pulled / name).read_bytes() == (folder / name).read_bytes()


def test_a_part_of_an_earlier_pull_is_gone_on_with(
    client: Client, registered: str, folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors.part").write_bytes(whole[:100])
    client.models.pull(registered, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == whole


def test_the_contract_of_r4_holds(client: Client, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "registry.json"
    config.write_text(json.dumps({"home": str(client.settings.home)}))
    registry = ModelRegistry(config)
    assert registry.register_model("contract", str(folder), "2.0.0", {"use": "test"}) == "contract:2.0.0"
    assert registry.list_versions("contract") == ["2.0.0"]
    kept = Path(registry.get_model("contract", "2.0.0"))
    assert kept == Path(registry.get_model("contract", "2.0.0"))
    assert (kept / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    registry.close()


def test_a_config_with_other_keys_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "registry.json"
    config.write_text('{"storage_backend": {}}')
    with pytest.raises(InvalidInput, match="url"):
        ModelRegistry(config)


def test_a_pickle_is_refused_before_a_byte_is_sent(client: Client, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (tmp_path / "extra.bin").write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.")
    with pytest.raises(UnsafeFormat):
        client.models.register("bad", tmp_path)
    with pytest.raises(NotFound):
        client.models.get("bad")


def test_equal_bytes_are_sent_once(client: Client, tmp_path: Path) -> None:
    path, moved = tmp_path / "f.txt", list[int]()
    path.write_text("hello" * 1000)
    first = client.files.upload(path, lambda done, _: moved.append(done))
    sent = len(moved)
    again = client.files.upload(path, lambda done, _: moved.append(done))
    assert first == again == client.files.get(hashlib.sha256(path.read_bytes()).hexdigest())
    assert sent > 0
    assert len(moved) == sent
    assert max(moved) == 5000


def test_the_command_line_shows_the_same(tunery: Tunery, client: Client, registered: str) -> None:
    code, shown, _ = tunery("models", "show", "tiny")
    assert code == 0
    assert shown == client.models.version(registered).model_dump(mode="json", by_alias=True)
    assert tunery("models", "list", "-q", "tiny")[1][0]["name"] == "tiny"
    assert tunery("models", "versions", "tiny")[1][0]["reference"] == registered
    assert tunery("models", "verify", registered)[1]["verified"] is True
    assert tunery("models", "lineage", registered)[0] == 0


def test_update_pull_and_export_by_command(tunery: Tunery, registered: str, folder: Path, tmp_path: Path) -> None:
    assert tunery("models", "update", "tiny", "--add-tag", "small", "--category", "test")[1]["tags"] == ["small"]
    assert tunery("models", "update-version", registered, "--changelog", "new words")[1]["changelog"] == "new words"
    assert tunery("models", "pull", registered, "-o", tmp_path / "p")[1]["verified"] is True
    code, written, _ = tunery("models", "export", registered, "-o", tmp_path / "e")
    assert (code, written["written"]) == (0, [str(tmp_path / "e")])
    assert (tmp_path / "e/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert "llama" in tunery("models", "file", registered, "config.json")[1]["text"]


def test_a_pull_over_other_files_touches_none(client: Client, registered: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    with pytest.raises(Conflict):
        client.models.pull(registered, tmp_path)
    assert (tmp_path / "config.json").read_text() == "mine"


def test_delete_asks_first_and_then_it_is_gone(tunery: Tunery, client: Client, folder: Path) -> None:
    client.models.register("doomed", folder)
    code, out, err = tunery("models", "delete", "doomed:1.0.0")
    assert (code, out) == (2, None)
    assert "--confirm" in err
    assert client.models.version("doomed").status == "ready"
    assert tunery("models", "delete", "doomed:1.0.0", "--confirm")[0] == 0
    with pytest.raises(NotFound):
        client.models.version("doomed:1.0.0")
