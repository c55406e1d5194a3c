"""EU AI Act, as far as it asks something of whoever fine-tunes.

Sources: Regulation (EU) 2024/1689, Art. 53, Annexes XI and XII; the Commission's guidelines of July 2025: 1e23 FLOP is
indicative of a general-purpose model, and who fine-tunes one becomes its provider above a third of the original's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunery.compliance.ports import Case, Outcome, rule
from tunery.compliance.rules.finding import person

__all__ = ["INDICATIVE_FLOP", "ledger_of"]

INDICATIVE_FLOP = 1e23
_ACT = "AI-ACT"

person(
    "AIA-53c-COPY", _ACT, "Copyright policy; opt-outs of scraped sources honoured", "the policy has to be attached",
    document=True,
)  # fmt: skip


def ledger_of(case: Case) -> list[dict[str, Any]]:
    """Return the compute spent on each base: 6ND of every training on these rows, and the threshold it is held against.

    A third of the base's own compute where that is known, else of 1e23 FLOP. A base that was itself fine-tuned here
    brings the compute of that with it.
    """
    bases: dict[str, dict[str, Any]] = {}
    for run in case.runs:
        base = bases.setdefault(
            run["base"], {"base": run["base"], "runs": [], "flop": 0.0, "earlier_flop": run["earlier_flop"]}
        )
        base["runs"].append({"run": run["id"], "parameters": run["parameters"], "tokens": run["tokens"]})
        base["flop"] += 6.0 * run["parameters"] * run["tokens"]
        base["threshold"] = (run["base_flop"] or INDICATIVE_FLOP) / 3
        base["threshold_of"] = "the base's compute" if run["base_flop"] else "1e23 FLOP, as the base's is unknown"
    for base in bases.values():
        base["flop"] += base["earlier_flop"]
        base["part_of_threshold"] = base["flop"] / base["threshold"]
    return list(bases.values())


@rule("AIA-GPAI-STATUS", _ACT, "Compute of all trainings against a third of the base's", "A+H")
def provider_status(case: Case) -> Outcome:
    """Add up 6ND; whether somebody is a provider, a person says."""
    if not case.runs:
        return Outcome("n/a", "nothing was trained on these rows")
    if lacking := [run["id"] for run in case.runs if not (run["tokens"] and run["parameters"])]:
        reason = f"{len(lacking)} trainings tell no tokens or parameters; a person says the status"
        return Outcome("review", reason, {"runs": lacking}, document=True)
    ledger = ledger_of(case)
    most = max(base["part_of_threshold"] for base in ledger)
    place = "above" if most > 1 else "below"
    return Outcome("review", f"{place} the threshold: {most:.2g} of it; a person says the status", {"ledger": ledger})


@rule("AIA-XI-1", _ACT, "Annex XI, general description of the model", "A+H")
def general_description(case: Case) -> Outcome:
    """Look which of the six fields the registry can fill."""
    return _documented(
        case,
        lambda model: {
            "tasks": model["description"],
            "acceptable use": model["acceptable_use"],
            "release and distribution": {"date": model["created_at"], "visibility": model["visibility"]},
            "architecture and parameters": model["architecture"] and model["parameters"],
            "modality and format": {"input": "text", "output": "text"},
            "licence": model["license"],
        },
    )


@rule("AIA-XI-2", _ACT, "Annex XI, training: process, data, compute, energy", "A+H")
def training_description(case: Case) -> Outcome:
    """Look which facts runs and lineage give; the rationale is a person's."""
    runs = {run["id"]: run for run in case.runs}
    steps = [step.get("step") for step in case.provenance.get("preprocessingSteps", [])]

    def fields(model: Mapping[str, Any]) -> dict[str, Any]:
        run = runs[model["run"]]
        return {
            "process and hyper-parameters": run["config"],
            "provenance of the data": case.sources,
            "curation": steps or ["none"],
            "number of points": case.version["total"],
            "compute": run["flop"],
            "energy": run["energy"],
        }

    return _documented(case, fields, review="a person says why it was done so")


@rule("AIA-XII", _ACT, "Annex XII, what who builds on the model must know", "A+H")
def downstream_pack(case: Case) -> Outcome:
    """Look which fields of the pack the registry can fill."""
    return _documented(
        case,
        lambda model: {
            "acceptable use": model["acceptable_use"],
            "licence": model["license"],
            "context length": model["context_length"],
            "formats": model["formats"],
            "version": model["reference"],
        },
        review="a person says that it is enough to integrate the model",
    )


@rule("AIA-53d-SUM", _ACT, "Public summary of the training content", "A+H")
def public_summary(case: Case) -> Outcome:
    """Draft the data part of the template of 2025-07-24; a person completes and publishes it."""
    draft = [
        {
            "kind": source.get("type"),
            "url": source.get("url"),
            "description": source.get("description") or None,
            "rows": source.get("sampleCount"),
            "collected": source.get("collectedAt"),
        }
        for source in case.provenance.get("sources", [])
    ]
    gaps = ["languages", "periods", "synthetic or user data"]
    gaps += ["description of a source"] if any(source["description"] is None for source in draft) else []
    evidence = {"rows": case.version["total"], "size_bytes": case.version["size_bytes"], "sources": draft, "gaps": gaps}
    return Outcome("review", f"a person adds {', '.join(gaps)} and publishes it", evidence)


@rule("AIA-50-MARK", _ACT, "Deployments mark what they generate", "A+H")
def marked(case: Case) -> Outcome:
    """Ask only where there is a model; deployments have no such switch yet."""
    if not case.models:
        return Outcome("n/a", "no model was registered from these rows")
    return Outcome("review", "deployments mark nothing by themselves; a person says what marks their answers")


def _documented(case: Case, fields: Any, review: str = "") -> Outcome:
    """Return which fields each model lacks; where a person said that nobody is a provider, the duty does not apply."""
    if not case.models:
        return Outcome("n/a", "no model was registered from these rows")
    documents = {model["reference"]: fields(model) for model in case.models}
    gaps = {name: [k for k, v in known.items() if not v] for name, known in documents.items()}
    gaps = {name: missing for name, missing in gaps.items() if missing}
    evidence = {"documents": documents, "gaps": gaps}
    ledger = ledger_of(case) if all(run["tokens"] and run["parameters"] for run in case.runs) else []
    if ledger and all(base["part_of_threshold"] <= 1 for base in ledger) and case.said("AIA-GPAI-STATUS"):
        return Outcome("n/a", "below a third of the base's compute, and a person said so: no provider", evidence)
    if gaps:
        lacking = "; ".join(f"{name} lacks {', '.join(each)}" for name, each in gaps.items())
        return Outcome("review", f"{lacking}; a person attaches it", evidence, document=True)
    return Outcome("review" if review else "pass", review or "every field is there", evidence)
