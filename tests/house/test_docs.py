"""The documents tell the truth: reference pages are those of the code, links lead somewhere, commands exist."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from tunery.cli.main import run
from tunery.errors import EXIT_CODES, TuneryError
from tunery.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def _generated() -> dict[str, str]:
    spec = spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_the_reference_pages_are_those_of_the_code() -> None:
    pages = _generated()
    assert len(pages) >= 4
    for name, text in pages.items():
        written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert written == text.rstrip() + "\n", f"{name} is old: run `python docs/generate.py`"


def test_every_setting_has_its_heading() -> None:
    text = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    missing = [name for name in Settings.model_fields if f"## TUNERY_{name.upper()}\n" not in text]
    assert missing == []
    assert len(Settings.model_fields) >= 20


def test_every_error_code_is_unique_and_its_kind_has_an_exit_code() -> None:
    def tree(cls: type[TuneryError]) -> list[type[TuneryError]]:
        return [cls, *(found for sub in cls.__subclasses__() for found in tree(sub))]

    classes = [cls for cls in tree(TuneryError) if cls.__module__ == "tunery.errors" and cls is not TuneryError]
    codes = [cls.code for cls in classes]
    assert len(codes) == len(set(codes)) >= 20
    assert {cls.kind for cls in classes} <= set(EXIT_CODES)
    assert all((cls.__doc__ or "").count(".") >= 1 for cls in classes)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_commands_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = sorted(set(re.findall(r"^tunery ([a-z]+(?: [a-z]+)?)", text, flags=re.MULTILINE)))
    assert len(commands) >= 8
    for words in commands:
        noun, _, verb = words.partition(" ")
        line = [noun, verb] if verb in {"list", "show", "verify", "export", "pull"} else [noun]
        assert run([*line, "--help"]) == 0, f"tunery {words}"


def test_the_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert {"demo", "test"} <= targets
    assert all(f"\n{target}:" in makefile for target in targets)
