"""What must stay light: the package, its help and its SDK load no heavy library. Times are printed, never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

HEAVY = ("torch", "transformers", "peft", "gguf", "xllamacpp", "deltalake", "pyarrow", "duckdb", "scipy", "numpy")
SERVER = ("fastapi", "sqlalchemy", "uvicorn", "dbos", "starlette")
SCHEMAS = (
    "identity",
    "registry",
    "lineage",
    "datasets",
    "training",
    "evaluation",
    "promotion",
    "serving",
    "storage",
    "compliance",
    "pipelines",
)


def loaded_after(code: str) -> set[str]:
    """Run the code in a fresh Python and return the top modules it loaded."""
    tail = "\nimport sys, json; sys.stderr.write(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True, timeout=120)
    print(f"{time.perf_counter() - started:.3f} s: {code.splitlines()[-1]}")
    return set(json.loads(done.stderr))


def test_importing_the_package_loads_next_to_nothing() -> None:
    assert loaded_after("import tunery") & {*HEAVY, *SERVER, "pydantic", "httpx", "rich"} == set()


def test_help_loads_no_heavy_library_and_no_server() -> None:
    code = "from tunery.cli.main import run\nrun(['--help'])"
    assert loaded_after(code) & {*HEAVY, *SERVER, "httpx"} == set()


@pytest.mark.parametrize("noun", ["models", "jobs", "run", "chat", "doctor", "serve"])
def test_a_command_loads_no_heavy_library_before_it_works(noun: str) -> None:
    code = f"from tunery.cli.main import run\nrun(['{noun}', '--help'])"
    assert loaded_after(code) & {*HEAVY, *SERVER} == set()


def test_the_sdk_loads_no_server() -> None:
    assert loaded_after("from tunery import Client\nClient(url='http://localhost:1')") & {*HEAVY, *SERVER} == set()


@pytest.mark.parametrize("room", SCHEMAS)
def test_the_schemas_of_a_room_load_no_heavy_library(room: str) -> None:
    assert loaded_after(f"import tunery.{room}.schemas") & {*HEAVY, *SERVER} == set()
