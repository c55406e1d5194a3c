"""Who waits for a job is not left waiting for ever, and who interrupts that is told what becomes of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import typer

from tests.doors.processes import alone, announced, start
from tests.registry.folders import make_model_folder
from tunery.cli.noun import Noun
from tunery.cli.waiting import interruptible
from tunery.client import Client

__all__ = ["alone"]
pytestmark = pytest.mark.xdist_group("doors")


def _rows(folder: Path) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"prompt": f"p{n}", "completion": f"c{n}"}) + "\n" for n in range(40)))
    return file


def _queued_job(environment: dict[str, str], file: Path) -> str:
    """Import through a server that carries nothing out, and end it."""
    server = start(environment, "serve", "--port", "0", "--no-worker")
    announced(environment, server)
    start(environment, "datasets", "import", file, "--no-wait").communicate(timeout=60)
    out, err = start(environment, "jobs", "list", "--json").communicate(timeout=60)
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=60)
    assert out, err
    job_id: str = json.loads(out)[0]["id"]
    return job_id


def test_who_follows_a_queued_job_without_a_server_has_it_carried_out(alone: dict[str, str], tmp_path: Path) -> None:
    job_id = _queued_job(alone, _rows(tmp_path))
    out, _ = start(alone, "jobs", "events", job_id, "--no-follow", "--json").communicate(timeout=60)
    assert out == ""
    out, _ = start(alone, "jobs", "get", job_id, "--json").communicate(timeout=60)
    assert json.loads(out)["status"] == "queued"  # who only looks starts nothing
    out, err = start(alone, "jobs", "events", job_id, "--json").communicate(timeout=120)
    assert json.loads(out.splitlines()[-1])["type"] == "succeeded", err


def test_ctrl_c_while_a_server_works_says_that_the_job_goes_on(alone: dict[str, str], tmp_path: Path) -> None:
    file = _rows(tmp_path)
    server = start(alone, "serve", "--port", "0", "--no-worker")
    announced(alone, server)
    waiting = start(alone, "datasets", "import", file)
    assert waiting.stderr is not None
    first = waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=60)
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=60)
    assert waiting.returncode == 130, first
    assert "The work goes on at http://127.0.0.1:" in err
    assert "End it with: tunery jobs cancel " in err


def test_a_run_behind_another_says_so_and_how_to_cancel_that(alone: dict[str, str], tmp_path: Path) -> None:
    make_model_folder(tmp_path / "base")
    recipes = []
    for name in ("first", "second"):
        recipes.append(tmp_path / f"{name}.yaml")
        plain = {"model": {"name": name, "base_model": str(tmp_path / "base")}}
        recipes[-1].write_text(json.dumps(plain | {"training_data": {"path": str(_rows(tmp_path))}}))
    server = start(alone, "serve", "--port", "0", "--no-worker")
    announced(alone, server)
    out, _ = start(alone, "pipelines", "start", recipes[0], "--json").communicate(timeout=60)
    waiting = start(alone, "run", recipes[1], "--json")
    assert waiting.stderr is not None
    told = next(line for line in waiting.stderr if line.startswith("waiting"))
    for process in (waiting, server):
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    first = json.loads(out)["id"]
    assert told == (f"waiting behind first ({first}) at stage import; `tunery pipelines cancel {first}` cancels it\n")


def test_ctrl_c_before_any_server_was_reached_starts_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(home=tmp_path, url="", token="")
    with pytest.raises(typer.Exit), interruptible(client, "tunery again", "tunery cancel"):
        raise KeyboardInterrupt
    assert "go on with: tunery again" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_ctrl_c_elsewhere_claims_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    noun = Noun("things", "Things.")

    @noun.command("make", example="tunery things make")
    def make() -> None:
        """Make a thing."""
        raise KeyboardInterrupt

    assert typer.main.get_command(noun.app).main(args=[], standalone_mode=False) == 130
    assert "what was done by then stands" in capsys.readouterr().err
