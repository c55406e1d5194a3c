"""What commands print: no control characters of a stranger, JSON and nothing else, errors as one message."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tunery.cli.failures import report
from tunery.cli.live import open_screen
from tunery.cli.main import run
from tunery.cli.output import Output, plain_text, print_json, sheet, table
from tunery.cli.progress import event_line, share_of
from tunery.errors import (
    EXIT_CODES,
    GateFailed,
    InvalidInput,
    NotFound,
    RecipeInvalid,
    TuneryError,
    Unauthenticated,
    Unavailable,
)

EVIL = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b31m\u202edab\x00\rover\u2066x"


def test_terminal_escapes_are_stripped_and_line_ends_stay() -> None:
    assert plain_text(EVIL) == "red 31mdaboverx"
    assert plain_text("a\tb\nc ü 漢 🙂") == "a\tb\nc ü 漢 🙂"


def test_tables_and_sheets_obey_no_markup_and_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"name": "[red]x[/red]", "note": EVIL}]
    table(rows, "name", "note").print(as_json=False)
    sheet(rows[0]).print(as_json=False)
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_json_holds_the_same_and_no_raw_escape(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"note": EVIL})
    out = capsys.readouterr().out
    assert json.loads(out) == {"note": EVIL}
    assert out.isascii()
    assert "\x1b" not in out


def test_times_sizes_and_digests_read_as_people_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"sizeBytes": 98_362_432, "seconds": 75.0, "digest": "ab" * 32, "score": 0.123456, "gone": None}
    table([row], *row).print(as_json=False)
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["size", "seconds", "digest", "score", "gone"]
    assert line.split() == ["98.4", "MB", "1", "min", "15", "s", "abababababab", "0.1235", "-"]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    table([], "a").print(as_json=False)
    table([], "a").print(as_json=True)
    assert capsys.readouterr().out == "nothing yet\n[]\n"


@pytest.mark.parametrize("error", [NotFound("x"), InvalidInput("x"), Unauthenticated("x"), GateFailed("x")])
def test_the_exit_code_is_that_of_the_kind(error: TuneryError, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error) == EXIT_CODES[error.kind]
    assert capsys.readouterr() == ("", "error: x\n")


def test_faults_are_listed_with_path_and_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    faults = [{"path": "a.b", "message": "no such key", "hint": "did you mean 'c'?"}, {"path": "d", "message": "bad"}]
    assert report(RecipeInvalid("long", faults=faults)) == 2
    assert capsys.readouterr().err == (
        "error: 2 faults in the recipe; nothing was started\n  a.b: no such key (did you mean 'c'?)\n  d: bad\n"
    )


def test_a_servers_message_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(NotFound(EVIL))
    assert capsys.readouterr().err == "error: red 31mdaboverx\n"


def test_a_fault_of_ours_is_said_and_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError("x")) == 1
    assert "TUNERY_LOG_LEVEL=debug" in capsys.readouterr().err


def test_a_full_disk_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(OSError(28, "No space left on device", "/x/y")) == EXIT_CODES["exhausted"]
    assert "/x/y: the disk is full" in capsys.readouterr().err


def test_a_finding_that_is_a_failure_is_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert Output({"a": 1}, failure=Unavailable("x")).failure is not None
    Output({"a": 1}, failure=Unavailable("x")).print(as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["modles"], "Did you mean 'models'"),
        (["models", "lst"], "Did you mean 'list'"),
        (["jobs", "list", "--limt", "3"], "--limit"),
        (["jobs", "list", "--limit", "0"], "greater than or equal to 1"),
        (["run", "/nowhere/recipe.yaml"], "does not exist"),
        (["chat", "m", "x", "--max-tokens", "0"], "greater than or equal to 1"),
    ],
)
def test_a_wrong_command_line_is_one_message_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "see `tunery" in err


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TUNERY_PORT", "many")
    assert run(["doctor"]) == 2
    assert "port" in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2


def test_doctor_tells_where_the_data_lies_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TUNERY_HOME", str(tmp_path / "home"))
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["data"]["home"].startswith(str(tmp_path / "home"))
    assert found["data"]["freeBytes"] > 0
    assert "not running" in found["server"]["state"]
    assert not (tmp_path / "home").exists()


STAGES = [
    {"name": "import", "title": "Import", "status": "succeeded", "seconds": 2.0, "detail": "d:1 \x1b[2J"},
    {"name": "train", "title": "Train", "status": "running", "seconds": 75.0, "detail": None},
    {"name": "gate", "title": "Gate", "status": "waiting", "seconds": None, "detail": None},
]
STEP = {"type": "progress", "step": 12, "total_steps": 40, "loss": 0.5, "tokens_per_second": 176.0}


def test_a_terminal_shows_every_stage_with_the_running_ones_step() -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, height=20)
    with open_screen(terminal) as screen:
        screen.stages(STAGES)
        screen.event(STEP)
        screen.event({"type": "checkpoint", "step": 12})
    shown = terminal.file.getvalue()
    for part in ("✔ Import  2.0 s  d:1", "Train  1 min 15 s", "step 12 of 40, loss 0.5000, 176 tokens/s", "· Gate"):
        assert part in shown
    assert "\x1b[2J" not in shown


def test_a_file_gets_a_line_when_a_stage_begins_or_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with open_screen(Console(file=io.StringIO(), force_terminal=False)) as screen:
        screen.stages(STAGES)
        screen.event(STEP)
        screen.stages(STAGES)
        screen.event(STEP)
        screen.stages([stage | {"status": "succeeded"} for stage in STAGES])
    assert capsys.readouterr().err.splitlines() == [
        "✔ Import  2.0 s  d:1 ",
        "▶ Train  1 min 15 s",
        "    step 12 of 40, loss 0.5000, 176 tokens/s",
        "✔ Train  1 min 15 s",
        "✔ Gate",
    ]


def test_progress_reads_as_one_line() -> None:
    step = {"type": "progress", "step": 12, "total_steps": 40, "loss": 0.53214, "tokens_per_second": 176.4,
            "remaining_seconds": 75}  # fmt: skip
    assert event_line(step) == "step 12 of 40, loss 0.5321, 176 tokens/s, 1 min 15 s left"
    assert event_line({"type": "progress", "done": 3, "total": 100, "text": "asking\x1b[2J"}) == "3 of 100 asking"
    assert event_line({"type": "other", "x": 1, "y": "z", "deep": {}}) == "other: x 1, y z"


def test_the_share_of_the_work_lies_between_0_and_1() -> None:
    assert share_of({"step": 10, "total_steps": 40}) == 0.25
    assert share_of({"done": 50, "total": 40}) == 1.0
    assert share_of({"done": 1, "total": 0}) is None
    assert share_of({"text": "x"}) is None
