"""``tunery gates``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tunery.cli.noun import Limit, Noun, Offset
from tunery.cli.output import Output, plain, sheet, table
from tunery.client import Client
from tunery.errors import GateFailed, InvalidInput

noun = Noun("gates", "What a version must show before it is promoted.")
Name = Annotated[str, typer.Argument(metavar="GATE", help="Name of the gate.")]

_KINDS: dict[str, Any] = {
    "threshold": float,
    "margin": float,
    "direction": str,
    "baseline": str,
    "min_samples": int,
    "confidence": lambda text: {"true": True, "false": False}[text],
}


@noun.command("create", example="tunery gates create fit --criterion 'exact_match margin=0.05 min_samples=100'")
def create(
    name: Name,
    criterion: Annotated[
        list[str],
        typer.Option(
            help="A metric with threshold=, margin=, direction=, baseline=, min_samples=, confidence=; may be repeated."
        ),
    ],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> Output:
    """Keep criteria under a name; all of them must pass."""
    with Client() as client:
        made = client.gates.create(name, [_criterion(text) for text in criterion], description=description)
        return sheet(made, "id", "name", "description", "criteria")


@noun.command("list", example="tunery gates list")
def list_gates(limit: Limit = 50, offset: Offset = 0) -> Output:
    """List gates."""
    with Client() as client:
        return table(client.gates.list(limit=limit, offset=offset), "name", "description", "createdBy", "createdAt")


@noun.command("get", example="tunery gates get fit")
def get_gate(gate: Name) -> Output:
    """Show a gate and its newest verdicts."""
    with Client() as client:
        found = client.gates.get(gate)
    shown = sheet(found, "name", "description", "criteria", "createdBy", "createdAt")
    verdicts = table(found.verdicts, "id", "modelReference", "passed", "createdAt", empty="no verdicts yet")
    return Output(shown.data, shown.shown, [verdicts.shown] if verdicts.shown else [])


@noun.command("check", example="tunery gates check fit address-json:1.0.0")
def check(
    gate: Name,
    version: Annotated[str, typer.Argument(help="Model version, name:1.0.0.")],
    evaluation: Annotated[str | None, typer.Option(help="Evaluation to judge. Default: the newest one.")] = None,
) -> Output:
    """Hold a version against a gate; exit code 6 where it does not pass."""
    with Client() as client:
        verdict = client.gates.check(gate, version, evaluation_id=evaluation)
    findings = [finding | {"metric": finding["criterion"]["metric"]} for finding in plain(verdict)["findings"]]
    shown = table(findings, "metric", "outcome", "value", "improvement", "ciLow", "ciHigh", "n", "reason").shown
    failure = None if verdict.passed else GateFailed(f"{verdict.model_reference} did not pass the gate {gate!r}")
    return Output(plain(verdict), shown, failure=failure)


def _criterion(text: str) -> dict[str, Any]:
    metric, *pairs = text.split() or [""]
    found: dict[str, Any] = {"metric": metric}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            found[_camel(key)] = _KINDS[key](value)
        except (KeyError, ValueError) as error:
            known = ", ".join(f"{name}=" for name in _KINDS)
            raise InvalidInput(f"--criterion: {pair!r} is not understood; after the metric write {known}") from error
    return found


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest)
