"""A commented recipe for a data file: every choice with the finding that it rests on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunery.datasets.inspection import Findings

__all__ = ["Draft", "draft_recipe"]

_STANDARD = {"messages": "messages", "prompt": "prompt", "completion": "completion", "text": "text"}
_MOST_EVALUATED = 100
_CHARACTERS_PER_TOKEN = 2.0
"""Few texts have fewer characters a token than this; JSON and digits come near. Errs towards room."""


@dataclass(frozen=True)
class Draft:
    """What a recipe is drafted from.

    Attributes:
        data: Path of the data file as the recipe names it, from the recipe's folder.
        name: Name of the model.
        base_model: What is fine-tuned.
        findings: What the file holds; it has a shape and rows.
    """

    data: str
    name: str
    base_model: str
    findings: Findings

    @property
    def test_rows(self) -> int:
        """Rows that the drafted split holds out, about."""
        share = self.test_share
        return share if isinstance(share, int) else round(share * self.findings.rows)

    @property
    def test_share(self) -> float | int:
        """A tenth; more of a small file, where a tenth would measure nothing; a number of rows of a large one."""
        rows = self.findings.rows
        if rows > 10_000:
            return 1000
        return 0.1 if rows >= 500 else 0.2

    @property
    def max_length(self) -> int:
        """The power of two that leaves the longest row room in tokens, from 256 to 2048."""
        greatest = self.findings.lengths.greatest if self.findings.lengths else 0
        needed = greatest / _CHARACTERS_PER_TOKEN + 64
        return next((size for size in (256, 512, 1024) if size >= needed), 2048)

    @property
    def max_tokens(self) -> int:
        """Room for the longest answer and half as much again, a multiple of 16; as in a row, at most ``max_length``."""
        if self.findings.answer_lengths is None:
            return min(256, self.max_length)
        needed = 1.5 * self.findings.answer_lengths.greatest / _CHARACTERS_PER_TOKEN
        return min(16 * (1 + int(needed) // 16), self.max_length)

    @property
    def gate_metric(self) -> str:
        """The metric that moves first: a softer one than exact match where there is one."""
        soft = ("json_field_f1", "accuracy", "token_f1", "perplexity")
        return next((name for name in soft if name in self.findings.metrics), self.findings.metrics[0])


def draft_recipe(draft: Draft) -> str:
    """Return the recipe as YAML."""
    sections = (_model, _data, _sanitize, _training, _evaluation, _gate, _deployment)
    head = "# Drafted by `tunery init`. Check it with: tunery run --dry-run; docs/reference/recipe.md\nschema: 1\n"
    return head + "".join("\n" + section(draft) for section in sections)


def _model(draft: Draft) -> str:
    return f"""\
model:
  name: {_text(draft.name)}
  base_model: {_text(draft.base_model)} # or a folder (./my-model), a Hub id (org/name), a registered name:1.0.0
  model_type: fine_tuned
"""


def _data(draft: Draft) -> str:
    found = draft.findings
    columns = ""
    if any(_STANDARD.get(target) != source for target, source in found.mapping.items()):
        columns = (
            f"  columns: {json.dumps(found.mapping, ensure_ascii=False)} # told by rule from: {_list(found.columns)}\n"
        )
    on_error = "stop # at the first line that cannot be used; quarantine sets such lines aside and counts them"
    if found.malformed:
        first = found.bad_lines[0]
        why = f"{found.malformed} lines cannot be used, the first is line {first.line}: {_comment(first.reason)}"
        on_error = f"quarantine # {why}"
    return f"""\
training_data: # {found.rows} rows of the shape {found.shape}
  source: file
  path: {_text(draft.data)}
  format: {_text(found.format)}
{columns}  on_error: {on_error}
  validation_split: 0.1
  test_split: {draft.test_share} # about {draft.test_rows} rows, held out; near-duplicates never cross the split
  # license: CC-BY-4.0 # of the data, for its provenance record
"""


def _sanitize(draft: Draft) -> str:
    found, lengths = draft.findings, draft.findings.lengths
    text = f"sanitize:\n  - step: deduplicate # {found.duplicates} rows repeat an earlier one exactly\n"
    if lengths:
        text += (
            f"  # - step: filter_by_length # rows have {lengths.least} to {lengths.greatest} characters, "
            f"half of them up to {lengths.median}\n  #   max_len: {lengths.p99}\n"
        )
    others = [name for name in found.columns if name not in _sources(found)]
    if others:
        text += f"  # - step: strip_keys # columns that no model learns from\n  #   keys: {json.dumps(others[:20])}\n"
    return text


def _training(draft: Draft) -> str:
    rows = draft.findings.rows
    epochs = 1 if rows >= 400 else 3
    return f"""\
method: sft
adapter:
  kind: lora # or write `adapter: none` to train all weights
  r: 16
  lora_alpha: 32
  target_modules: all-linear
  # layers: top:10 # adapts the last ten blocks only: about 1.6 times as fast

hyperparameters:
  learning_rate: 1e-3
  batch_size: {16 if rows >= 200 else 8}
  epochs: {epochs}
  warmup_steps: {min(10, max(1, rows * epochs // 160))}
  max_length: {draft.max_length} # tokens of a row
  too_long: drop # rows that are longer are left out and counted; error stops before training

optimization:
  optimizer: adamw
  scheduler: linear
  early_stopping: {{enabled: false, patience: 2, metric: validation_loss}}
"""


def _evaluation(draft: Draft) -> str:
    found = draft.findings
    answers = f"\n  # the answers are {len(found.labels)} labels: {_list(found.labels)}" if found.labels else ""
    longest = f" # the longest answer has {found.answer_lengths.greatest} characters" if found.answer_lengths else ""
    prompts = ""
    if found.shape != "text":
        prompts = """
  prompts: # each model is asked in the way that suits it
    base: {style: completion, shots: 5} # plain text with five worked examples, as a base model needs it
    tuned: {style: chat}"""
    else:
        prompts = """
  prompts:
    base: {style: completion}
    tuned: {style: completion}"""
    return f"""\
evaluation:{answers}
  metrics: {json.dumps(found.metrics)}
  save_best_model: true{prompts}
  max_rows: {_MOST_EVALUATED} # of the held-out rows, at most
  max_tokens: {draft.max_tokens}{longest}
"""


def _gate(draft: Draft) -> str:
    least = max(1, min(20, draft.test_rows // 2))
    return f"""\
gate: # what the tuned model must show before it is deployed
  criteria:
    - metric: {draft.gate_metric}
      margin: 0.0 # at least as good as its base on the same rows; 0.05 asks for five points more
      min_samples: {least}
"""


def _deployment(draft: Draft) -> str:
    return f"""\
deployment:
  auto_deploy: true # once the gate has passed; then: tunery chat {draft.name}
  deployment_target: local
  health_check_enabled: true

seed: 0
"""


def _sources(found: Findings) -> set[str]:
    return {name for value in found.mapping.values() for name in ([value] if isinstance(value, str) else value)}


def _list(names: list[str]) -> str:
    return _comment(", ".join(names[:10]) + (", ..." if len(names) > 10 else ""))


def _text(value: str) -> str:
    """Write a string so that YAML reads it back whatever is in it, and people read it too; JSON strings are YAML."""
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


_PLAIN = re.compile(r"[./]*[A-Za-z_](?:[\w./@-]|:(?=[\w./]))*", re.ASCII)
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"}


def _comment(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:120]
