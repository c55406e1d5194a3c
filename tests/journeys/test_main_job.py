"""The main job as a person sees it: one command, killed at any moment, ends the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults import ROUNDS, Injected
from tests.journeys.conftest import Place, make_place
from tests.stored import flip_a_bit
from tunery.platform.ground import Ground
from tunery.settings import Settings

# One process of tests pays for the undisturbed job.
pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]


def _adapter_digest(place: Place, result: Any) -> str:
    version = place.run("models", "show", result["model"]["reference"])
    return next(
        file["digests"]["sha256"]
        for file in version["manifest"]["files"]
        if file["path"] == "adapter_model.safetensors"
    )


def _children(word: str) -> list[int]:
    """Return the processes whose command line has the word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            if word.encode() in command and ") Z" not in stat:
                found.append(int(entry.name))
    return found


def _training_children(place: Place) -> list[int]:
    found = []
    for pid in _children("tunery.training.fit"):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if f"TUNERY_HOME={place.home}".encode() in environment.split(b"\0"):
            found.append(pid)
    return found


@pytest.fixture(scope="session")
def uninterrupted(stranger_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Any]:
    """A finished main job that nobody disturbed."""
    place = make_place(tmp_path_factory.mktemp("calm"), stranger_folder)
    return place, place.job()


def test_one_command_ends_with_a_measured_signed_deployed_version(uninterrupted: tuple[Place, Any]) -> None:
    place, result = uninterrupted
    assert result["model"]["reference"] == "capitals:1.0.0"
    assert result["model"]["signature"]["verified"]
    assert {score["metric"] for score in result["scores"]} == {"exact_match", "token_f1"}
    assert all(score["base"]["n"] == score["tuned"]["n"] == 8 for score in result["scores"])
    assert result["deployment"]["status"] == "ready"
    lineage = place.run("models", "lineage", "capitals:1.0.0")
    assert {node["type"] for node in lineage["nodes"]} >= {"source", "dataset_version", "run", "base_model"}


def test_the_same_command_again_shows_what_is_finished(uninterrupted: tuple[Place, Any]) -> None:
    place, result = uninterrupted
    assert place.job() == result
    assert len(place.run("pipelines", "list")) == len(place.run("runs", "list")) == 1
    assert len(place.run("models", "versions", "capitals")) == 1


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.parametrize("seed", range(1, 2 + ROUNDS))
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    uninterrupted: tuple[Place, Any], stranger_folder: Path, tmp_path: Path, seed: int, injected: Injected
) -> None:
    calm_place, calm = uninterrupted
    place = make_place(tmp_path, stranger_folder)
    draw = random.Random(seed)
    for number in range(4):
        process = place.start("run", str(place.recipe), "--json")
        deadline = time.monotonic() + 120
        while not (children := _training_children(place)) and process.poll() is None:
            assert time.monotonic() < deadline, "training did not start"
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 4))
        if number % 2:  # only the child dies: the worker reports it
            for pid in children:
                with suppress(ProcessLookupError):  # it may have ended by itself
                    os.killpg(pid, signal.SIGKILL)
            process.communicate(timeout=300)
        else:  # only the worker dies: its child must not live on
            process.kill()
            process.communicate(timeout=60)
            deadline = time.monotonic() + 60
            while _training_children(place):
                assert time.monotonic() < deadline, "the child outlived its worker"
                time.sleep(0.05)
    result = place.job()
    assert _adapter_digest(place, result) == _adapter_digest(calm_place, calm)
    assert len(place.run("models", "versions", "capitals")) == 1
    injected(4)


def test_a_flipped_bit_in_a_stored_artifact_is_refused(uninterrupted: tuple[Place, Any], tmp_path: Path) -> None:
    calm, result = uninterrupted
    place = Place(shutil.copytree(calm.home, tmp_path / "home"), calm.recipe)
    digest = _adapter_digest(place, result)
    ground = Ground.build(Settings(home=place.home, _env_file=None))
    (tenant,) = (place.home / "store" / "packs").iterdir()
    flip_a_bit(ground, tenant.name, digest)
    ground.database.close()
    process = place.start("models", "verify", "capitals:1.0.0")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert digest in err
