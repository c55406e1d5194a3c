"""What a pipeline came to, as one table; and what it would do, as another."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tunery.cli.output import Output, plain, plain_text, table
from tunery.kit.units import format_bytes, format_seconds
from tunery.pipelines.schemas import PipelinePlan, PipelineView

__all__ = ["not_repeatable", "result_table", "show_pipeline", "show_plan", "stage_line"]

_LONGEST_SAMPLE = 400
_MARKS = {"succeeded": "✔", "running": "▶", "failed": "✘", "cancelled": "■", "queued": "…", "waiting": "·"}


def show_pipeline(pipeline: PipelineView, address: str = "") -> Output:
    """Show a pipeline's stages and, once there is one, its result. See ``result_table`` for the address."""
    data = plain(pipeline)
    lines: list[RenderableType] = [Text(plain_text(f"{pipeline.name} (pipeline {pipeline.id}): {pipeline.status}"))]
    lines += [Text(stage_line(stage)) for stage in data["stages"]]
    if pipeline.waiting_behind:
        lines.append(Text(plain_text(pipeline.waiting_behind.text), style="yellow"))
    lines += not_repeatable(pipeline)
    if pipeline.error:
        lines.append(Text(plain_text(f"error: {pipeline.error.get('detail') or pipeline.error}"), style="red"))
    return Output(data, Group(*lines), [result_table(data, address)] if pipeline.result else [])


def not_repeatable(pipeline: PipelineView) -> list[RenderableType]:
    """Return the line that tells why a pipeline cannot be repeated, where it cannot."""
    why = pipeline.not_repeatable
    return [Text(plain_text(f"not repeatable: {why}"), style="yellow")] if why else []


def show_plan(plan: PipelinePlan) -> Output:
    """Show what a recipe would do, how long and in how much memory."""
    stages = table(plan.stages, "title", "detail", "seconds")
    lines = [
        f"about {format_seconds(plan.seconds)} in all, up to {format_bytes(plan.peak_memory_bytes)} of memory",
        *plan.notes,
        f"this recipe ran on these inputs before ({plan.earlier}); a run goes on with it" if plan.earlier else "",
        f"not repeatable: {plan.not_repeatable}" if plan.not_repeatable else "",
        "nothing was started",
    ]
    return Output(plain(plan), stages.shown, [Text(plain_text("\n".join(line for line in lines if line)))])


def stage_line(stage: dict[str, Any]) -> str:
    """Return a stage as a line: mark, title, time, what came out."""
    parts = [f"{_MARKS.get(stage['status'], '?')} {stage['title']}"]
    if stage.get("seconds") is not None:
        parts.append(format_seconds(stage["seconds"]))
    if stage.get("detail"):
        parts.append(str(stage["detail"]))
    return plain_text("  ".join(parts))


def result_table(pipeline: dict[str, Any], address: str = "") -> Panel:
    """Return the one table that ``tunery run`` ends with.

    Base against tuned on held-out rows with 95 % intervals and the paired p-value, the gate's verdict, the registered
    version with digest and signature, the endpoint, one sample answer. What a recipe did not ask for says so.

    Args:
        pipeline: A finished pipeline, as plain JSON.
        address: URL of the server that goes on running; empty where none does.
    """
    result = pipeline["result"]
    facts = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, text in (
        ("prompts", _prompts(result.get("prompts") or {})),
        ("gate", _gate(result.get("gate") or {})),
        ("version", _version(result.get("model") or {}, result.get("baseModel") or {})),
        ("data", _dataset(result.get("dataset") or {})),
        ("training", _training(result.get("run") or {})),
        ("endpoint", _endpoint(result.get("deployment"), address)),
        ("sample", _sample(result.get("sample"))),
        (
            "stages",
            ", ".join(f"{s['name']} {format_seconds(s['seconds'])}" for s in pipeline["stages"] if s["seconds"]),
        ),
    ):
        if text:
            facts.add_row(label, Text(plain_text(text)))
    title = f"{pipeline['name']}: base against tuned on held-out rows, p paired"
    scores = _scores(result.get("scores") or [])
    return Panel(Group(scores, Text(), facts), title=Text(plain_text(title)), expand=False, padding=(0, 1))


