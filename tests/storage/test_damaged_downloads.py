"""Downloads of what is damaged in the store: the file is named and what to do, good bytes are gone on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.doors.door import Door, Person
from tests.doors.things import data_of, register
from tests.registry.folders import make_model_folder
from tests.storage.proxy import Cut, proxied
from tests.stored import flip_a_bit
from tunery.client import Client
from tunery.errors import IntegrityError
from tunery.weights.safetensors import write_safetensors


@pytest.fixture
def client(door: Door, tmp_path: Path) -> Iterator[Client]:
    with proxied(door.socket_path, Cut) as url, Client(url, door["acme/admin"].token, tmp_path / "client") as client:
        yield client


def registered(admin: Person, folder: Path, name: str, floats: int) -> tuple[str, bytes]:
    """Register a model with one tensor of noise; return the digest of its weights, and the bytes."""
    make_model_folder(folder)
    noise = np.random.default_rng(floats).standard_normal((floats // 8, 8), np.float32)
    write_safetensors(folder / "model.safetensors", {"model.embed_tokens.weight": noise})
    version = register(admin, name, folder, isBase=True)
    digests = {file["path"]: file["digests"]["sha256"] for file in version["manifest"]["files"]}
    return digests["model.safetensors"], (folder / "model.safetensors").read_bytes()


def mend(door: Door, admin: Person, digest: str) -> None:
    flip_a_bit(door.ground, admin.actor.tenant_id, digest)  # once more, and it is as it was


def test_damage_at_the_beginning_is_a_problem_like_any_other(
    door: Door, admin: Person, client: Client, tmp_path: Path
) -> None:
    digest, _ = registered(admin, tmp_path / "model", "damaged-first", 800)
    flip_a_bit(door.ground, admin.actor.tenant_id, digest)
    answer = admin.http.get("/api/v1/models/damaged-first/versions/1.0.0/files/model.safetensors")
    assert (answer.status_code, answer.json()["code"]) == (500, "integrity_error")
    for part in ("model.safetensors: ", digest, "tunery store check --repair backup"):
        assert part in answer.json()["detail"]
    for write_out in (client.models.pull, client.models.export):
        with pytest.raises(IntegrityError, match=r"model\.safetensors.*--repair backup"):
            write_out("damaged-first", tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["config.json"], "what is good is kept"
    mend(door, admin, digest)


def test_damage_far_inside_is_named_and_the_rest_comes_once_it_is_mended(
    door: Door, admin: Person, client: Client, tmp_path: Path
) -> None:
    digest, data = registered(admin, tmp_path / "model", "damaged-last", 9_000_000)
    assert len(data) > 36_000_000
    flip_a_bit(door.ground, admin.actor.tenant_id, digest)
    with pytest.raises(IntegrityError, match=r"model\.safetensors.*--repair backup.*good bytes before it are kept"):
        client.models.export("damaged-last", tmp_path / "out")
    kept = (tmp_path / "out" / "model.safetensors.part").read_bytes()
    assert kept
    assert data.startswith(kept)
    mend(door, admin, digest)
    told: list[int] = []
    client.models.export("damaged-last", tmp_path / "out", watch=lambda name, done, size: told.append(done))
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == data
    assert min(told) >= len(kept), "no byte came twice"
    assert data_of(admin.http.post("/api/v1/models/damaged-last/versions/1.0.0/verify"))["verified"]
