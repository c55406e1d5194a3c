"""Detectors of personal data: MB/s of one core, precision and recall on the bundled labelled set.

    python benchmarks/pii.py [--write] [--presidio PYTHON [--model FOLDER]]

With the Python of an environment that has presidio-analyzer, presidio-evaluator and spacy, the same texts go through
Presidio with all its recognizers, and presidio-evaluator's own sentences through both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import tunery.datasets.pii.labelled
from tunery.datasets.pii import Finding
from tunery.datasets.pii.evaluation import Measured, measure, measure_builtins
from tunery.datasets.pii.labelled import Labelled, labelled_set
from tunery.datasets.pii.overlaps import resolve
from tunery.datasets.pii.patterns import PatternDetector
from tunery.datasets.pii.redaction import Redactor
from tunery.datasets.pii.secrets import SecretDetector

CONTESTANT = Path(__file__).parent / "contestants" / "presidio_pii.py"
THRESHOLDS = (0.0, 0.4)


def speed(name: str, find: Callable[[str], object], texts: list[str]) -> None:
    """Print how fast a detector reads the texts, the best of three rounds."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    rounds = []
    for _ in range(3):
        started = time.process_time()
        for text in texts:
            find(text)
        rounds.append(time.process_time() - started)
    print(f"  {name:<40} {size / min(rounds):6.1f} MB/s")


STEPS = [Redactor([PatternDetector()], {}), Redactor([SecretDetector()], {})]


def sanitized(text: str) -> None:
    """Redact a row as ``redact_pii`` and ``redact_secrets`` do."""
    row: dict[str, object] | None = {"messages": [{"role": "user", "content": text}], "source": "benchmark", "n": 7}
    for step in STEPS:
        row = step.row(row or {}, lambda kind, path, sample: None)


def prose(rows: int = 6000) -> list[str]:
    """Return pieces of 600 characters of the installed packages' descriptions: prose, code, tables, addresses."""
    import importlib.metadata

    texts = []
    for distribution in sorted(importlib.metadata.distributions(), key=lambda d: d.name or ""):
        text = distribution.read_text("METADATA") or ""
        texts += [text[start : start + 600] for start in range(0, len(text), 600)]
    return texts[:rows]


def table(title: str, columns: dict[str, dict[str, Measured]], least: int = 10) -> None:
    """Print precision and recall of each column by kind."""
    print(f"\n{title}\n  {'kind':<18} {'labels':>6}  " + "  ".join(f"{name:>18}" for name in columns))
    first = next(iter(columns.values()))
    for kind, measured in first.items():
        if measured.labels >= least:
            cells = [column.get(kind, Measured(measured.labels, 0, 0, 0)) for column in columns.values()]
            print(f"  {kind:<18} {measured.labels:>6}  " + "  ".join(f"{_cell(cell):>18}" for cell in cells))


def _cell(measured: Measured) -> str:
    if measured.findings == 0:
        return "-"
    return f"P {measured.precision or 0:.3f} R {measured.recall or 0:.3f}"


def presidio(python: str, model: str | None, rows: list[Labelled]) -> dict[str, dict[str, Measured]]:
    """Run Presidio over the rows and return its numbers at each threshold."""
    command = [python, str(CONTESTANT), "find", *([model] if model else [])]
    sent = "".join(json.dumps(row.text) + "\n" for row in rows)
    *lines, last = subprocess.run(command, input=sent, capture_output=True, text=True, check=True).stdout.splitlines()
    size = sum(len(row.text.encode()) for row in rows) / 1e6
    print(f"  {'Presidio' + (' with its model' if model else ''):<40} {size / json.loads(last)['seconds']:8.3f} MB/s")
    found = {row.text: json.loads(line) for row, line in zip(rows, lines, strict=True)}

    def at(threshold: float) -> Callable[[str], list[Finding]]:
        return lambda text: [Finding(*finding) for finding in found[text] if finding[3] >= threshold]

    return {f"Presidio >= {threshold}": measure(rows, at(threshold)) for threshold in THRESHOLDS}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presidio", help="Python of an environment with presidio-analyzer and presidio-evaluator.")
    parser.add_argument("--model", help="Folder of a spaCy model, for names and places.")
    parser.add_argument("--sentences", type=int, default=3000, help="Sentences of presidio-evaluator.")
    parser.add_argument("--write", action="store_true", help="Keep the numbers that reports quote.")
    chosen = parser.parse_args()
    if chosen.write:
        target = Path(tunery.datasets.pii.labelled.__file__).with_name("measured.json")
        target.write_text(json.dumps(measure_builtins(), indent=1) + "\n", encoding="utf-8")
    patterns, secrets, thorough = PatternDetector(), SecretDetector(), PatternDetector(thorough=True)

    def ours(rows: list[Labelled]) -> dict[str, dict[str, Measured]]:
        usual = measure(rows, lambda text: resolve([*patterns.find(text), *secrets.find(text)]))
        return {"Tunery": usual, "all, thorough": measure(rows, thorough.find)}  # "all": like Presidio, overlaps stay

    rows, texts = labelled_set(), prose()
    print("Speed, one core")
    for name, corpus in (("packages' descriptions", texts), ("the labelled set", [row.text for row in rows])):
        speed(f"patterns, {name}", patterns.find, corpus)
        speed(f"secrets, {name}", secrets.find, corpus)
        speed(f"both steps on rows, {name}", sanitized, corpus)
    columns = ours(rows)
    if chosen.presidio:
        columns |= presidio(chosen.presidio, chosen.model, rows)
    table("The bundled labelled set", columns)
    if chosen.presidio:
        command = [chosen.presidio, str(CONTESTANT), "sentences", str(chosen.sentences)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        lines = [line for line in lines if line.startswith("[")]  # it also talks
        made = {text: spans for text, spans in map(json.loads, lines)}
        theirs = [Labelled(text, tuple(map(tuple, spans))) for text, spans in made.items()]
        columns = {**ours(theirs), **presidio(chosen.presidio, chosen.model, theirs)}
        table("presidio-evaluator's sentences", columns)


if __name__ == "__main__":
    main()
