"""What people see of a model's answer."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tunery.cli import chat
from tunery.client import Client


@pytest.mark.parametrize(
    ("pieces", "out", "err"),
    [
        (["yes", "!"], "yes!\n", ""),
        ([], "\n", "(the model answered nothing)\n"),
        ([" "], " \n", "(the model answered nothing)\n"),
    ],
)
def test_an_empty_answer_is_said_beside_it(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pieces: list[str],
    out: str,
    err: str,
) -> None:
    monkeypatch.setattr(type(client.chat), "stream", lambda *_, **__: iter(pieces))
    assert chat._stream(client, "any", [], {}) == "".join(pieces)
    assert capsys.readouterr() == (out, err)


def test_side_by_side_an_empty_answer_is_said_in_its_place() -> None:
    screen = Console(file=io.StringIO(), width=100)
    screen.print(chat._side_by_side({"base": "", "tuned": "four"}))
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "(the model answered nothing)" in shown
    assert "four" in shown