def _scores(scores: list[dict[str, Any]]) -> RenderableType:
    if not scores:
        return Text("not evaluated")
    grid = Table(box=None, pad_edge=False, header_style="bold")
    widths = {"metric": None, "base [95 %]": 13, "tuned [95 %]": 13, "difference": 15, "p": 7, "rows": 4}
    for title, width in widths.items():
        grid.add_column(title, min_width=width, overflow="fold")
    for score in scores:
        base, tuned, difference = (score.get(key) or {} for key in ("base", "tuned", "difference"))
        metric = plain_text(str(score["metric"])) + (" (lower is better)" if score.get("direction") == "lower" else "")
        rows = str(tuned.get("n", "-")) if tuned.get("n") == base.get("n") else f"{base.get('n')}/{tuned.get('n')}"
        shown = (
            _interval(base),
            _interval(tuned),
            _interval(difference, sign="+"),
            _p_value(score.get("pValue")),
            rows,
        )
        grid.add_row(metric, *shown, style=_colour(score, difference))
    return grid


def _interval(measured: dict[str, Any], sign: str = "") -> str:
    value, low, high = (measured.get(key) for key in ("value", "low", "high"))
    if value is None:
        return "-"
    return f"{value:{sign}.3f}" + (f" [{low:{sign}.3f},{high:{sign}.3f}]" if None not in (low, high) else "")


def _p_value(p: float | None) -> str:
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _colour(score: dict[str, Any], difference: dict[str, Any]) -> str:
    low, high = difference.get("low"), difference.get("high")
    if low is None or high is None or low <= 0 <= high:
        return ""
    return "green" if (low > 0) == (score.get("direction") != "lower") else "red"


def _prompts(prompts: dict[str, Any]) -> str:
    return "\n".join(f"{side}: {_one_line(prompts[side])}" for side in ("base", "tuned") if prompts.get(side))


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            f"{k} {v}" for k, v in value.items() if v not in (None, "", [], {}) and not isinstance(v, list | dict)
        )
    text = " ".join(str(value).split())
    return text if len(text) <= 160 else text[:159] + "…"


def _gate(gate: dict[str, Any]) -> str:
    decision = gate.get("decision")
    if decision not in ("pass", "fail"):
        return "none was asked for"
    reasons = [f"{c.get('outcome')}: {c.get('metric')}: {c.get('reason')}" for c in gate.get("criteria") or []]
    return "\n".join(["passed" if decision == "pass" else "NOT passed", *reasons])


def _version(model: dict[str, Any], base: dict[str, Any]) -> str:
    if not model:
        return "none was registered"
    signature = model.get("signature") or {}
    verified = "verified" if signature.get("verified") else "NOT verified"
    lines = [
        f"{model.get('reference')} ({model.get('kind')}, stage {model.get('stage')})",
        f"digest sha256:{model.get('digest')}",
        f"signature Ed25519, key {str(signature.get('keyId'))[:16]}, {verified}",
    ]
    if base:
        lines.append(f"on base {base.get('name')}, sha256:{base.get('digest')}")
    return "\n".join(lines)


def _dataset(dataset: dict[str, Any]) -> str:
    if not dataset:
        return ""
    rows = dataset.get("rows") or {}
    counts = ", ".join(f"{rows[part]} {part}" for part in ("train", "validation", "test") if rows.get(part) is not None)
    name = f"{dataset.get('name')}:{dataset.get('version')}"
    aside = f"; set aside: {dataset.get('quarantined')} (tunery datasets quarantined {name})"
    return f"{name}: {counts}{aside * bool(dataset.get('quarantined'))}\nsha256:{dataset.get('digest')}"


def _training(run: dict[str, Any]) -> str:
    formats = (
        ("steps", lambda v: f"{v} steps"),
        ("seconds", format_seconds),
        ("tokensPerSecond", lambda v: f"{v:.0f} tokens/s"),
        ("peakMemoryBytes", lambda v: f"{format_bytes(v)} at most"),
        ("loss", lambda v: f"loss {v:.4f}"),
    )
    return ", ".join(shown(run[key]) for key, shown in formats if run.get(key) is not None)


def _endpoint(deployment: dict[str, Any] | None, address: str) -> str:
    if not deployment:
        return "not deployed"
    name = deployment.get("name")
    where = f"{address}{deployment.get('endpoint')}" if address else f"{deployment.get('endpoint')} of `tunery serve`"
    return f"{where}, model {name!r} ({deployment.get('status')}); or: tunery chat {name}"


def _sample(sample: dict[str, Any] | None) -> str:
    if not sample:
        return ""
    parts = {"asked": sample.get("prompt"), "answer": sample.get("answer"), "reference": sample.get("reference")}
    return "\n".join(f"{name}: {_shortened(str(text))}" for name, text in parts.items() if text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SAMPLE else f"{text[:_LONGEST_SAMPLE]}… ({len(text)} characters)"
