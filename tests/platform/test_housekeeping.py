"""Housekeeping: what crashes left behind goes, what somebody works with stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunery.platform.ground import Ground
from tunery.platform.housekeeping import SWEEPS, clear_scratch, keep_house, scratch_folder

HOLD_A_FOLDER = """
import sys, time
from pathlib import Path
from tunery.platform.housekeeping import scratch_folder
from tunery.settings import Settings
with scratch_folder(Settings(home=sys.argv[1], _env_file=None), "import") as folder:
    (folder / "rows").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def _left_by_a_killed_process(home: Path) -> Path:
    process = subprocess.Popen([sys.executable, "-c", HOLD_A_FOLDER, home], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (folder / "rows").read_text() == "half"
    return folder.parent


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(ground: Ground) -> None:
    keep_house(ground)
    dead = _left_by_a_killed_process(ground.settings.home)
    with scratch_folder(ground.settings, "import") as living:
        keep_house(ground)  # the second time on this day
        assert not dead.exists()
        assert living.is_dir()
    assert list(ground.settings.home.glob("scratch/*")) == []


def test_folders_are_made_while_others_clear_away(ground: Ground) -> None:
    made, ended = [], threading.Event()

    def clear() -> None:
        while not ended.is_set():
            clear_scratch(ground.settings)

    with ThreadPoolExecutor(2) as threads:
        others = [threads.submit(clear) for _ in range(2)]
        try:
            for number in range(100):
                with scratch_folder(ground.settings, "import") as folder:
                    (folder / "rows").write_text(str(number))
                    made.append((folder / "rows").read_text())
        finally:
            ended.set()
        for other in others:
            other.result()
    assert len(made) == 100
    assert list(ground.settings.home.glob("scratch/*")) == []


def test_files_that_never_got_their_name_go(ground: Ground) -> None:
    folder = ground.settings.folder("cache", "versions")
    left = [".model.safetensors.0198c0de-0000-7000-8000-000000000001", ".base.gguf.4242.partial"]
    kept = [".gitattributes", "model.safetensors", ".hidden.json"]
    for name in left + kept:
        (folder / name).write_text("x")
    assert SWEEPS.get("staged files")(ground, 60) == 0
    assert SWEEPS.get("staged files")(ground, 0) == 2
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)


def test_a_home_is_swept_once_a_day(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[float] = []
    monkeypatch.setitem(SWEEPS._found, "counting", lambda _ground, _age: ran.append(time.time()) or 0)
    keep_house(ground)
    keep_house(ground)  # also another worker of this home, or this one after a restart
    assert len(ran) == 1
    keep_house(ground, every_seconds=0)
    assert len(ran) == 2


def test_who_stops_waits_for_no_further_sweep_and_the_next_start_sweeps_all(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    names = [name for name, _ in SWEEPS]
    for name in names:
        monkeypatch.setitem(SWEEPS._found, name, lambda _ground, _age, name=name: ran.append(name) or 0)
    keep_house(ground, stopping=lambda: len(ran) == 2)
    assert ran == names[:2]
    keep_house(ground)
    assert ran == names[:2] + names


def test_a_sweep_that_fails_does_not_keep_the_others_from_running(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_ground: Ground, _age: float) -> int:
        raise PermissionError("not ours")

    ran: list[float] = []
    monkeypatch.setitem(SWEEPS._found, "a", fails)
    monkeypatch.setitem(SWEEPS._found, "b", lambda _ground, age: ran.append(age) or 0)
    keep_house(ground)
    assert ran == [86_400]
