"""A provenance record in sentences, for people: the same ones on the card and in Croissant."""

from __future__ import annotations

from tunery.datasets.pii.reports import DetectorReport, read_report
from tunery.datasets.views import Provenance, SourceRecord

__all__ = ["limitations", "personal_data", "source_sentence", "step_sentences"]


def source_sentence(source: SourceRecord) -> str:
    """Say where a source came from, when, and under which licence."""
    where = f" from {source.url}" if source.url else ""
    said = f"; {' '.join(source.description.split())}" if source.description else ""
    return (
        f"{source.name} ({source.type}{where}): {source.sample_count} rows, collected {source.collected_at:%Y-%m-%d}, "
        f"licence {source.license or 'not stated'}, sha256 {source.digest}{said}"
    )


def step_sentences(record: Provenance) -> list[str]:
    """Say what each step did, in order."""
    return [
        f"{step.name}: {step.description}; {step.affected_samples} rows affected, {step.timestamp:%Y-%m-%d}"
        for step in record.preprocessing_steps
    ]


def personal_data(record: Provenance) -> list[str]:
    """Say who looked for personal data, what was found, and how much such detectors find at all."""
    found = []
    for step in record.preprocessing_steps:
        if step.name == "redact_pii":
            report = read_report(step.details, step.affected_samples)
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items())) or "nothing"
            found.append(f"Detectors looked at {report.rows} rows and found {kinds}. {step.description}.")
            found += [_measured(detector) for detector in report.detectors]
    return found or ["Nobody has looked for personal data in these rows: whether there is any is unknown."]


def limitations(record: Provenance) -> list[str]:
    """Say what is known to be missing or open."""
    quality = record.quality_metrics
    found = [f"Licences, {reason.outcome}: {reason.text}." for reason in record.licensing.reasons]
    if quality.get("quarantined"):
        found.append(f"{quality['quarantined']} rows of the last import could not be used and were set aside.")
    if quality.get("leakingRows"):
        found.append(f"{quality['leakingRows']} rows of the last import are near copies of rows in another split.")
    return [*found, "Whether the rows are true, fair or representative was not measured."]


def _measured(detector: DetectorReport) -> str:
    recall = {kind: each.recall for kind, each in detector.measured.items() if each.recall is not None}
    head = f"{detector.name} {detector.version} looked at {detector.coverage:.0%} of the rows"
    if not recall:
        return f"{head}; how much it finds was not measured."
    least = min(recall, key=lambda kind: recall[kind])
    return (
        f"{head}; its measured recall is {recall[least]:.2f} ({least}) to {max(recall.values()):.2f} on "
        f"{detector.measured_on or 'labelled texts'}. It misses some."
    )
