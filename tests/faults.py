"""How much is broken: a sample in ``make test``, everything in ``make test-faults``; the end says what was survived.

A test tells how many faults it let in with the fixture ``injected``; what a passing test let in was survived.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import pytest

__all__ = ["EVERY", "ROUNDS", "Injected"]

ROUNDS = int(os.environ.get("TUNERY_FAULT_ROUNDS", "0"))
"""How many times as long the loops of random faults run; 0 for the sample."""
EVERY = ROUNDS > 0

Injected = Callable[[int], None]


@pytest.fixture
def injected(record_property: Callable[[str, object], None]) -> Injected:
    """Count faults that were let in."""
    return lambda count: record_property("faults", count)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many faults were injected and survived, by test."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            if getattr(report, "when", "") == "call":
                test = report.nodeid.split("::")[-1].partition("[")[0]
                counts.setdefault(test, Counter())[outcome] += sum(
                    n for k, n in report.user_properties if k == "faults"
                )
    lines = [(test, each["passed"], each["failed"]) for test, each in sorted(counts.items()) if each.total()]
    if not lines:
        return
    terminalreporter.section("faults")
    for test, survived, failed in lines:
        terminalreporter.write_line(
            f"{survived:6,} {test}" + (f" (and {failed:,} in runs that FAILED)" if failed else "")
        )
    total, bad = (sum(line[n] for line in lines) for n in (1, 2))
    terminalreporter.write_line(f"{total + bad:,} faults were injected, {total:,} of them in tests that passed")
