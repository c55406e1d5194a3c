"""``tunery doctor``: what is installed, where the data lies, what is missing and how to get it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

import tunery
from tunery.cli.noun import Noun
from tunery.cli.output import Output, sheet
from tunery.errors import TuneryError, Unavailable
from tunery.kit.units import format_bytes
from tunery.settings import Settings

noun = Noun("doctor", "What is installed, where the data lies, what is missing.")


@noun.command("doctor", example="tunery doctor --json")
def doctor() -> Output:
    """Tell what is installed, where the data lies, what is missing and how to get it; changes nothing."""
    settings = Settings()
    sections = {
        "installed": _installed(),
        "missing": _missing(),
        "machine": _machine(settings),
        "data": _data(settings),
        "database": _database(settings),
        "server": _server(settings),
    }
    shown = []
    for title, found in sections.items():
        if found:
            shown += [Text(title, style="bold underline"), sheet(found).shown or "", Text("")]
    failure = None
    if "error" in sections["database"]:
        failure = Unavailable(f"the database cannot be used: {sections['database']['error']}")
    return Output(sections, Group(*shown), failure=failure)


def _installed() -> dict[str, Any]:
    names = {"tunery", *(name for name, _ in _requirements() if _version(name))}
    return {"python": platform.python_version(), **{name: _version(name) for name in sorted(names)}}


def _missing() -> dict[str, Any]:
    """Return, for each extra that lacks something, what it lacks and the line that installs it."""
    lacking: dict[str, list[str]] = {}
    for name, extra in _requirements():
        if not _version(name):
            lacking.setdefault(extra, []).append(name)
    return {
        extra or "core": f'{", ".join(names)}: pip install "tunery{f"[{extra}]" if extra else ""}"'
        for extra, names in sorted(lacking.items())
    }


def _requirements() -> Iterator[tuple[str, str]]:
    """Yield name and extra of each library that Tunery names; the core's extra is empty.

    Libraries that only some platforms need are left out where they are not installed.
    """
    for text in distribution("tunery").requires or []:
        wanted, _, marker = text.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", wanted.strip(), maxsplit=1)[0]
        extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
        if name != "tunery" and (extra or not marker or _version(name)) and not (extra and extra[1] == "dev"):
            yield name, extra[1] if extra else ""


def _version(name: str) -> str | None:
    if name == "tunery":
        return tunery.__version__
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _machine(settings: Settings) -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": settings.threads or "all physical cores (TUNERY_THREADS)",
        "memory": format_bytes(pages),
        "accelerator": _accelerator(),
    }


def _accelerator() -> str:
    if _version("torch") is None:
        return "not known without torch"
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "Apple MPS" if torch.backends.mps.is_available() else "none that torch can use: training runs on the CPU"


def _data(settings: Settings) -> dict[str, Any]:
    home = settings.home
    found: dict[str, Any] = {"home": f"{home} (TUNERY_HOME)"}
    existing = next(p for p in (home, *home.parents) if p.exists())
    found["freeBytes"] = shutil.disk_usage(existing).free
    if not home.exists():
        return found | {"state": "not made yet; the first command that needs it makes it"}
    if home.stat().st_mode & 0o077:
        found["warning"] = f"other users may look into it; close it with: chmod 700 {home}"
    sizes = {entry.name: _size(entry) for entry in sorted(home.iterdir())}
    return (
        found
        | {f"{name}SizeBytes": size for name, size in sizes.items() if size >= 1_000_000}
        | {"sizeBytes": sum(sizes.values())}
    )


def _size(path: Path) -> int:
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue  # a running server takes files away while we count
    return total


def _database(settings: Settings) -> dict[str, Any]:
    import sqlalchemy as sa

    from tunery.platform.db.engine import make_engine, sqlite_module, sqlite_warning
    from tunery.platform.db.migrate import schema_state

    url = sa.make_url(settings.effective_database_url)
    found: dict[str, Any] = {"url": url.render_as_string(hide_password=True)}
    if settings.is_sqlite:
        found["sqlite"] = sqlite_module().sqlite_version
        if warning := sqlite_warning():
            found["warning"] = warning
        if not Path(url.database or "").exists():
            return found | {"state": "not made yet"}
    try:
        engine = make_engine(settings.effective_database_url)
        try:
            current, newest = schema_state(engine)
        finally:
            engine.dispose()
    except (TuneryError, sa.exc.SQLAlchemyError) as error:
        return found | {"error": str(error).splitlines()[0]}
    state = "up to date" if current == newest else f"the next start brings it to {newest}"
    return found | {"schema": f"{current or 'none'}: {state}"}


def _server(settings: Settings) -> dict[str, Any]:
    from tunery.client.address import find_server

    if settings.url:
        return {"url": f"{settings.url} (TUNERY_URL)"}
    found = find_server(settings)
    state = f"running at {found}" if found else "not running; commands work without, `tunery serve` starts one"
    return {"state": state, "python": sys.executable}
