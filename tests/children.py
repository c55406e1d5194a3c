"""The processes that a test's own process started."""

from __future__ import annotations

from contextlib import suppress

import psutil


def children_that_run(word: str) -> list[psutil.Process]:
    """Return the children with a word in their command lines; those that end meanwhile are left out."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            found += [child] if word in " ".join(child.cmdline()) else []
    return found
