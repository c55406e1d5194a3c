"""``tunery chat``: talk to a version, to its base, or to both side by side."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from tunery.cli.noun import Noun
from tunery.cli.output import Output, console, note, plain_text
from tunery.client import Client
from tunery.errors import InvalidInput, NotFound
from tunery.kit.ids import new_id

noun = Noun("chat", "Talk to a model, or to base and tuned side by side.")
_ALL = 1000
_NOTHING = "(the model answered nothing)"
Turns = list[dict[str, str]]


@noun.command("chat", example='tunery chat address-json "350 Fifth Ave, NY 10118" --side-by-side')
def chat(
    model: Annotated[
        str, typer.Argument(help="A deployment, a version name:1.0.0, or a model for its newest version.")
    ],
    text: Annotated[
        list[str] | None, typer.Argument(help="What to ask once; without it a conversation begins.")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Ask the version's base model instead.")] = False,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="Ask the base model too.")] = False,
    system: Annotated[str, typer.Option(help="What the model is told first.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 always gives the likeliest answer.")] = 0.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="Let it go on with the text as it stands, without its chat template.")
    ] = False,
    as_json: bool = False,
) -> Output | None:
    """Ask a model once, or talk with it."""
    options = {"max_tokens": max_tokens, "temperature": temperature}
    before: Turns = [{"role": "system", "content": system}] if system else []
    with Client() as client, ExitStack() as closing:
        wanted = ([] if base else [model]) + ([_base_of(client, model)] if base or side_by_side else [])
        names = {name: closing.enter_context(_deployed(client, name)) for name in wanted}
        if text and plain:
            return _shown(
                {shown: client.chat.complete_text(n, " ".join(text), **options) for shown, n in names.items()}
            )
        if text:
            return _ask_once(client, names, before, " ".join(text), options, as_json)
        if as_json or plain:
            raise InvalidInput("--json and --plain need a text to ask; a conversation is for people")
        _converse(client, names, before, options)
    return None


def _ask_once(
    client: Client, names: dict[str, str], before: Turns, text: str, options: dict[str, Any], as_json: bool
) -> Output | None:
    turns = [*before, {"role": "user", "content": text}]
    if len(names) == 1 and not as_json:
        _stream(client, next(iter(names.values())), turns, options)
        return None
    return _shown({shown: client.chat.complete(name, turns, **options) for shown, name in names.items()})


def _shown(answers: dict[str, str]) -> Output:
    data = [{"model": model, "answer": answer} for model, answer in answers.items()]
    return Output(data, _side_by_side(answers) if len(answers) > 1 else _legible(data[0]["answer"]))


def _converse(client: Client, names: dict[str, str], before: Turns, options: dict[str, Any]) -> None:
    """Talk until the input ends; each model keeps its own conversation."""
    talks = {shown: [*before] for shown in names}
    if sys.stdin.isatty():
        note(f"talking to {' and '.join(names)}; end with Ctrl-D")
    while (text := _next_question()) is not None:
        answers = {}
        for shown, name in names.items():
            talks[shown].append({"role": "user", "content": text})
            if len(names) == 1:
                answers[shown] = _stream(client, name, talks[shown], options)
            else:
                answers[shown] = client.chat.complete(name, talks[shown], **options)
            talks[shown].append({"role": "assistant", "content": answers[shown]})
        if len(names) > 1:
            console().print(_side_by_side(answers))


def _next_question() -> str | None:
    try:
        text = input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None
    return text if text.strip() else _next_question()


def _stream(client: Client, name: str, turns: Turns, options: dict[str, Any]) -> str:
    pieces = []
    for piece in client.chat.stream(name, turns, **options):
        pieces.append(piece)
        sys.stdout.write(plain_text(piece))
        sys.stdout.flush()
    if not "".join(pieces).strip():
        note(_NOTHING)  # beside the answer: a program that reads it gets it as it is
    sys.stdout.write("\n")
    return "".join(pieces)


def _side_by_side(answers: dict[str, str]) -> Table:
    grid = Table(show_lines=True)
    for shown in answers:
        grid.add_column(plain_text(shown), overflow="fold", ratio=1)
    grid.add_row(*(_legible(answer) for answer in answers.values()))
    return grid


def _legible(answer: str) -> Text:
    return Text(plain_text(answer)) if answer.strip() else Text(_NOTHING, style="dim")


def _base_of(client: Client, model: str) -> str:
    reference = model
    for deployment in client.deployments.list(limit=_ALL):
        if deployment.name == model:
            reference = deployment.served_version or deployment.version
    version = client.models.version(reference)
    if version.base_reference is None:
        raise InvalidInput(f"{version.reference} has no base here to ask: it is a {version.kind} model")
    return version.base_reference


@contextmanager
def _deployed(client: Client, model: str) -> Iterator[str]:
    """Give the name under which a model answers; where it is not deployed, deploy it for this conversation alone."""
    deployments = client.deployments.list(limit=_ALL)
    named = next((d for d in deployments if d.name == model), None)
    if named is not None:
        yield client.deployments.wait(named.name).name
        return
    try:
        reference = client.models.version(model).reference
    except NotFound as missing:
        raise NotFound(f"there is neither a deployment nor a model {model!r}; see `tunery models list`") from missing
    serving = next((d for d in deployments if d.served_version == reference and d.status == "ready"), None)
    if serving is not None:
        yield serving.name
        return
    name = f"chat-{new_id()[-8:]}"
    note(f"{reference} is not deployed; starting it for this conversation ...")
    client.deployments.create(reference, name=name)
    try:
        yield client.deployments.wait(name).name
    finally:
        client.deployments.delete(name)
