"""Many processes on one store, killed at any moment: nothing named is lost, nothing destroyed comes back (F22)."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults import ROUNDS, Injected
from tests.platform.blobs.conftest import Shelf
from tests.platform.blobs.crowd import ended, hoarding, start, told, wait_for_lines, whole_at_last

KILLS, DEEDS, LINES = (8 * ROUNDS, 60, 80) if ROUNDS else (2, 15, 10)
AT_ONCE = 3
TIGHT_SECONDS = 60 * ROUNDS or 1
"""On each of two databases."""


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_what_is_named_stays_whole_and_what_is_destroyed_stays_gone(
    shelf: Shelf, tmp_path: Path, sqlite_template: Path, injected: Injected
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    hoard = tmp_path / "hoard"
    with hoarding(shelf, hoard / shelf.tenant_id):
        errors = _storm(shelf, tmp_path, random.Random(seed))
    assert errors == []
    named, destroyed = told(tmp_path)
    assert named
    assert destroyed
    whole_at_last(shelf, named, destroyed, hoard, tmp_path, sqlite_template)
    injected(KILLS)


def _storm(shelf: Shelf, folder: Path, rng: random.Random) -> list[str]:
    """Let workers work; kill one after the other, each after some deeds, and start another; let the last ones end."""
    number = 0
    running: list[tuple[str, subprocess.Popen[str]]] = []
    while number < KILLS + AT_ONCE:
        while len(running) < AT_ONCE:
            number += 1
            name = f"w{number}-{rng.randrange(10**6)}"
            running.append((name, start(shelf, name, "anything", DEEDS)))
        name, process = running.pop(0)
        wait_for_lines(folder, name, rng.randrange(2, DEEDS // 2), process, rng)
        process.kill()
        if error := ended(process):
            return [error]
    return [error for _, process in running if (error := ended(process))]


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_what_comes_back_while_it_is_collected_is_kept_or_refused(
    shelf: Shelf, tmp_path: Path, sqlite_template: Path, injected: Injected
) -> None:
    """One collects without a pause, two put files that are there, let go, or being collected; all get killed."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng, end, kills = random.Random(seed), time.monotonic() + TIGHT_SECONDS, 0
    parts = ("collecting", "coming back", "coming back")
    running: list[tuple[str, str, subprocess.Popen[str]]] = []
    with hoarding(shelf, tmp_path / "hoard" / shelf.tenant_id):
        while time.monotonic() < end or not told(tmp_path)[0]:
            for number in range(len(running), len(parts)):
                part = next(one for one in parts if sum(p == one for _, p, _ in running) < parts.count(one))
                name = f"t{kills}-{number}-{rng.randrange(10**6)}"
                running.append((name, part, start(shelf, name, part, 10**6)))
            name, _, process = running.pop(0)
            wait_for_lines(tmp_path, name, rng.randrange(2, LINES), process, rng)
            process.kill()
            kills += 1
            assert ended(process) == ""
        for _, _, process in running:
            process.kill()
            assert ended(process) == ""
    named, _ = told(tmp_path)
    assert named
    whole_at_last(shelf, named, set(), tmp_path / "hoard", tmp_path, sqlite_template)
    injected(kills + len(parts) - 1)
